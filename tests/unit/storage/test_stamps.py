from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flyte_temporal.errors import CorruptBlob
from flyte_temporal.ports.blob_store import StoredFile
from flyte_temporal.sdk.types import streaming
from flyte_temporal.spec.literals import FileValue
from flyte_temporal.storage import copying, local, stamps
from flyte_temporal.storage.local import LocalBlobStore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="stamps hold for a boot, which Linux names")

DATA = random.Random(0).randbytes(stamps.LARGE)


@pytest.fixture
def store(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path / "store")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what copies were hashed on the way."""
    seen: list[str] = []
    real = copying.copy

    def copy(source: int, path: str, *, sync: bool = False) -> tuple[str, int]:
        seen.append(path)
        return real(source, path, sync=sync)

    monkeypatch.setattr(local, "copy", copy)
    return seen


def by_copy(store: LocalBlobStore, path: Path) -> StoredFile:
    path.write_bytes(DATA)
    return store.put_file(path)


def by_gift(store: LocalBlobStore, path: Path) -> StoredFile:
    path.write_bytes(DATA)
    stored = store.put_file(path, give=True)
    assert path.exists()  # it may be part of another output
    store.settle()
    assert not path.exists()
    return stored


def by_stream(store: LocalBlobStore, _path: Path) -> StoredFile:
    stream = store.create()
    stream.write(DATA)
    return stream.commit()


WAYS = pytest.mark.parametrize("way", [by_copy, by_gift, by_stream])
Way = Callable[[LocalBlobStore, Path], StoredFile]


@WAYS
def test_what_the_store_has_hashed_is_copied_without_it(
    store: LocalBlobStore, tmp_path: Path, hashed: list[str], way: Way
) -> None:
    stored = way(store, tmp_path / "file")
    hashed.clear()
    assert store.fetch(stored.key, tmp_path / "copy", stored.sha256)
    assert (tmp_path / "copy").read_bytes() == DATA
    assert hashed == []
    (tmp_path / "copy").write_bytes(b"mine")  # it is the reader's own
    assert store.get(stored.key, stored.sha256) == DATA


@WAYS
@pytest.mark.parametrize("restored", [False, True], ids=["", "times set back"])
def test_a_flipped_byte_is_found(store: LocalBlobStore, tmp_path: Path, way: Way, restored: bool) -> None:
    stored = way(store, tmp_path / "file")
    place = tmp_path / "store" / stored.key
    times = place.stat()
    place.chmod(0o644)
    with place.open("r+b") as file:
        file.seek(len(DATA) // 2)
        file.write(bytes([DATA[len(DATA) // 2] ^ 1]))
    if restored:
        os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
        place.chmod(times.st_mode)
    with pytest.raises(CorruptBlob):
        store.fetch(stored.key, tmp_path / "copy", stored.sha256)
    assert not (tmp_path / "copy").exists()
    stream = store.open(stored.key, stored.sha256)
    assert stream is not None
    value = FileValue(uri="x", name="x", sha256=stored.sha256, size=stored.size)
    with streaming.reader(stream, value, "rb") as reading, pytest.raises(CorruptBlob):
        reading.read()


def test_a_stream_of_a_known_file_is_not_hashed(store: LocalBlobStore, tmp_path: Path) -> None:
    stored = by_gift(store, tmp_path / "file")
    stream = store.open(stored.key, stored.sha256)
    assert isinstance(stream, stamps.Known)
    value = FileValue(uri="x", name="x", sha256=stored.sha256, size=stored.size)
    with streaming.reader(stream, value, "rb") as reading:
        assert reading.read() == DATA


def test_a_known_file_that_is_written_while_it_is_read_is_found(
    store: LocalBlobStore, tmp_path: Path
) -> None:
    stored = by_copy(store, tmp_path / "file")
    stream = store.open(stored.key, stored.sha256)
    assert isinstance(stream, stamps.Known)
    value = FileValue(uri="x", name="x", sha256=stored.sha256, size=stored.size)
    with streaming.reader(stream, value, "rb") as reading:
        assert reading.read(10) == DATA[:10]
        time.sleep(0.02)
        with (tmp_path / "store" / stored.key).open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"x")
        with pytest.raises(CorruptBlob, match="written to while it was read"):
            reading.read()


def test_another_boot_and_another_digest_know_nothing(
    store: LocalBlobStore, tmp_path: Path, hashed: list[str]
) -> None:
    stored = by_copy(store, tmp_path / "file")
    with pytest.raises(CorruptBlob):
        store.fetch(stored.key, tmp_path / "copy", hashlib.sha256(b"other").hexdigest())
    place = tmp_path / "store" / stored.key
    note = place.with_name(f".seen-{place.name}")
    note.write_text(json.dumps(["another boot", *json.loads(note.read_text())[1:]]))
    hashed.clear()
    assert store.fetch(stored.key, tmp_path / "copy", stored.sha256)
    assert len(hashed) == 1


def test_a_reader_that_has_hashed_spares_the_next_one(
    store: LocalBlobStore, tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = by_copy(store, tmp_path / "file")
    place = tmp_path / "store" / stored.key
    place.with_name(f".seen-{place.name}").write_text("half a no")
    hashed.clear()
    assert store.fetch(stored.key, tmp_path / "copy", stored.sha256)
    assert store.fetch(stored.key, tmp_path / "copy", stored.sha256)
    assert len(hashed) == 2  # it is too young: a write within the same tick would not show
    monkeypatch.setattr(stamps, "_SETTLED_NS", 0)
    for _ in range(3):
        assert store.fetch(stored.key, tmp_path / "copy", stored.sha256)
    assert len(hashed) == 3


def test_stamps_are_no_objects_and_go_with_them(store: LocalBlobStore, tmp_path: Path) -> None:
    stored = by_copy(store, tmp_path / "file")
    assert [info.key for info in store.list("")] == [stored.key]
    store.delete(stored.key)
    assert [path.name for path in (tmp_path / "store" / "blobs").rglob("*") if path.is_file()] == []


def test_small_files_have_none(store: LocalBlobStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"small")
    store.put_file(tmp_path / "file")
    assert list((tmp_path / "store").rglob(".seen-*")) == []


def test_a_file_that_was_made_anew_under_the_old_name_stays(store: LocalBlobStore, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    store.put_file(path, give=True)
    path.unlink()
    path.write_bytes(b"new")
    store.settle()
    assert path.read_bytes() == b"new"
