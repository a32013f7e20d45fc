"""Where attempts run if nobody says so: by project and domain. Standard library only, because each CLI call reads it.

`FLYTE_TEMPORAL_LAUNCHER` and `FLYTE_TEMPORAL_IMAGE` are for all; `FLYTE_TEMPORAL_DEFAULTS` has what is otherwise for some, as
JSON: `{"trainers": {"launcher": "kubernetes", "cluster": "gpu"}, "trainers/development": {"launcher": "podman"}}`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace

from flyte_temporal.config.home import PREFIX
from flyte_temporal.errors import BadRequest

_PARTS = ("launcher", "image", "cluster")


@dataclass(frozen=True)
class Defaults:
    """Where attempts run.

    Args:
        launcher: Name of the launcher.
        image: Image of tasks that name none; empty = the launcher's own default.
        cluster: Name of a Kubernetes cluster among the settings; empty = the default one.
        said_by: The variable that names the launcher, for messages.
    """

    launcher: str = "pool"
    image: str = ""
    cluster: str = ""
    said_by: str = field(default=f"{PREFIX}LAUNCHER", compare=False)


@dataclass(frozen=True)
class BuilderSettings:
    """What builds declared images.

    Args:
        program: `FLYTE_TEMPORAL_BUILDER`: podman or docker, by name or path; empty = that of the launcher, or the
            first that is there.
        runtime: `FLYTE_TEMPORAL_BUILDER_RUNTIME`: what pip installs so that tasks run in the image; empty = nothing; None =
            what runs here, with what reaches S3 and GCS.
        options: `FLYTE_TEMPORAL_BUILDER_OPTIONS`: further options of `build`.
    """

    program: str = ""
    runtime: str | None = None
    options: tuple[str, ...] = ()


def builder_settings() -> BuilderSettings:
    """Return what the environment says of the builder."""
    return BuilderSettings(
        os.environ.get(f"{PREFIX}BUILDER", "").strip(),
        os.environ.get(f"{PREFIX}BUILDER_RUNTIME"),
        tuple(os.environ.get(f"{PREFIX}BUILDER_OPTIONS", "").split()),
    )


def defaults_of(project: str, domain: str) -> Defaults:
    """Return where attempts of a project and domain run: what is said of both wins over what is said of the project.

    Args:
        project: The project.
        domain: The domain.

    Raises:
        BadRequest: If a variable does not fit.
    """
    found = {part: os.environ.get(f"{PREFIX}{part.upper()}", "").strip() for part in _PARTS}
    by_place = _by_place()
    for place in (project, f"{project}/{domain}"):
        said = by_place.get(place, {})
        found.update(said)
        if "launcher" in said:
            found["said_by"] = f"{PREFIX}DEFAULTS, {place}"
    return replace(Defaults(), **{part: text for part, text in found.items() if text})


def _by_place() -> dict[str, dict[str, str]]:
    name = f"{PREFIX}DEFAULTS"
    text = os.environ.get(name, "").strip()
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadRequest(f"{name} must be JSON, and is not: {error}.") from None
    if not isinstance(found, dict):
        raise BadRequest(f"{name} must be a JSON object of projects, or of project/domain.")
    for place, said in found.items():
        if not isinstance(said, dict) or not all(
            part in _PARTS and isinstance(value, str) for part, value in said.items()
        ):
            raise BadRequest(
                f"{name}: what is said of {place!r} must be texts for some of {', '.join(_PARTS)}."
            )
    return found
