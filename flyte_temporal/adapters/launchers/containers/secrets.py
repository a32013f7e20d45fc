"""Which secrets of the worker's machine a container gets: variables and files, those that its task requested.

Under which names they are here is the worker's word alone (`FLYTE_SECRETS_ENV_PREFIX`, `FLYTE_SECRETS_DEFAULT_DIR`,
`FLYTE_SECRETS_FILE_PREFIX` of its environment): a task that could say so would read any variable and file of the machine. In the
container they have the usual names; a task may say in which folder it looks for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from flyte_temporal.errors import InvalidIdentifier
from flyte_temporal.sdk.secrets import (
    DEFAULT_FOLDER,
    DEFAULT_PREFIX,
    FILE_PREFIX_VARIABLE,
    FOLDER_VARIABLE,
    PREFIX_VARIABLE,
)
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.identifiers import container_folder
from flyte_temporal.spec.policies import SecretRequest


def passed(requests: tuple[SecretRequest, ...], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with the secrets that a task requested, and no others, by their names in the container.

    Args:
        requests: What it requested.
        environ: The worker's environment.
    """
    here = environ.get(PREFIX_VARIABLE, DEFAULT_PREFIX)
    found: dict[str, str] = {}
    for request in requests:
        wanted = _variable(here, request)
        # A request of a whole group covers its keys.
        names = [n for n in environ if n == wanted or (not request.key and n.startswith(f"{wanted}_"))]
        found.update((DEFAULT_PREFIX + name.removeprefix(here), environ[name]) for name in names)
    return found


def exported(order: AttemptOrder, given: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that requests name themselves (`env_var`): in a container without our runtime nobody else sets them.

    Args:
        order: What is to run.
        given: What `passed` gives for it.
        environ: The worker's environment.
    """
    paths = {target for _, target in files(order, environ)}
    there = _folder(order)
    found: dict[str, str] = {}
    for request in order.task.policy.secrets:
        if not request.env_var:
            continue
        name = _variable(DEFAULT_PREFIX, request)
        path = str(there.joinpath(*(part.lower() for part in _parts(request))))
        if request.mount != "file" and name in given:
            found[request.env_var] = given[name]
        elif request.mount == "file" and path in paths:
            found[request.env_var] = path
    return found


def _folder(order: AttemptOrder) -> Path:
    """Return where a task looks for files."""
    return Path({**order.environment.env, **order.task.policy.env}.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)


def files(order: AttemptOrder, environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Return the requested secrets that are files or folders here, each with its place in the container.

    Args:
        order: What is to run.
        environ: The worker's environment.
    """
    here = Path(environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER).absolute()
    prefix = environ.get(FILE_PREFIX_VARIABLE, "")
    there = _folder(order)
    try:
        container_folder(str(there))
    except InvalidIdentifier:
        # Nothing can be mounted there; the task says that its secret is missing, and where it looked.
        return
    for request in order.task.policy.secrets:
        *outer, last = (part.lower() for part in _parts(request))
        source, target = here.joinpath(*outer), there.joinpath(*outer)
        if (file := source / f"{prefix}{last}").exists() and (not prefix or file.is_file()):
            yield file, str(target / last)
        if prefix and not request.key:
            # A folder as a whole would bring the names that its files have here.
            for file in sorted((source / last).glob("*")):
                if file.is_file() and file.name.startswith(prefix):
                    yield file, str(target / last / file.name.removeprefix(prefix))


def _variable(prefix: str, request: SecretRequest) -> str:
    return prefix + "_".join(part.upper() for part in _parts(request))


def _parts(request: SecretRequest) -> list[str]:
    return [part for part in (request.group, request.version, request.key) if part]
