"""Unpacking of an archive that may have been made by somebody else: plain files below one folder, and nothing more."""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from flyte_temporal.errors import CorruptBlob
from flyte_temporal.storage.source_files import BundleLimits

_RATIO = 200
_RATIO_FREE_BYTES = 16 * 1024 * 1024
"""Below this size no ratio is suspicious: a file of zeros shrinks to a thousandth."""


def extract(archive: Path, target: Path, limits: BundleLimits) -> None:
    """Unpack a `.tar.gz` into a folder.

    Args:
        archive: The archive; its digest has been checked.
        target: An empty folder.
        limits: Number and total size of the files that are accepted.

    Raises:
        CorruptBlob: If the archive is damaged, has links, devices, absolute names or `..`, or more than the limits.
        OSError: If a file cannot be written.
    """
    allowed = min(limits.raw_bytes, max(_RATIO_FREE_BYTES, archive.stat().st_size * _RATIO))
    count = total = 0
    try:
        with tarfile.open(archive, "r|gz", encoding="utf-8") as entries:
            for entry in entries:
                _check(entry)
                count, total = count + 1, total + entry.size
                if count > limits.files or total > allowed:
                    raise CorruptBlob(
                        f"The code bundle {archive.name} holds more than {limits.files} files or {allowed} bytes "
                        "unpacked; it is refused."
                    )
                content = entries.extractfile(entry)
                if content is not None:
                    _write(target / entry.name, content, executable=bool(entry.mode & 0o100))
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise CorruptBlob(f"The code bundle {archive.name} is damaged: {error}.") from error


def _check(entry: tarfile.TarInfo) -> None:
    name = PurePosixPath(entry.name)
    if not entry.isreg() or name.is_absolute() or ".." in name.parts or "\\" in entry.name or not name.parts:
        raise CorruptBlob(
            f"The code bundle holds {entry.name!r}, which is a link, a device, a folder or outside of it. Bundles "
            "made by flyte-temporal hold plain files only; it is refused."
        )


def _write(path: Path, content: IO[bytes], *, executable: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # O_EXCL: a second entry of the same name is no bundle of ours.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o755 if executable else 0o644), "wb") as file:
        while chunk := content.read(1024 * 1024):
            file.write(chunk)
