"""Files of a declared image: what of them counts. Used where an image is declared, and again where it is built."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flyte_temporal.spec.document import canonical_json, sha256_hex

LEFT_OUT = frozenset({"__pycache__", ".git", ".venv"})
"""Folders that neither count nor are copied: what is in them is of one machine."""


def content_digest(path: Path) -> str:
    """Return the digest of a file, or of all files in a folder with their places in it.

    Raises:
        OSError: If it cannot be read.
    """
    if not path.is_dir():
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    listed = [
        [file.relative_to(path).as_posix(), content_digest(file)]
        for file in sorted(path.rglob("*"))
        if file.is_file() and not LEFT_OUT.intersection(file.relative_to(path).parts)
    ]
    return sha256_hex(canonical_json(listed))
