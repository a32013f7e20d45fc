from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flyte_temporal.errors import StorageError
from flyte_temporal.spec import keys
from flyte_temporal.storage.logs import CHUNK_BYTES, AttemptLog, read_log
from flyte_temporal.testing.blobs import MemoryBlobStore

KEY = "attempts/p/d/e/n0/1-x"


def whole(store: MemoryBlobStore) -> bytes:
    return b"".join(read_log(store, KEY))


def test_what_is_printed_arrives_once(tmp_path: Path) -> None:
    store, log = MemoryBlobStore(), AttemptLog(tmp_path / "log", KEY)
    assert log.ship(store) == 0
    assert list(tmp_path.iterdir()) == []
    log.path.write_bytes(b"one\n")
    assert log.pending(0) == 4
    assert log.ship(store) == 1
    assert log.ship(store) == 1
    with log.path.open("ab") as file:
        file.write(b"two\n")
    assert log.ship(store) == 2
    assert whole(store) == b"one\ntwo\n"
    assert list(read_log(store, KEY, 1)) == [b"two\n"]


def test_chunks_are_bounded(tmp_path: Path) -> None:
    store, log = MemoryBlobStore(), AttemptLog(tmp_path / "log", KEY)
    data = bytes(range(256)) * 10_000
    log.path.write_bytes(data)
    assert log.ship(store) == 3
    assert whole(store) == data
    assert max(len(chunk) for chunk in read_log(store, KEY)) == CHUNK_BYTES


@pytest.mark.parametrize("size", [2 * 1024 * 1024, 2 * 1024 * 1024 + 1, 5 * 1024 * 1024])
def test_a_quota_cuts_with_a_mark(tmp_path: Path, size: int) -> None:
    quota = 2 * 1024 * 1024
    store, log = MemoryBlobStore(), AttemptLog(tmp_path / "log", KEY, quota)
    log.path.write_bytes(b"x" * size)
    chunks = log.ship(store)
    kept = whole(store)
    assert kept[:quota] == b"x" * quota
    assert (b"cut here, after 2 MiB" in kept) == (size > quota)
    with log.path.open("ab") as file:
        file.write(b"more")
    assert log.ship(store) == (chunks if size > quota else chunks + 1)


def test_a_store_that_fails_is_tried_again(tmp_path: Path) -> None:
    class Failing(MemoryBlobStore):
        down = True

        def put(self, key: str, data: bytes | Path) -> None:
            if self.down:
                raise StorageError("down")
            super().put(key, data)

    store, log = Failing(), AttemptLog(tmp_path / "log", KEY)
    log.path.write_bytes(b"kept")
    with pytest.raises(StorageError):
        log.ship(store)
    store.down = False
    assert log.ship(store) == 1
    assert whole(store) == b"kept"


def test_two_shippers_do_not_double(tmp_path: Path) -> None:
    store, log = MemoryBlobStore(), AttemptLog(tmp_path / "log", KEY)
    data = b"".join(b"line %d\n" % number for number in range(300_000))
    log.path.write_bytes(data)
    with ThreadPoolExecutor(4) as threads:
        counts = list(threads.map(lambda _: log.ship(store), range(8)))
    assert whole(store) == data
    assert max(counts) == len([key for key in store.objects if key.startswith(keys.log_prefix(KEY))])


def test_the_tail_begins_at_a_line(tmp_path: Path) -> None:
    log = AttemptLog(tmp_path / "log", KEY)
    assert log.tail() == ""
    log.path.write_bytes("first line\nsecond lüne\n".encode())
    assert log.tail() == "first line\nsecond lüne"
    assert log.tail(15) == "second lüne"
    log.path.write_bytes(b"x" * 100)
    assert log.tail(10) == "x" * 10
