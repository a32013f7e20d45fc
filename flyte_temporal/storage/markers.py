"""Marks by which our own folders are not taken for a user's code, when they lie among it.

Otherwise the blob store would be packed into the code bundle, the bundle be stored in the blob store, and so on.
"""

from __future__ import annotations

import os
from pathlib import Path

MARKER = ".gitignore"
"""git and `source_files` obey it. Not a CACHEDIR.TAG: that would keep results out of people's backups."""


def keep_out_of_code(folder: str | Path) -> None:
    """Mark a folder of ours with all that is in it; a marker that is there stays as it is.

    Raises:
        OSError: If it cannot be written.
    """
    try:
        descriptor = os.open(f"{folder}/{MARKER}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("# Written by flyte-temporal: nothing here is source code.\n*\n")
