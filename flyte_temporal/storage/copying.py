"""Copies of local files with their SHA-256 in one pass, and the files that need no copy because they are given away.

Used by the local blob store and by files of plain runs. Apart from the store because it knows kernels (clones,
`copy_file_range`, leases), and nothing about keys.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import signal
import stat
import sys

from flyte_temporal.storage.hashing import Digest

_PIECE = 4 * 1024 * 1024
_WINDOW = 64 * 1024 * 1024
_FICLONE = 0x40049409
_SEALED = 0o444
_NOT_POSSIBLE = frozenset(
    {errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY, errno.EPERM, errno.EBADF}
)


def copy(source: int, path: str, *, sync: bool = False) -> tuple[str, int]:
    """Copy an open file to a new one and return the SHA-256 and the size of what the copy holds.

    Args:
        source: Descriptor, at its start.
        path: The new file, which must not exist.
        sync: Whether the copy is on the disk before this returns.

    Raises:
        OSError: If one cannot be read, or the other not be written.
    """
    target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    digest = Digest()
    try:
        if _cloned(source, target):
            _digest_of(target, digest)
        else:
            _copy_pieces(source, target, digest)
        found = digest.hexdigest()
        if sync:
            os.fsync(target)
    finally:
        digest.close()
        os.close(target)
    return found, digest.size


def copy_known(source: int, path: str) -> int:
    """Copy an open file whose digest is known to a new one, inside of the kernel where that can, and return its size.

    Args:
        source: Descriptor, at its start.
        path: The new file, which must not exist.

    Raises:
        OSError: If one cannot be read, or the other not be written.
    """
    target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        if not _cloned(source, target):
            while _copy_piece(source, target, _WINDOW):
                pass
        return os.fstat(target).st_size
    finally:
        os.close(target)


def _cloned(source: int, target: int) -> bool:
    """Share the blocks where the file system can (btrfs, XFS): each is copied when one of the two is written."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _copy_pieces(source: int, target: int, digest: Digest) -> None:
    size = 0
    while moved := _copy_piece(source, target):
        start = size
        size += moved
        if moved < _PIECE:
            digest.update(_read_at(target, start, moved))
        else:
            digest.update_later(moved, lambda start=start, moved=moved: _read_at(target, start, moved))  # type: ignore[misc]


def _copy_piece(source: int, target: int, size: int = _PIECE) -> int:
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, size)
        except OSError as error:
            if error.errno not in _NOT_POSSIBLE:
                raise
    data = os.read(source, _PIECE)
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
    return len(data)


def _read_at(descriptor: int, start: int, size: int) -> bytes:
    """Read a piece of the copy, so that the digest is that of what was written and not of what was meant."""
    data = os.pread(descriptor, size, start)
    while len(data) < size:
        more = os.pread(descriptor, size - len(data), start + len(data))
        if not more:
            raise OSError(errno.EIO, "the copy is shorter than what was written")
        data += more
    return data


def _digest_of(descriptor: int, digest: Digest) -> None:
    while data := os.pread(descriptor, _PIECE, digest.size):
        digest.update(data)


def sealed(path: str) -> tuple[str, os.stat_result] | None:
    """Make a file read-only that nobody can write to any more; return its SHA-256 and what is known of it. None: not sure.

    It may then be linked instead of copied. Sure means: a regular file of one name, and no process of this machine has it
    open for writing or maps it so. The kernel answers that, because it grants a read lease to nobody else's file but an
    unwritten one. Whoever opens it to write while it is hashed has to wait for the lease, and the answer is None. Root
    could still open it anew by its name afterwards; the folder of an attempt is removed when the attempt ends.

    Raises:
        OSError: If it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode) or before.st_nlink != 1 or before.st_uid != os.geteuid():
            return None
        os.fchmod(descriptor, _SEALED)
        found = _digest_of_unwritten(descriptor, before.st_size)
        after = os.fstat(descriptor)
        if not found or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
            return None
        return found, after
    finally:
        os.close(descriptor)


def _digest_of_unwritten(descriptor: int, size: int) -> str:
    """Return the digest of a file that nobody writes to; empty if somebody does, or wants to."""
    if not _leased(descriptor):
        return ""
    digest = hashlib.sha256()
    try:
        for start in range(0, size, _WINDOW):
            # Mapped, because copying it into Python's memory costs a sixth more time. A mapped file that somebody cuts
            # would end the process; the lease keeps them waiting (for 45 s), and is looked at for each piece.
            if fcntl.fcntl(descriptor, fcntl.F_GETLEASE) != fcntl.F_RDLCK:
                return ""
            length = min(_WINDOW, size - start)
            with mmap.mmap(descriptor, length, prot=mmap.PROT_READ, offset=start) as window:
                digest.update(window)
        return digest.hexdigest() if fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK else ""
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _leased(descriptor: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        # Whoever opens the file in between makes the kernel send a signal; SIGIO, the usual one, would end the process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError:  # somebody has it open, or the file system has no leases (NFS, FUSE)
        return False
    return True
