"""`Secret` requests, and `current_context().secrets`, which reads them from the environment or from files.

flytekit's rules. Values are read when they are asked for and kept nowhere: they are in no spec, log, payload or repr.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal, overload

from flyte_temporal.errors import CompileError, FlyteNonRecoverableException, InvalidIdentifier
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.spec.identifiers import secret_part
from flyte_temporal.spec.policies import SecretRequest

PREFIX_VARIABLE = "FLYTE_SECRETS_ENV_PREFIX"
FOLDER_VARIABLE = "FLYTE_SECRETS_DEFAULT_DIR"
FILE_PREFIX_VARIABLE = "FLYTE_SECRETS_FILE_PREFIX"
DEFAULT_PREFIX = "_FSEC_"
DEFAULT_FOLDER = "/etc/flyte/secrets"
PREFIXES = (PREFIX_VARIABLE, FILE_PREFIX_VARIABLE)
"""Of no account in containers: who hands secrets over to one gives them their names, which are then the usual ones."""


class SecretUnavailable(FlyteNonRecoverableException):
    """A secret that was not requested, or that is in none of the places where it may be."""

    code = "SecretUnavailable"


class SecretMount(StrEnum):
    """How a secret is to reach the task."""

    ANY = "any"
    ENV_VAR = "env"
    FILE = "file"


@dataclass(frozen=True)
class Secret:
    """A secret that a task may read: `@task(secret_requests=[Secret(group="db", key="password")])`.

    Args:
        group: Group of secrets, such as the name of a Kubernetes secret.
        key: Key in the group.
        group_version: Version of the group; a part of where it is looked for.
        mount_requirement: How it is to reach the task.
        env_var: Name of an environment variable that gets the value (for `FILE`: the path) while the task runs.

    Raises:
        CompileError: If it names neither group nor key, or another part is wrong.
    """

    MountType: ClassVar[type[SecretMount]] = SecretMount

    group: str | None = None
    key: str | None = None
    group_version: str | None = None
    mount_requirement: SecretMount = SecretMount.ANY
    env_var: str | None = None

    def __post_init__(self) -> None:
        """Check the parts, where the line of the mistake is known."""
        for name in ("group", "key", "group_version", "env_var"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not _is_part(value)):
                raise CompileError(
                    f"Secret({name}={shown(value)}): write a text that is not empty and has no `/`; letters, digits, "
                    "`_.@+-` and spaces are allowed, `..` is not.",
                    call_site(),
                )
        if not self.group and not self.key:
            raise CompileError('Secret() names no secret. Write Secret(group="...", key="...").', call_site())
        if self.mount_requirement not in tuple(SecretMount):
            raise CompileError(
                f"Secret(mount_requirement={shown(self.mount_requirement)}) must be Secret.MountType.ANY, ENV_VAR or FILE.",
                call_site(),
            )

    def request(self) -> SecretRequest:
        """Return the request as the spec keeps it."""
        mount: Literal["any", "env", "file"] = SecretMount(self.mount_requirement).value
        return SecretRequest(
            group=self.group or "",
            key=self.key or "",
            version=self.group_version or "",
            mount=mount,
            env_var=self.env_var or "",
        )


class SecretsManager:
    """Reads secrets: first the variable `_FSEC_<GROUP>_<KEY>`, then the file `/etc/flyte/secrets/<group>/<key>`.

    The task's environment may name another prefix (`FLYTE_SECRETS_ENV_PREFIX`) and folder (`FLYTE_SECRETS_DEFAULT_DIR`).

    Args:
        requests: What the task requested; None = anything may be read, as outside of any task.
    """

    def __init__(self, requests: Sequence[SecretRequest] | None = None) -> None:
        self._requests = requests

    def __repr__(self) -> str:
        names = [] if self._requests is None else [_label(r.group, r.key) for r in self._requests]
        return f"<secrets {', '.join(names) or 'none requested'}>"

    @overload
    def get(
        self,
        group: str | None = None,
        key: str | None = None,
        group_version: str | None = None,
        encode_mode: Literal["r"] = "r",
    ) -> str: ...
    @overload
    def get(
        self,
        group: str | None = None,
        key: str | None = None,
        group_version: str | None = None,
        *,
        encode_mode: Literal["rb"],
    ) -> bytes: ...
    def get(
        self,
        group: str | None = None,
        key: str | None = None,
        group_version: str | None = None,
        encode_mode: str = "r",
    ) -> str | bytes:
        """Return the value of a secret; white space around a text is removed.

        Args:
            group: Group of the secret.
            key: Key in the group.
            group_version: Version of the group, if the request has one.
            encode_mode: `r` for text, `rb` for the bytes of the file.

        Raises:
            SecretUnavailable: If the task did not request it, or it is in neither place; names both.
        """
        asked = _asked(group, key, group_version)
        self._refuse_unrequested(asked)
        variable, file = _variable(asked), _file(asked)
        if variable in os.environ:
            value = os.environ[variable]
            return value.encode() if encode_mode == "rb" else value.strip()
        try:
            data = file.read_bytes()
        except OSError as error:
            raise SecretUnavailable(
                f"The secret {_label(asked.group, asked.key)} is not there: there is neither the environment variable "
                f"{variable} nor the file {file} ({error.strerror}). docs/secrets.md says how tasks get secrets."
            ) from None
        return data if encode_mode == "rb" else data.decode().strip()

    def get_secrets_env_var(
        self, group: str | None = None, key: str | None = None, group_version: str | None = None
    ) -> str:
        """Return the name of the environment variable in which a secret is looked for."""
        return _variable(_asked(group, key, group_version))

    def get_secrets_file(
        self, group: str | None = None, key: str | None = None, group_version: str | None = None
    ) -> str:
        """Return the path of the file in which a secret is looked for."""
        return str(_file(_asked(group, key, group_version)))

    def _refuse_unrequested(self, asked: SecretRequest) -> None:
        if self._requests is None:
            return
        if not any(_same(asked, request) for request in self._requests):
            label = _label(asked.group, asked.key)
            raise SecretUnavailable(
                f"The task did not request the secret {label}. Write @task(secret_requests=[Secret({_written(asked)})])."
            )


def _is_part(value: str) -> bool:
    try:
        return bool(secret_part(value))
    except InvalidIdentifier:
        return False


def _asked(group: str | None, key: str | None, version: str | None) -> SecretRequest:
    try:
        return SecretRequest(group=group or "", key=key or "", version=version or "")
    except InvalidIdentifier as error:
        raise SecretUnavailable(f"There is no such secret. {error.message}") from None


def _same(asked: SecretRequest, request: SecretRequest) -> bool:
    if (asked.group.lower(), asked.version.lower()) != (request.group.lower(), request.version.lower()):
        return False
    # A request of a whole group covers its keys.
    return not request.key or asked.key.lower() == request.key.lower()


def _label(group: str, key: str) -> str:
    return "/".join(part for part in (group, key) if part)


def _written(asked: SecretRequest) -> str:
    parts = {"group": asked.group, "key": asked.key, "group_version": asked.version}
    return ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)


def _parts(asked: SecretRequest) -> list[str]:
    return [part for part in (asked.group, asked.version, asked.key) if part]


def _variable(asked: SecretRequest) -> str:
    prefix = os.environ.get(PREFIX_VARIABLE, DEFAULT_PREFIX)
    return prefix + "_".join(part.upper() for part in _parts(asked))


def _file(asked: SecretRequest) -> Path:
    folder = Path(os.environ.get(FOLDER_VARIABLE, DEFAULT_FOLDER))
    *outer, last = (part.lower() for part in _parts(asked)) if _parts(asked) else ("",)
    return folder.joinpath(*outer, os.environ.get(FILE_PREFIX_VARIABLE, "") + last)


@contextmanager
def exported(requests: Sequence[SecretRequest], env: Mapping[str, str] | None = None) -> Iterator[None]:
    """Set variables of the environment inside the block.

    Args:
        requests: Their `env_var` get the secrets; a secret that is not there is not set.
        env: Further ones: the task's `environment`, where nobody else has set it.
    """
    before: dict[str, str | None] = {name: os.environ.get(name) for name in env or {}}
    os.environ.update(env or {})
    manager = SecretsManager(requests)
    for request in requests:
        if not request.env_var:
            continue
        value: Any = None
        if request.mount == "file":
            file = _file(request)
            value = str(file) if file.exists() else None
        else:
            try:
                value = manager.get(request.group, request.key, request.version)
            except SecretUnavailable:
                value = None
        if value is not None:
            before[request.env_var] = os.environ.get(request.env_var)
            os.environ[request.env_var] = value
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = old
