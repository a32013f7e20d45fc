"""Notice of the end of a process that is not our child: the first one of a container."""

from __future__ import annotations

import asyncio
import errno
import os
import time

from flyte_temporal.storage.scratch import start_time

_LOOK_S = 1.0


async def wait_for_end(pid: int, timeout_s: float) -> None:
    """Return when a process is gone, or when the time is over.

    Args:
        pid: Its number; 0 = it cannot be seen from here, and the time is waited for, a second at most.
        timeout_s: Seconds.
    """
    if not pid:
        await asyncio.sleep(min(_LOOK_S, timeout_s))
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError) as error:
        if getattr(error, "errno", None) == errno.ESRCH:
            return
        await asyncio.sleep(min(_LOOK_S, timeout_s))
        return
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, gone.set)
    try:
        async with asyncio.timeout(timeout_s):
            await gone.wait()
    except TimeoutError:
        return
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def started_at(ticks: str) -> float | None:
    """Return since when, in seconds of the clock, a process runs of which the kernel says this; None if it cannot be told."""
    if not ticks:
        return None
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(ticks) / os.sysconf("SC_CLK_TCK")


def is_alive(pid: int) -> bool:
    """Return whether there is such a process on this machine."""
    return bool(pid) and start_time(pid) is not None
