"""The files of a source root that make a code bundle, with what tells whether one of them changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flyte_temporal.errors import BadRequest, LimitExceeded
from flyte_temporal.storage.ignore import ALWAYS_SKIPPED, IGNORE_FILES, Rule, is_ignored, read_rules

_LARGEST = 5
_TAG = "CACHEDIR.TAG"
_TAG_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
"""What marks a folder as one that programs can make again (https://bford.info/cachedir/)."""


@dataclass(frozen=True)
class BundleLimits:
    """What a code bundle may hold.

    Args:
        compressed_bytes: Size of the archive.
        raw_bytes: Sum of the sizes of its files.
        files: Number of its files.
    """

    compressed_bytes: int = 50 * 1024 * 1024
    raw_bytes: int = 200 * 1024 * 1024
    files: int = 20_000


@dataclass(frozen=True)
class SourceFile:
    """One file of a bundle.

    Args:
        name: Path below the source root, with slashes.
        size: Bytes.
        executable: Whether its owner may execute it.
        modified_ns: The later of its times of change of content and of attributes, nanoseconds.
    """

    name: str
    size: int
    executable: bool
    modified_ns: int


def source_files(root: Path, limits: BundleLimits) -> list[SourceFile]:
    """Return the files that belong into the bundle of a source root, sorted by name.

    Links to files are taken as the files that they name; links to folders, broken links, sockets, devices and
    folders with a CACHEDIR.TAG are left out.

    Raises:
        BadRequest: If a folder, an ignore file or the target of a link cannot be read.
        LimitExceeded: If there are too many or they are too large; the search ends there, so that a script in a
            home directory does not read the whole disk.
    """
    found: list[SourceFile] = []
    total = 0
    for file in _walk(root):
        found.append(file)
        total += file.size
        if total > limits.raw_bytes or len(found) > limits.files:
            raise too_large(root, found, total, limits)
    return sorted(found, key=lambda file: file.name)


def too_large(
    root: Path, files: list[SourceFile], total: int, limits: BundleLimits, compressed: int = 0
) -> LimitExceeded:
    """Return the error that names the largest files and says what to do."""
    largest = sorted(files, key=lambda file: -file.size)[:_LARGEST]
    names = ", ".join(f"{file.name} ({_size(file.size)})" for file in largest)
    if compressed:
        problem = f"{_size(compressed)} compressed; the limit is {_size(limits.compressed_bytes)}"
    elif len(files) > limits.files:
        problem = f"more than {limits.files} files, which is the limit"
    else:
        problem = f"{_size(total)} or more; the limit is {_size(limits.raw_bytes)}"
    return LimitExceeded(
        f"The code below {root} is too large to travel with an execution: {problem}. Largest files: {names}. "
        "List what the tasks do not need in a .flyteignore file there (same syntax as .gitignore), give data as "
        "inputs, or move the file with your workflow into a folder of its own."
    )


def unreadable(path: str | Path, error: OSError) -> BadRequest:
    """Return the error about a file or folder of the source root that cannot be read."""
    return BadRequest(
        f"{path} belongs to the code that travels with an execution, but cannot be read ({error.strerror or error}). "
        "Make it readable, or list it in a .flyteignore file (same syntax as .gitignore)."
    )


def _size(size: int) -> str:
    if size < 1024 * 1024:
        return f"{size / 1024:.1f} KiB"
    return f"{size / 1024 / 1024:.1f} MiB"


def _walk(root: Path) -> Iterator[SourceFile]:
    top = _work_tree(root)
    prefix = "" if top == root else f"{root.relative_to(top).as_posix()}/"
    rules: tuple[Rule, ...] = ()
    folder, depth = top, 0
    for part in prefix.split("/")[:-1]:
        rules += read_rules(folder, depth)
        folder, depth = folder / part, depth + len(part) + 1
    yield from _walk_folder(str(root), prefix, len(prefix), rules)


def _work_tree(root: Path) -> Path:
    """Return the top of the git work tree that the source root stands in, or the root itself."""
    return next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)


def _walk_folder(folder: str, prefix: str, root_length: int, rules: tuple[Rule, ...]) -> Iterator[SourceFile]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return  # removed since its name was read
    except OSError as error:
        raise unreadable(folder, error) from error
    if any(entry.name in IGNORE_FILES for entry in entries):
        rules += read_rules(Path(folder), len(prefix))
    for entry in entries:
        if entry.name in ALWAYS_SKIPPED or entry.name.endswith((".pyc", ".pyo")):
            continue
        path = prefix + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_ignored(path, rules, folder=is_folder):
            continue
        if is_folder:
            if not _is_virtual_environment(entry.path) and not _is_cache(entry.path):
                yield from _walk_folder(entry.path, path + "/", root_length, rules)
        elif (file := _file(entry, path[root_length:])) is not None:
            yield file


def _is_virtual_environment(folder: str) -> bool:
    # Not Path.exists(): it raises for a folder that cannot be read, about which the listing says more.
    return os.path.exists(f"{folder}/pyvenv.cfg")  # noqa: PTH110


def _is_cache(folder: str) -> bool:
    try:
        with Path(folder, _TAG).open("rb") as tag:
            return tag.read(len(_TAG_SIGNATURE)) == _TAG_SIGNATURE
    except OSError:
        # Mostly there is none. If it, or the folder, cannot be read, the folder's listing says so.
        return False


def _file(entry: os.DirEntry[str], name: str) -> SourceFile | None:
    try:
        status = entry.stat()
    except PermissionError as error:
        raise unreadable(entry.path, error) from error
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    executable = bool(status.st_mode & stat.S_IXUSR)
    return SourceFile(name, status.st_size, executable, max(status.st_mtime_ns, status.st_ctime_ns))
