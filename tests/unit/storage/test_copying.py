from __future__ import annotations

import hashlib
import mmap
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.errors import StorageError
from flyte_temporal.storage import copying
from flyte_temporal.storage.hashing import Digest
from flyte_temporal.storage.local import LocalBlobStore

MIB = 1024 * 1024
linux = pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(random.Random(0).randbytes(9 * MIB + 7))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def copied(source: Path, target: Path) -> tuple[str, int]:
    with source.open("rb") as stream:
        return copying.copy(stream.fileno(), str(target))


def test_a_copy_has_the_digest_of_what_was_written(file: Path, tmp_path: Path) -> None:
    assert copied(file, tmp_path / "copy") == (sha256(file), file.stat().st_size)
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()


def test_a_copy_without_help_of_the_kernel(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "copy_file_range", raising=False)
    assert copied(file, tmp_path / "copy") == (sha256(file), file.stat().st_size)
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()


def test_an_existing_file_is_not_written_over(file: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        copied(file, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"mine"


@pytest.mark.parametrize("sizes", [[], [1, 2, 3], [MIB], [10, MIB, 10, 3 * MIB, 1]])
def test_a_digest_of_pieces(sizes: list[int]) -> None:
    digest, plain = Digest(), hashlib.sha256()
    for number, size in enumerate(sizes):
        piece = random.Random(number).randbytes(size)
        digest.update(piece)
        plain.update(piece)
        if size == 10:
            assert digest.hexdigest() == plain.hexdigest()
    assert digest.hexdigest() == plain.hexdigest()
    assert digest.size == sum(sizes)


def test_a_digest_reports_what_could_not_be_read() -> None:
    def fail() -> bytes:
        raise OSError("gone")

    digest = Digest()
    for _ in range(20):
        digest.update_later(1, fail)
    with pytest.raises(OSError, match="gone"):
        digest.hexdigest()


@linux
def test_a_file_that_nobody_writes_is_sealed(file: Path) -> None:
    found = copying.sealed(str(file))
    assert found is not None
    assert (found[0], found[1].st_size) == (sha256(file), file.stat().st_size)
    assert file.stat().st_mode & 0o777 == 0o444


@linux
def test_a_file_that_is_open_for_writing_is_not(file: Path) -> None:
    with file.open("ab"):
        assert copying.sealed(str(file)) is None
    with file.open("r+b") as stream:
        mapped = mmap.mmap(stream.fileno(), 0)
    assert copying.sealed(str(file)) is None
    mapped.close()
    assert file.stat().st_mode & 0o777 == 0o644
    assert copying.sealed(str(file)) is not None


@linux
def test_a_file_that_is_opened_for_writing_while_it_is_hashed_is_not(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_WINDOW", MIB)
    mapped = mmap.mmap
    writers: list[threading.Thread] = []

    def slow(*arguments: Any, **options: Any) -> Any:
        if not writers:
            writers.append(threading.Thread(target=lambda: file.open("r+b").close()))
            writers[0].start()
            time.sleep(0.2)
        return mapped(*arguments, **options)

    monkeypatch.setattr(mmap, "mmap", slow)
    assert copying.sealed(str(file)) is None
    writers[0].join(5)
    assert not writers[0].is_alive()


@linux
def test_a_file_that_another_process_writes_is_not_sealed(file: Path) -> None:
    code = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert copying.sealed(str(file)) is None
        other.communicate()


@linux
def test_a_file_of_two_names_is_not_sealed(file: Path, tmp_path: Path) -> None:
    os.link(file, tmp_path / "other name")
    assert copying.sealed(str(file)) is None


@linux
def test_a_store_takes_a_given_file_without_a_copy(file: Path, tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "store")
    content = file.read_bytes()
    stored = store.put_file(file, give=True)
    assert file.stat().st_ino == (tmp_path / "store" / stored.key).stat().st_ino
    file.unlink()
    assert store.get(stored.key, stored.sha256) == content


def test_a_file_that_is_still_written_is_copied(file: Path, tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "store")
    content = file.read_bytes()
    with file.open("ab") as stream:
        stored = store.put_file(file, give=True)
        stream.write(b"more")
    assert store.get(stored.key, stored.sha256) == content


def test_a_folder_that_cannot_be_made(file: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    store = LocalBlobStore(tmp_path / "taken" / "store")
    with pytest.raises(StorageError, match="Could not write"):
        store.put_file(file)
    with pytest.raises(StorageError, match="Could not write"):
        store.create()
