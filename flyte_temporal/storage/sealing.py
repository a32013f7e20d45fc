"""Folders that nobody may write to any more, and the removal of folders whatever their permissions.

An unpacked bundle is shared by all executions of the same code: a task that writes into it would change the code of
later ones. Its permissions say no to every account but root.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

_FILE = 0o444
_EXECUTABLE = _FOLDER = 0o555


def seal(folder: Path) -> None:
    """Take away all permissions to write below a folder, and to the folder itself.

    Raises:
        OSError: If a permission cannot be changed.
    """
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(place, name)
            path.chmod(_EXECUTABLE if path.stat().st_mode & stat.S_IXUSR else _FILE)
        Path(place).chmod(_FOLDER)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, read-only folders too; what cannot be removed stays."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    shutil.rmtree(path, ignore_errors=True)
    if not path.exists():
        return
    with suppress(OSError):
        path.chmod(0o700)
    for place, folders, _ in os.walk(path):
        for name in folders:
            if not Path(place, name).is_symlink():
                with suppress(OSError):
                    Path(place, name).chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)
