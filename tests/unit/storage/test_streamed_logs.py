"""Logs that workers read as a stream: any number of writers, each of which may end at any moment, and one log."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_temporal.errors import StorageError
from flyte_temporal.ports.blob_store import Put
from flyte_temporal.spec import keys
from flyte_temporal.storage.logs import CHUNK_BYTES, read_log
from flyte_temporal.storage.streamed_logs import LogPlace, StreamedLog
from flyte_temporal.testing.blobs import MemoryBlobStore

KEY = "attempts/p/d/e/n0/1-x"


def whole(store: MemoryBlobStore) -> bytes:
    return b"".join(read_log(store, KEY))


def test_it_is_read_as_any_other_log() -> None:
    store = MemoryBlobStore()
    log = StreamedLog(store, KEY)
    assert log.resume() == LogPlace()
    log.flush(0, 0)
    assert store.objects == {}
    log.add(b"one\n")
    log.add(b"tw")
    log.flush(5, 2)
    log.add(b"o\n")
    log.flush(5, 4)
    assert list(read_log(store, KEY)) == [b"one\ntw", b"o\n"]
    assert (log.chunks, log.pending) == (2, 0)
    assert StreamedLog(store, KEY).resume() == LogPlace(chunks=2, size=8, nanos=5, taken=4)


def test_chunks_are_bounded() -> None:
    store = MemoryBlobStore()
    log = StreamedLog(store, KEY)
    log.add(b"x" * (2 * CHUNK_BYTES + 1))
    log.flush(1, 1)
    assert [len(chunk) for chunk in read_log(store, KEY)] == [CHUNK_BYTES, CHUNK_BYTES, 1]


@pytest.mark.parametrize("size", [2 * 1024 * 1024, 2 * 1024 * 1024 + 1, 5 * 1024 * 1024])
def test_a_quota_cuts_with_a_mark(size: int) -> None:
    quota, store = 2 * 1024 * 1024, MemoryBlobStore()
    log = StreamedLog(store, KEY, quota)
    log.add(b"x" * size)
    log.flush(1, size)
    kept = whole(store)
    assert kept[:quota] == b"x" * quota
    assert kept.endswith(b"\n[flyte-temporal: the log is cut here, after 2 MiB]\n") == (size > quota)
    assert (log.over, log.pending) == (size > quota, 0)
    again = StreamedLog(store, KEY, quota)
    again.resume()
    assert again.over == (size > quota)


def test_a_last_word_is_the_last_one() -> None:
    store = MemoryBlobStore()
    log = StreamedLog(store, KEY)
    log.add(b"no line end")
    log.end("why")
    log.add(b"more")
    log.flush(9, 9)
    log.end("why")
    assert whole(store) == b"no line end\n[flyte-temporal: why]\n"
    again = StreamedLog(store, KEY)
    again.resume()
    assert again.over


def test_a_store_that_fails_is_tried_again() -> None:
    class Failing(MemoryBlobStore):
        down = 2

        def put_new(self, key: str, data: bytes | Path, sha256: str | None = None) -> Put:
            made = super().put_new(key, data, sha256)
            if self.down:
                # As a store whose answer was lost: it may have been done.
                self.down -= 1
                raise StorageError("no answer")
            return made

    store = Failing()
    log = StreamedLog(store, KEY)
    log.add(b"one\n")
    for _ in range(2):
        with pytest.raises(StorageError):
            log.flush(1, 4)
    log.add(b"two\n")
    log.flush(2, 4)
    assert whole(store) == b"one\ntwo\n"


def test_a_writer_that_died_before_its_note() -> None:
    store = MemoryBlobStore()
    first = StreamedLog(store, KEY)
    first.add(b"one\n")
    first.flush(1, 4)
    store.put_new(keys.log_chunk(KEY, 1), b"tw")
    second = StreamedLog(store, KEY)
    place = second.resume()
    assert (place.nanos, place.taken, second.chunks) == (1, 4, 2)
    second.add(b"two\nthree\n")
    second.flush(3, 6)
    assert list(read_log(store, KEY)) == [b"one\n", b"tw", b"o\nthree\n"]


def test_a_writer_that_is_behind_another_one_notes_nothing_that_is_not_so() -> None:
    store = MemoryBlobStore()
    behind = StreamedLog(store, KEY)
    store.put_new(keys.log_chunk(KEY, 0), b"abc")  # by another one, which died before its note
    behind.add(b"ab")
    behind.flush(1, 2)
    later = StreamedLog(store, KEY)
    place = later.resume()
    later.add(b"abcdef"[place.taken :])
    later.flush(1, 6)
    assert whole(store) == b"abcdef"


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.sampled_from(["add", "flush", "die"]))))
def test_writers_that_know_nothing_of_each_other(moves: list[tuple[int, int, str]]) -> None:
    text = bytes(range(256)) * 2
    store = MemoryBlobStore()
    logs: list[StreamedLog | None] = [None] * 3
    given_ = [0] * 3

    def move(who: int, size: int, what: str) -> None:
        log = logs[who]
        if log is None or what == "die":
            log = logs[who] = StreamedLog(store, KEY)
            given_[who] = log.resume().taken
        if what == "add":
            piece = text[given_[who] : given_[who] + size]
            log.add(piece)
            given_[who] += len(piece)
        if what == "flush":
            log.flush(1, given_[who])

    for each in moves:
        move(*each)
    for who in range(3):
        move(who, len(text), "add")
        move(who, 0, "flush")
    assert whole(store) == text
