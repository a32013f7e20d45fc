"""Data of containers without our runtime, by `runtime.io` in a process of this machine, before them and after them."""

from __future__ import annotations

from flyte_temporal.adapters.launchers.containers.engine import Container
from flyte_temporal.adapters.launchers.containers.places import Data
from flyte_temporal.adapters.launchers.moving import move
from flyte_temporal.errors import LauncherError, StorageError
from flyte_temporal.spec.attempt import NO_STORE, AttemptOrder


async def prepare(order: AttemptOrder, key: str, data: Data) -> None:
    """Write the inputs of a container into its folder.

    Args:
        order: What it runs.
        key: Where in the blob store the order is.
        data: Its folders.

    Raises:
        LauncherError: If they cannot be had.
        StorageError: If the blob store did not answer.
    """
    data.inputs.mkdir(parents=True, exist_ok=True)
    data.outputs.mkdir(exist_ok=True)
    # Whoever the image's user may be, it is to write there; the folder above is closed to others.
    data.outputs.chmod(0o777)
    await _io(order, "download", key, "--to", str(data.inputs), ends=True)


async def collect(order: AttemptOrder, key: str, data: Data, seen: Container) -> None:
    """Store the outputs and the log of a container that has ended, and leave its manifest.

    Args:
        order: What it ran.
        key: Where in the blob store the order is.
        data: Its folders.
        seen: How it ended.

    Raises:
        LauncherError: If no manifest can be left.
        StorageError: If the blob store did not answer; it can be tried again.
    """
    words = ["--from", str(data.outputs), "--log", str(data.log), "--exit-code", str(seen.exit_code)]
    if seen.started_at is not None:
        words += ["--started", seen.started_at.isoformat()]
    await _io(order, "upload", key, *words, *(["--oom"] if seen.oom else []))


async def _io(order: AttemptOrder, *words: str, ends: bool = False) -> None:
    code, said = await move(order, *words, ends=ends)
    if code == NO_STORE:
        raise StorageError(said)
    if code:
        raise LauncherError(f"The data of {order.attempt.label} could not be moved ({words[0]}): {said}")
