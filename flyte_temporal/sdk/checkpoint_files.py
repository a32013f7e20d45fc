"""What a task gives to be saved, as the files of a generation: read once, and refused if it changes meanwhile.

Used by `checkpoints`. Apart from it because what belongs to a folder is decided by `types.trees`, for checkpoints as for
every other directory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flyte_temporal.errors import UserCodeError
from flyte_temporal.sdk.types.converter import Misfit
from flyte_temporal.sdk.types.trees import Found, Listing, listing
from flyte_temporal.spec.trees import Tree, TreeFile

BYTES = "_dst_cp"
"""Name of the file that holds bytes; flytekit's."""


class CheckpointNotSaved(UserCodeError):
    """What was to be saved is not there, or was changed while it was saved."""

    code = "CheckpointNotSaved"


@dataclass(frozen=True)
class Contents:
    """What goes into a generation.

    Args:
        tree: The files by name, size and digest.
        data: For each of them its bytes, or where they are.
        found: The files as they were when they were looked at.
    """

    tree: Tree
    data: Sequence[bytes | Path]
    found: Sequence[Found] = ()

    @classmethod
    def of(cls, source: bytes | Path) -> Contents:
        """Return what bytes, a file or a folder hold.

        Raises:
            CheckpointNotSaved: If there is nothing, or it cannot be read.
        """
        if isinstance(source, bytes):
            file = TreeFile(path=BYTES, sha256=hashlib.sha256(source).hexdigest(), size=len(source))
            return cls(Tree(files=(file,)), [source])
        held = _held(source)
        tree = Tree.of([_hashed(each) for each in held.files], held.folders)
        found = sorted(held.files, key=lambda each: each.path)
        return cls(tree, [each.real for each in found], found)

    def check(self) -> None:
        """Refuse if a file is not as it was: the digests would be of something else than what was stored.

        Raises:
            CheckpointNotSaved: If so.
        """
        for each in self.found:
            try:
                now = each.real.stat()
            except OSError:
                now = None
            if now is None or (now.st_size, now.st_mtime_ns) != (each.size, each.modified):
                raise CheckpointNotSaved(
                    f"{each.real} was changed while it was saved as a checkpoint. Save when nothing writes to it."
                )


def copied(source: Path, folder: Path) -> Path:
    """Copy a file or folder into another folder and return the copy.

    Raises:
        CheckpointNotSaved: If there is nothing, or it cannot be read, or changed meanwhile.
    """
    held = _held(source)
    target = folder / source.name
    within = target if source.is_dir() else folder
    within.mkdir(exist_ok=True)
    for name in held.folders:
        (within / name).mkdir(parents=True, exist_ok=True)
    for each in held.files:
        shutil.copy(each.real, within / each.path)
    Contents(Tree(), (), held.files).check()
    return target


def _held(source: Path) -> Listing:
    try:
        if source.is_dir():
            return listing(source)
        state = source.stat()
    except Misfit as error:
        raise CheckpointNotSaved(f"No checkpoint was saved: {error.problem}.") from error
    except OSError as error:
        raise CheckpointNotSaved(f"No checkpoint was saved: {source}: {error.strerror or error}.") from error
    found = Found(source.name, source, state.st_size, state.st_mtime_ns, os.access(source, os.X_OK))
    return Listing([found])


def _hashed(found: Found) -> TreeFile:
    with found.real.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return TreeFile(path=found.path, sha256=sha256, size=found.size, executable=found.executable)
