"""Settings of the local stack and of the person at the keyboard. Standard library only, because each CLI call reads them."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass, fields
from typing import Literal, cast

from flyte_temporal.config.home import PREFIX
from flyte_temporal.errors import BadRequest

Durability = Literal["normal", "full"]

_DURABILITIES = ("normal", "full")


@dataclass(frozen=True)
class LocalSettings:
    """Settings of the embedded stack; each field is `FLYTE_TEMPORAL_LOCAL__<NAME>` in the environment.

    Args:
        start_timeout_s: How long a command waits for the stack to come up, in seconds. 60, because a cold start takes
            about 3 s on a slow laptop and several times that on a starved CI machine.
        answer_timeout_s: How long a command hears nothing at all from the stack before it gives up, in seconds; at work,
            the stack gives a sign of life three times in it. 10: a starved machine may be silent for a few.
        idle_timeout_s: After how many seconds without an open execution and without a client the stack ends by
            itself; 0 = never. Half an hour keeps it warm through a working session and gone after it.
        durability: `normal`: SQLite in WAL mode, a power cut can cost the last instants but never the file. `full`:
            every commit is fsynced, 25-30 % slower.
        temporal_port: Port of the Temporal server on 127.0.0.1; 0 = free one chosen at the first start and kept.
        ui_port: Port of the Temporal UI on 127.0.0.1; 0 = likewise.
        temporal_program: Path of the `temporal` program; empty = the one beside this Python, then the one on PATH.
        bundle_bytes: Size of a code bundle's files, in bytes. Code is small; what is larger is data left beside it.
        bundle_files: Number of files in a code bundle.
        reconcile_s: How often records are compared with Temporal, in seconds, so that what was done to a run in Temporal
            itself (terminate, delete, reset) is seen. 10: one cheap call each time.
        attach: Address of the Temporal server of an installation that others run (`host:port`). Then the stack starts neither a
            server nor a worker: it is only the way by which commands reach that installation, whose metadata store, blob
            store and namespace the other settings name (docs/operations/production.md). Empty = a stack of its own.
        log_bytes: Size at which a log file of the stack is rotated (one older file is kept), in bytes.
    """

    start_timeout_s: float = 60.0
    answer_timeout_s: float = 10.0
    idle_timeout_s: float = 1800.0
    durability: Durability = "normal"
    temporal_port: int = 0
    ui_port: int = 0
    temporal_program: str = ""
    bundle_bytes: int = 200 * 1024 * 1024
    bundle_files: int = 20_000
    reconcile_s: float = 10.0
    log_bytes: int = 10 * 1024 * 1024
    attach: str = ""


def storage_root(default: str) -> str:
    """Return the root of the blob store: `FLYTE_TEMPORAL_STORAGE__ROOT`, or what a home has by itself.

    Args:
        default: URI of the folder in the home.
    """
    return os.environ.get(f"{PREFIX}STORAGE__ROOT", "").strip() or default


def local_settings() -> LocalSettings:
    """Read the local settings from the environment.

    Raises:
        BadRequest: If a variable has a value that does not fit, naming the variable.
    """
    given: dict[str, str | int | float] = {}
    for field in fields(LocalSettings):
        name = f"{PREFIX}LOCAL__{field.name.upper()}"
        text = os.environ.get(name, "").strip()
        if text:
            given[field.name] = _read(name, text, field.default)
    if given.get("durability", "normal") not in _DURABILITIES:
        raise BadRequest(
            f"{PREFIX}LOCAL__DURABILITY must be 'normal' or 'full', not {given['durability']!r}."
        )
    return LocalSettings(**given)  # type: ignore[arg-type]


def _read(name: str, text: str, default: object) -> str | int | float:
    if isinstance(default, str):
        return text
    kind = cast("type[int | float]", type(default))
    try:
        value = kind(text)
    except ValueError:
        raise BadRequest(f"{name} must be a number, not {text!r}.") from None
    if not 0 <= value < 2**63:
        raise BadRequest(f"{name} must not be negative or infinite; it is {text!r}.")
    return value


@dataclass(frozen=True)
class Caller:
    """Who asks, and in which project and domain by default.

    Args:
        project: `FLYTE_TEMPORAL_PROJECT`; `default`, because one person on one machine needs no tenancy.
        domain: `FLYTE_TEMPORAL_DOMAIN`; `development`, the first of Flyte's three stages.
        user: `FLYTE_TEMPORAL_OWNER`, or the name of the account; shown as the one who started or aborted.
    """

    project: str = "default"
    domain: str = "development"
    user: str = ""


def caller(project: str | None = None, domain: str | None = None) -> Caller:
    """Return who calls, and where: from the environment, but for what is said here.

    Args:
        project: The project; None = that of the environment.
        domain: The domain; None = likewise.
    """
    return Caller(
        project=_said("PROJECT", Caller.project) if project is None else project,
        domain=_said("DOMAIN", Caller.domain) if domain is None else domain,
        user=_said("OWNER", "") or _account(),
    )


def _said(name: str, otherwise: str) -> str:
    return os.environ.get(f"{PREFIX}{name}", "").strip() or otherwise


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a user id that has no name.
        return str(os.getuid())
