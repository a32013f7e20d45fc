"""Which secrets of the worker's machine a container gets: variables and files, those that its task requested. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from flyte_temporal.errors import InvalidIdentifier
from flyte_temporal.sdk.secrets import DEFAULT_FOLDER, FOLDER_VARIABLE
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.identifiers import container_folder
from flyte_temporal.spec.policies import SecretRequest


def passed(requests: tuple[SecretRequest, ...], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the worker that hold the secrets which a task requested, and no others.

    Args:
        requests: What it requested.
        environ: The worker's environment.
    """
    found: dict[str, str] = {}
    for request in requests:
        wanted = "_FSEC_" + "_".join(p.upper() for p in (request.group, request.version, request.key) if p)
        # A request of a whole group covers its keys.
        names = [n for n in environ if n == wanted or (not request.key and n.startswith(f"{wanted}_"))]
        found.update((name, environ[name]) for name in names)
    return found


def files(order: AttemptOrder, environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Return the requested secrets that are files or folders here, each with its place in the container.

    Where they are here is the worker's word alone (`FLYTE_SECRETS_DEFAULT_DIR`): a task that could say so would read any file of
    the machine. It may say where it looks for them.

    Args:
        order: What is to run.
        environ: The worker's environment.
    """
    here = Path(environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER).absolute()
    there = Path({**order.environment.env, **order.task.policy.env}.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)
    try:
        container_folder(str(there))
    except InvalidIdentifier:
        # Nothing can be mounted there; the task says that its secret is missing, and where it looked.
        return
    for request in order.task.policy.secrets:
        parts = [p.lower() for p in (request.group, request.version, request.key) if p]
        if (source := here.joinpath(*parts)).exists():
            yield source, str(there.joinpath(*parts))
