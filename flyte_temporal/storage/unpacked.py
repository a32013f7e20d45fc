"""Unpacked bundles on this machine: held by the processes that use them, and removed when nobody did for long.

A process holds a bundle by a shared lock on its folder, which the kernel frees when the last process that inherited
it is gone. Apart from `bundles` because it is about the life of a folder, not about what is in it.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

from flyte_temporal.storage.sealing import remove

TEMPORARY = ".tmp-"
UNUSED_S = 7 * 24 * 3600.0
"""An edited program makes a new bundle; a week later nobody is likely to run the old one, and it can be fetched."""
_UNFINISHED_S = 24 * 3600.0
_DIGEST = re.compile(r"[0-9a-f]{64}")

_held: dict[Path, int] = {}


def hold(folder: Path) -> bool:
    """Keep a bundle from being removed as long as this process, or one that it forks, lives; note that it is used.

    Args:
        folder: The unpacked bundle.

    Returns:
        Whether it is there.
    """
    while True:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return False
        # Waits for somebody who is just removing it.
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if _is(descriptor, folder):
            break
        os.close(descriptor)
    before = _held.get(folder)
    if before is not None and _is(before, folder):
        os.close(descriptor)
    else:
        # The folder of the one before, if any, was removed by hand; its descriptor may long be something else's.
        _held[folder] = descriptor
    with suppress(PermissionError):  # another account's cache: the lock is all that we can do
        os.utime(folder)
    return True


def sweep(cache: Path) -> None:
    """Remove the bundles that nobody used for a week and nobody holds, and what was never unpacked to its end."""
    for path in cache.iterdir():
        if _DIGEST.fullmatch(path.name):
            if _age_s(path) > UNUSED_S:
                _remove_unused(path)
        elif path.name.startswith(TEMPORARY) and _age_s(path) > _UNFINISHED_S:
            remove(path)


def _remove_unused(folder: Path) -> None:
    """Take a bundle out of sight under an exclusive lock, so that nobody begins to use what is half gone."""
    doomed = folder.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return  # another launcher was faster, or it is not ours
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _age_s(folder) <= UNUSED_S or not _is(descriptor, folder):
            return
        folder.rename(doomed)
    except OSError:
        return  # somebody holds it, or it cannot be moved: it stays
    finally:
        os.close(descriptor)
    remove(doomed)


def _is(descriptor: int, folder: Path) -> bool:
    """Return whether an open folder is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except OSError:
        return False


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0
