"""What the local store remembers of a file whose digest it has found itself, so that a copy need not find it again.

Beside a large object stands a small file with the stamp of its inode: device, number, size, and the times of its last
change. The kernel sets the time of change (ctime) at every write, `chmod`, link and rename, and gives nobody a way to set
it back. While the stamp is what it was, the bytes are those that were hashed. Apart from the store because the reasons why
that is sound are all here:

- It holds for one boot of one machine. After a power cut a file may have its times without its bytes, so that everything
  is verified anew then. A disk that decays is noticed by whoever reads the file first after that.
- Clocks tick every few ms. Only files are remembered whose hashing took longer than a tick, so that a write after it shows.
- Whoever may write into the store's folder could forge a stamp. They could as well forge the documents that name digests.
"""

# ruff: noqa: PTH105, PTH108, PTH116, PTH120, PTH119, PTH123
# Plain strings as paths, as in `local`.
from __future__ import annotations

import io
import json
import os
import secrets
import time
from contextlib import suppress
from functools import cache

from flyte_temporal.storage.object_keys import STAMP, TEMPORARY

LARGE = 16 * 1024 * 1024
"""Smaller files are hashed while they are copied: that costs less than 20 ms, and a stamp would cost a file."""

_SETTLED_NS = 1_000_000_000


def remember(path: str, sha256: str, hashed: os.stat_result) -> None:
    """Note that a stored file has a digest; what cannot be noted is hashed again by its readers.

    Args:
        path: Where it stands for good.
        sha256: Its digest.
        hashed: What was known of it when nobody could write to it any more, before it was hashed or written by us.
    """
    boot = _boot()
    if not boot or hashed.st_size < LARGE:
        return
    with suppress(OSError):
        now = os.stat(path)
        if _content(now) != _content(hashed):
            return
        temporary = f"{os.path.dirname(path)}/{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(json.dumps([boot, sha256, *_stamp(now)]))
        os.replace(temporary, _beside(path))


def is_known(path: str, sha256: str, now: os.stat_result) -> bool:
    """Return whether a stored file is surely the one that had this digest.

    Args:
        path: Where it stands.
        sha256: The digest that it should have.
        now: `os.fstat` of the open file.
    """
    boot = _boot()
    if not boot or now.st_size < LARGE:
        return False
    try:
        with open(_beside(path), encoding="utf-8") as file:
            return bool(json.load(file) == [boot, sha256, *_stamp(now)])
    except (OSError, ValueError):
        return False


def unchanged(before: os.stat_result, after: os.stat_result) -> bool:
    """Return whether nobody wrote to an open file between two looks at it."""
    return _stamp(before) == _stamp(after)


def long_unchanged(seen: os.stat_result) -> bool:
    """Return whether the last change is so long ago that another one would have another time."""
    return time.time_ns() - max(seen.st_mtime_ns, seen.st_ctime_ns) > _SETTLED_NS


class Known(io.FileIO):
    """A stored file that is open for reading and need not be hashed."""

    def is_intact(self) -> bool:
        """Return whether nobody has written to it since it was opened."""
        return unchanged(self.before, os.fstat(self.fileno()))

    before: os.stat_result


def opened(path: str, sha256: str | None) -> io.FileIO:
    """Open a stored file; it is a `Known` if it surely has the digest.

    Raises:
        OSError: If it cannot be opened.
    """
    file = Known(path, "rb")
    file.before = os.fstat(file.fileno())
    if sha256 is not None and is_known(path, sha256, file.before):
        return file
    file.close()
    return io.FileIO(path, "rb")


def forget(path: str) -> None:
    """Remove what is noted of a file."""
    with suppress(OSError):
        os.unlink(_beside(path))


def _beside(path: str) -> str:
    return f"{os.path.dirname(path)}/{STAMP}{os.path.basename(path)}"


def _content(found: os.stat_result) -> tuple[int, ...]:
    """Return what a link or a rename leaves as it is."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return *_content(found), found.st_ctime_ns


@cache
def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:  # not Linux: nothing is remembered
        return ""
