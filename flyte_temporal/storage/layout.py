"""Where the local blob store keeps a key: its own path, but for the small documents of attempts.

Each attempt leaves one small manifest in a folder of its own, and each node has a folder too. Making these two
folders costs more than everything else that a short task does (measured on ext4: 0.3 to 0.7 ms each, and as much
again for the first file in a new folder). So `attempts/p/d/e/NODE/ATTEMPT/manifest.json` is kept as
`attempts/p/d/e/at#NODE#ATTEMPT#manifest.json`, one folder per execution.
"""

# ruff: noqa: PTH113, PTH116, PTH208
# Plain strings as paths: a short task writes one small object; pathlib would double what that costs.
from __future__ import annotations

import os
from collections.abc import Iterator

from flyte_temporal.storage.markers import MARKER
from flyte_temporal.storage.object_keys import FLAT, STAMP, TEMPORARY

_FLAT_FILES = frozenset({"manifest.json", "traceback.txt"})
_EXECUTION_DEPTH = 4
_FILE_DEPTH = 7


def path_of(key: str) -> str:
    """Return the path of a key below the root of the store."""
    if not key.startswith("attempts/"):
        return key
    parts = key.split("/")
    if len(parts) != _FILE_DEPTH or parts[-1] not in _FLAT_FILES or "#" in key:
        return key
    return f"{'/'.join(parts[:_EXECUTION_DEPTH])}/{FLAT}{'#'.join(parts[_EXECUTION_DEPTH:])}"


def key_of(path: str) -> str:
    """Return the key of a path below the root of the store."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{name[len(FLAT) :].replace('#', '/')}" if name.startswith(FLAT) else path


def scan(root: str, prefix: str) -> Iterator[tuple[str, int]]:
    """Yield key and size of all objects below a prefix, in no order."""
    for folder, _, names in os.walk(f"{root}/{prefix}" if prefix else root):
        for name in names:
            path = f"{folder}/{name}"
            if name == MARKER and folder == root:
                continue
            if not name.startswith((TEMPORARY, STAMP)) and os.path.isfile(path):
                yield key_of(path[len(root) + 1 :]), os.stat(path).st_size
    parts = prefix.split("/")
    if parts[0] == "attempts" and _EXECUTION_DEPTH < len(parts) < _FILE_DEPTH:
        yield from _scan_flat(root, "/".join(parts[:_EXECUTION_DEPTH]), prefix)


def _scan_flat(root: str, execution: str, prefix: str) -> Iterator[tuple[str, int]]:
    try:
        names = os.listdir(f"{root}/{execution}")
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        key = key_of(f"{execution}/{name}")
        if name.startswith(FLAT) and key.startswith(f"{prefix}/"):
            yield key, os.stat(f"{root}/{execution}/{name}").st_size
