"""The Containerfile of a declared image. Pure: the same declaration gives the same text.

Whoever changes what it writes raises `sdk.images.RECIPE`: tags tell by it what was built in an older way.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from flyte_temporal._version import __version__
from flyte_temporal.errors import BadRequest

_STORES = "[s3,gcs]"
RUNTIME = f"flyte-temporal{_STORES}=={__version__}"
"""What makes tasks run in an image: no part of a worker, but what reaches each kind of blob store."""
_FOLDER = "/opt/task"
_VENV = f"{_FOLDER}/venv"
_CACHED = "--no-cache-dir --disable-pip-version-check"
_LOCKS = ("uv.lock", "poetry.lock")


@dataclass(frozen=True)
class Recipe:
    """What a builder gets.

    Args:
        text: The Containerfile.
        files: Files and folders of its context: name there → the declaration's name and digest.
        secrets: Files that pip sees while it builds: id → the declaration's name.
        platform: Platform of the image.
    """

    text: str
    files: dict[str, tuple[str, str]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    platform: str = ""


def recipe(declaration: Mapping[str, Any], runtime: str = RUNTIME, *, wheel: str = "") -> Recipe:
    """Return what a declaration is built from.

    Args:
        declaration: `ImageSpec.declaration`.
        runtime: What pip installs so that tasks run in the image; empty = nothing, if the base has it.
        wheel: Name of a wheel in the builder's folder that it installs instead.

    Raises:
        BadRequest: If the builder cannot do what is declared.
    """
    _refuse(declaration)
    files: dict[str, tuple[str, str]] = {}
    secrets: dict[str, str] = {}
    lines = [f"FROM {_base(declaration)}", "USER root"]
    apt = [*cast("Sequence[str]", declaration.get("apt_packages", ()))]
    if apt:
        lines.append(
            "RUN apt-get update && apt-get install --yes --no-install-recommends "
            f"{_quoted(apt)} && rm -rf /var/lib/apt/lists/*"
        )
    env = cast("Mapping[str, str]", declaration.get("env", {}))
    lines += [f"ENV {name}={json.dumps(env[name])}" for name in sorted(env)]
    lines += [f"COPY {wheel} {_FOLDER}/{wheel}"] if wheel else []
    lines += _python(declaration, files, secrets, f"{_FOLDER}/{wheel}{_STORES}" if wheel else runtime)
    for number, copied in enumerate(declaration.get("copy", ())):
        place = f"copy/{number}"
        files[place] = copied["file"], copied["sha256"]
        lines.append(f"COPY {place} /root/{copied['file'].removeprefix('./')}")
    if "source_root" in declaration:
        given = declaration["source_root"]
        # A declaration that an older release has stored has the name alone.
        files["source"] = (given, "") if isinstance(given, str) else (given["file"], given["sha256"])
        lines.append("COPY source /root")
    lines += [f"RUN {command}" for command in declaration.get("commands", ())]
    lines += [f"ENV PATH={_VENV}/bin:$PATH PYTHONUNBUFFERED=1 PYTHONPATH=/root", "WORKDIR /tmp"]
    if "entrypoint" in declaration:
        lines.append(f"ENTRYPOINT {json.dumps(list(declaration['entrypoint']))}")
    lines.append("USER 10001:10001")
    return Recipe("\n".join(lines) + "\n", files, secrets, str(declaration.get("platform", "")))


def _refuse(declaration: Mapping[str, Any]) -> None:
    for name, advice in (
        ("conda_packages", "pip packages, or a base_image with them"),
        ("conda_channels", "pip packages, or a base_image with them"),
        ("cuda", 'base_image="nvidia/cuda:…"'),
        ("cudnn", 'base_image="nvidia/cuda:…"'),
    ):
        if declaration.get(name):
            raise BadRequest(
                f"ImageSpec({name}=...): the builder of podman and docker cannot install that. Use {advice}, or build the "
                'image yourself and write builder="noop".'
            )


def _base(declaration: Mapping[str, Any]) -> str:
    base = declaration.get("base_image")
    if isinstance(base, str):
        return base
    if base is not None:
        raise BadRequest(
            "ImageSpec(base_image=ImageSpec(...)): its image was not built first."
        )  # pragma: no cover
    version = declaration.get("python_version") or "3.11"
    return f"docker.io/library/python:{version}-slim"


def _python(
    declaration: Mapping[str, Any],
    files: dict[str, tuple[str, str]],
    secrets: dict[str, str],
    runtime: str,
) -> list[str]:
    lines = []
    python = declaration.get("python_exec") or "python3"
    mounts = ""
    for number, (source, target) in enumerate(declaration.get("pip_secret_mounts", ())):
        secrets[f"pip{number}"] = source
        mounts += f"--mount=type=secret,id=pip{number},target={target} "
    where = [f"--index-url {shlex.quote(declaration['pip_index'])}"] if "pip_index" in declaration else []
    where += [f"--extra-index-url {shlex.quote(url)}" for url in declaration.get("pip_extra_index_url", ())]
    where += [declaration["pip_extra_args"]] if "pip_extra_args" in declaration else []
    pip = " ".join([f"{_VENV}/bin/pip install {_CACHED}", *where])
    # With what the base has: an image of tasks as base brings its own.
    lines.append(f"RUN test -x {_VENV}/bin/python || {python} -m venv --system-site-packages {_VENV}")
    given = declaration.get("requirements")
    if given is not None:
        name = str(given["file"]).rpartition("/")[2]
        if name in _LOCKS:
            raise BadRequest(
                f"ImageSpec(requirements={given['file']!r}): the builder reads requirements.txt. Export it: "
                f"`{'uv export --format requirements-txt' if name == 'uv.lock' else 'poetry export'} > requirements.txt`."
            )
        files["requirements.txt"] = given["file"], given["sha256"]
        lines += [
            "COPY requirements.txt /opt/task/requirements.txt",
            f"RUN {mounts}{pip} -r /opt/task/requirements.txt",
        ]
    packages = [*declaration.get("packages", ()), *declaration.get("runtime_packages", ())]
    if packages:
        lines.append(f"RUN {mounts}{pip} {_quoted(packages)}")
    if runtime:
        lines.append(
            f"RUN {mounts}{_VENV}/bin/python -c 'import flyte_temporal' 2>/dev/null || {pip} {shlex.quote(runtime)}"
        )
    return lines


def _quoted(words: Sequence[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)
