"""`move`: run `runtime.io` in a process of this machine. Called by launchers for containers without our runtime."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

from flyte_temporal.adapters.launchers.settings import process_environment
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.storage.orders import STORAGE

_WORDS = 2000


async def move(order: AttemptOrder, *words: str, ends: bool = False) -> tuple[int, str]:
    """Run `python -m flyte_temporal.runtime.io`.

    Args:
        order: Of which attempt the data are.
        words: The command and its arguments.
        ends: Whether a caller that is cancelled ends it; else it goes on.

    Returns:
        The exit code, and the last of what it said about what is wrong.
    """
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
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        if ends:
            with suppress(ProcessLookupError):
                process.kill()
        raise
    return process.returncode or 0, (said or b"").decode(errors="replace").strip()[-_WORDS:]
