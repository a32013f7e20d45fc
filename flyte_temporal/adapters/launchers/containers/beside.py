"""Data of containers without our runtime, by `runtime.io` in a process of this machine, before them and after them."""

from __future__ import annotations

import asyncio
import os
import sys

from flyte_temporal.adapters.launchers.containers.engine import Container
from flyte_temporal.adapters.launchers.containers.places import Data
from flyte_temporal.adapters.launchers.settings import process_environment
from flyte_temporal.errors import LauncherError
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.storage.orders import STORAGE


async def prepare(order: AttemptOrder, key: str, data: Data) -> None:
    """Write the inputs of a container into its folder.

    Args:
        order: What it runs.
        key: Where in the blob store the order is.
        data: Its folders.

    Raises:
        LauncherError: If they cannot be had.
    """
    data.inputs.mkdir(parents=True, exist_ok=True)
    data.outputs.mkdir(exist_ok=True)
    # Whoever the image's user may be, it is to write there; the folder above is closed to others.
    data.outputs.chmod(0o777)
    await _io(order, "download", key, "--to", str(data.inputs))


async def collect(order: AttemptOrder, key: str, data: Data, seen: Container) -> None:
    """Store the outputs and the log of a container that has ended, and leave its manifest.

    Args:
        order: What it ran.
        key: Where in the blob store the order is.
        data: Its folders.
        seen: How it ended.

    Raises:
        LauncherError: If no manifest could be left.
    """
    words = ["--from", str(data.outputs), "--log", str(data.log), "--exit-code", str(seen.exit_code)]
    if seen.started_at is not None:
        words += ["--started", seen.started_at.isoformat()]
    await _io(order, "upload", key, *words, *(["--oom"] if seen.oom else []))


async def _io(order: AttemptOrder, *words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "flyte_temporal.runtime.io",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**process_environment({}), STORAGE: order.storage.model_dump_json()},
        start_new_session=True,
        cwd=os.sep,
    )
    _, said = await process.communicate()
    if process.returncode:
        text = (said or b"").decode(errors="replace").strip()[-2000:]
        raise LauncherError(f"The data of {order.attempt.label} could not be moved ({words[0]}): {text}")
