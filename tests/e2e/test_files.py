"""A file passes between tasks without being read by any process but the two tasks; the kernel is the witness."""

from __future__ import annotations

import ctypes
import hashlib
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import Command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="asks inotify"),
]

CONTENT = bytes(range(256)) * 12_000
_OPENED = 0x20
_MOVED_HERE = 0x80


class Watch:
    """Counts what happens to the files of one folder, whoever does it."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._descriptor >= 0
        assert libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _OPENED | _MOVED_HERE) >= 0

    def events(self, name: str) -> list[int]:
        """Return the kinds of events of a file since the last call."""
        try:
            data = os.read(self._descriptor, 1024 * 1024)
        except BlockingIOError:
            return []
        found, position = [], 0
        while position < len(data):
            _, mask, _, length = struct.unpack_from("iIII", data, position)
            position += 16
            if data[position : position + length].rstrip(b"\0") == name.encode():
                found.append(mask)
            position += length
        return found

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def watch(cli: Command) -> Iterator[Watch]:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    folder = cli.home / "storage" / "blobs" / "sha256" / sha256[:2]
    folder.mkdir(parents=True, exist_ok=True)
    watch = Watch(folder)
    yield watch
    watch.close()


@pytest.mark.parametrize("entity", ["wf_path", "wf_stream"])
def test_only_its_reader_opens_a_passed_file(entity: str, cli: Command, watch: Watch, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(Path(__file__).with_name("files.py.txt").read_text(encoding="utf-8"), encoding="utf-8")
    name = hashlib.sha256(CONTENT).hexdigest()
    done = cli("run", "-o", "json", program, entity).document
    assert (done["phase"], done["outputs"]) == ("SUCCEEDED", {"o0": len(CONTENT)}), done
    # It appears complete, and then one process opens it once: the task that reads it, not the one that passes it on.
    assert watch.events(name) == [_MOVED_HERE, _OPENED]
