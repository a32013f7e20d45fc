"""What processes that were killed left behind on this machine, removed when a launcher starts.

Apart from `scratch` because nothing here decides anything: it only frees disk space, and only of what is surely dead.
"""

from __future__ import annotations

import time
from pathlib import Path

from flyte_temporal.storage import scratch
from flyte_temporal.storage.sealing import remove

_UNFINISHED_S = 60.0
_REPORTED_S = 3600.0
FORGOTTEN_S = 30 * 24 * 3600.0
"""How long what nobody has asked for is kept."""


def sweep_attempts(root: Path) -> None:
    """Remove half-made and half-removed attempts, and those that nobody released for a month.

    Young ones are left alone, because another launcher may be about to finish them.
    """
    for path in root.iterdir():
        if path.name.startswith((scratch.OLD, scratch.NEW)):
            if _age_s(path) > _UNFINISHED_S:
                remove(path)
        elif _age_s(path) > FORGOTTEN_S and not scratch.is_held(path.with_suffix("")):
            remove(path)


def sweep_processes(folders: Path) -> None:
    """Remove the folders of warm processes that are gone, an hour after their last word.

    Before that, somebody may still be reading their log for a report.
    """
    for path in folders.iterdir():
        pid, _, started = path.name.partition("-")
        if (
            pid.isdigit()
            and scratch.start_time(int(pid)) != started
            and _age_s(path / scratch.LOG) > _REPORTED_S
        ):
            remove(path)


def sweep_files(folder: Path) -> None:
    """Remove files that nobody has written to for a month (logs of zygotes)."""
    for path in folder.iterdir():
        if _age_s(path) > FORGOTTEN_S:
            remove(path)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return time.time()
