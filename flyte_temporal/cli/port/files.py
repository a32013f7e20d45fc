"""Files of `port`: which ones a path stands for, and how one is replaced without ever being half written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from flyte_temporal.errors import NotFound

_SKIPPED = {"__pycache__", "node_modules", "site-packages"}


def python_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files that paths stand for: a file itself, a folder's `.py` files at any depth.

    Hidden folders, virtual environments (by their `pyvenv.cfg`), installed packages and links to folders are not
    entered. A file that is reached twice is returned once.

    Args:
        paths: Files and folders.

    Raises:
        NotFound: If a path does not exist.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise NotFound(f"There is no file or folder {path}. Give the sources to port.")
        for file in _below(path) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _below(folder: Path) -> Iterator[Path]:
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _skips(Path(at, name)))
        yield from (Path(at, name) for name in sorted(files) if name.endswith(".py"))


def _skips(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in _SKIPPED or (folder / "pyvenv.cfg").exists()


def replace(path: Path, content: bytes) -> None:
    """Replace a file's content in one step; its mode stays, and a link stays a link.

    Args:
        path: The file.
        content: What it is to hold.

    Raises:
        OSError: If it cannot be written; the file is as it was then.
    """
    target = path.resolve()
    mode = target.stat().st_mode
    if not os.access(target, os.W_OK):
        raise PermissionError(f"{path} is not writable")
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode & 0o7777)
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
