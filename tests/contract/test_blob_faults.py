"""Rows 11 to 15 of the fault matrix: S3 and GCS behind a network that cuts, drops and refuses."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.errors import StorageError
from flyte_temporal.ports.blob_store import BlobStore, Put
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.storage.patience import Patience
from tests.proxies import Fault, FaultyProxy, first, proxied

from .stores import CLOUDS, cloud_config, gcs_port, s3_port

__all__ = ["gcs_port", "s3_port"]

DATA = b"0123456789" * 20_000


def through(
    proxy: FaultyProxy, config: StorageConfig, option: str = "config_kwargs", **settings: Any
) -> StorageConfig:
    """Return how a store is reached by way of the proxy, with settings of botocore or aiohttp."""
    endpoint = f"http://127.0.0.1:{proxy.server_address[1]}"
    return config.model_copy(update={"endpoint": endpoint, "options": {option: settings} if settings else {}})


@dataclass(frozen=True)
class Bucket:
    """A bucket of the test's own, at one of the clouds.

    Args:
        kind: `s3` or `gcs`.
        config: How it is reached, directly.
        port: Of its server.
        patch: Of the test.
    """

    kind: str
    config: StorageConfig
    port: int
    patch: pytest.MonkeyPatch

    @property
    def write(self) -> str:
        """Return the method by which objects are written."""
        return "PUT" if self.kind == "s3" else "POST"

    def plain(self) -> BlobStore:
        """Return the store as it is reached directly."""
        return open_store(self.config)

    def through(self, proxy: FaultyProxy, **settings: Any) -> StorageConfig:
        """Return how the store is reached by way of the proxy, with settings of botocore or aiohttp."""
        return through(
            proxy, self.config, "config_kwargs" if self.kind == "s3" else "requests_timeout", **settings
        )

    def behind(self, proxy: FaultyProxy, silence_s: float = 20.0) -> BlobStore:
        """Return the store as it is reached through the proxy. The library itself tries nothing again: the store does."""
        if self.kind == "s3":
            return open_store(self.through(proxy, read_timeout=silence_s, retries={"max_attempts": 0}))
        self.patch.setattr("flyte_temporal.storage.clouds._GCS_TRIES", 1)
        return open_store(self.through(proxy, sock_read=silence_s))


@pytest.fixture(params=CLOUDS)
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    return Bucket(request.param, *cloud_config(request.param, request), monkeypatch)


@pytest.mark.row(14)
@pytest.mark.parametrize("drop", [1, 3])
def test_row_14_a_lost_answer_is_not_a_conflict(bucket: Bucket, drop: int) -> None:
    """A lone writer whose answers are lost finds its own object when it tries again (reliability.md §0.10)."""
    with proxied(bucket.port, first(drop, bucket.write, Fault("drop"))) as proxy:
        lossy = bucket.behind(proxy)
        assert lossy.put_new("a/manifest", b"mine") in {Put.CREATED, Put.SAME}
        assert bucket.plain().get("a/manifest") == b"mine"
        assert proxy.faults
        proxy.requests.clear()
        assert lossy.put_new("a/manifest", b"yours") is Put.CONFLICT
    assert bucket.plain().get("a/manifest") == b"mine"


@pytest.mark.row(14)
def test_row_14_an_answer_that_a_library_asked_for_twice_is_not_a_conflict(bucket: Bucket) -> None:
    """The same, when it is the library that sends the request again and hears that the object is there."""
    with proxied(bucket.port, first(1, bucket.write, Fault("drop"))) as proxy:
        assert open_store(bucket.through(proxy)).put_new("a/manifest", b"mine") in {Put.CREATED, Put.SAME}
        assert proxy.count(bucket.write) == 2
    assert bucket.plain().get("a/manifest") == b"mine"


@pytest.mark.row(13)
@pytest.mark.parametrize(
    ("kind", "way"), [("cut", "put_new"), ("cut", "put"), ("reset", "put_file"), ("status", "put_new")]
)
def test_row_13_an_upload_that_is_cut_shows_nothing_and_is_sent_again(
    bucket: Bucket, tmp_path: Path, kind: Any, way: str
) -> None:
    (tmp_path / "file").write_bytes(DATA)
    seen: list[bool] = []
    plain = bucket.plain()
    cut = first(2, bucket.write, Fault(kind))

    def decide(request: Any) -> Fault | None:
        seen.append(bool(list(plain.list("a"))))
        return cut(request)

    with proxied(bucket.port, decide) as proxy:
        store = bucket.behind(proxy)
        key = "a/b"
        match way:
            case "put_new":
                assert store.put_new(key, DATA) is Put.CREATED
            case "put":
                store.put(key, tmp_path / "file")
            case _:
                key = store.put_file(tmp_path / "file").key
        assert len(proxy.faults) == 2
    assert not any(seen)
    assert plain.get(key) == DATA


@pytest.mark.row(13)
def test_row_13_an_upload_that_is_always_cut_is_an_error_and_leaves_nothing(bucket: Bucket) -> None:
    always = Fault("cut")
    with proxied(bucket.port, lambda r: always if r.method == bucket.write else None) as proxy:
        store = bucket.behind(proxy)
        with pytest.raises(StorageError, match="Could not create"):
            store.put_new("a/b", DATA)
        with pytest.raises(StorageError, match="Could not write"):
            store.put("a/c", DATA)
    assert list(bucket.plain().list("")) == []


@pytest.mark.row(13)
@pytest.mark.parametrize("kind", ["status", "reset", "cut"])
def test_row_13_what_is_written_in_pieces_goes_on_after_a_fault(bucket: Bucket, kind: Any) -> None:
    """Nobody but the library can send a piece again: whoever wrote it is done with it."""
    piece = DATA * 40
    with proxied(bucket.port, first(0, bucket.write, Fault())) as proxy:
        hit = [0]

        def decide(request: Any) -> Fault | None:
            if request.size > len(DATA) and hit[0] < 2:
                hit[0] += 1
                return Fault(kind)
            return None

        proxy.decide = decide
        writer = open_store(bucket.through(proxy)).create()
        for _ in range(3):
            writer.write(piece)
        stored = writer.commit()
        assert len(proxy.faults) == 2
    assert stored.size == 3 * len(piece)
    assert bucket.plain().get(stored.key, stored.sha256) == 3 * piece


@pytest.mark.row(14)
@pytest.mark.parametrize("pieces", [1, 50])
def test_row_14_the_lost_answer_to_the_last_piece_is_no_failure(bucket: Bucket, pieces: int) -> None:
    """The library sends it again, to an upload that is over, and fails; but what was written is there."""
    finishing = False

    def decide(request: Any) -> Fault | None:
        last = request.method in {"PUT", "POST"} and ("upload_id=" in request.path or bucket.kind == "s3")
        return Fault("drop") if finishing and last and not (proxy.faults or by_parts(request)) else None

    def by_parts(request: Any) -> bool:
        return "partNumber=" in request.path or request.path.endswith("?uploads")

    with proxied(bucket.port, decide) as proxy:
        writer = open_store(bucket.through(proxy)).create()
        for _ in range(pieces):
            writer.write(DATA)
        finishing = True
        stored = writer.commit()
        assert proxy.faults
    assert bucket.plain().get(stored.key, stored.sha256) == DATA * pieces


@pytest.mark.gcs
def test_row_14_a_piece_that_is_there_twice_is_no_object(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GCS ignores bytes that it has already; the emulator appends them, and so might another."""
    bucket = Bucket("gcs", *cloud_config("gcs", request), monkeypatch)
    lost: list[Any] = []

    def decide(request: Any) -> Fault | None:
        if request.size > len(DATA) and not lost:
            lost.append(request)
            return Fault("drop")
        return None

    with proxied(bucket.port, decide) as proxy:
        writer = open_store(bucket.through(proxy)).create()
        for _ in range(2):
            writer.write(DATA * 40)
        with pytest.raises(StorageError, match="bytes arrived instead of"):
            writer.commit()
    assert list(bucket.plain().list("blobs")) == []


@pytest.mark.parametrize("kind", ["truncate", "drop", "status"])
def test_an_answer_that_is_cut_is_asked_for_again(bucket: Bucket, tmp_path: Path, kind: Any) -> None:
    bucket.plain().put("a/b", DATA)
    with proxied(bucket.port, first(1, "GET", Fault(kind))) as proxy:
        assert bucket.behind(proxy).get("a/b") == DATA
        assert len(proxy.faults) == 1
    with proxied(bucket.port, first(1, "GET", Fault(kind))) as proxy:
        assert bucket.behind(proxy).fetch("a/b", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == DATA


@pytest.mark.row(11)
def test_bursts_of_refusals_are_waited_out(bucket: Bucket, seed: int) -> None:
    """Three of ten requests are refused, the first one surely; the library tries again by itself, as in production."""
    chance = random.Random(seed)

    def decide(_request: object) -> Fault | None:
        refused = chance.random() < 0.3 or not proxy.faults
        return Fault("status", chance.choice((500, 503))) if refused else None

    with proxied(bucket.port, decide) as proxy:
        store = open_store(bucket.through(proxy))
        for number in range(6):
            assert store.put_new(f"a/{number}", b"%d" % number) in {Put.CREATED, Put.SAME}
            assert store.get(f"a/{number}") == b"%d" % number
        assert proxy.faults


@pytest.mark.row(11)
def test_what_an_attempt_has_computed_waits_longer_for_the_store(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyte_temporal.storage.remote._LONGEST_PAUSE_S", 0.01)
    with proxied(bucket.port, first(20, bucket.write, Fault("status", 503))) as proxy:
        bucket.behind(proxy)
        settings = {"retries": {"max_attempts": 0}} if bucket.kind == "s3" else {}
        store = open_store(bucket.through(proxy, **settings))
        with Patience(30) as patience:
            patience.begin()
            assert store.put_new("a/manifest", b"1") is Put.CREATED
        assert proxy.count(bucket.write) == 21
    with proxied(bucket.port, first(20, bucket.write, Fault("status", 400))) as proxy:
        store = open_store(bucket.through(proxy, **settings))
        with Patience(30) as patience:
            patience.begin()
            with pytest.raises(StorageError):
                store.put_new("a/other", b"1")
        assert proxy.count(bucket.write) == 5, "a wrong request does not become right"


def test_what_is_forbidden_is_told_at_once(bucket: Bucket) -> None:
    with proxied(bucket.port, lambda request: Fault("status", 403)) as proxy:
        store = bucket.behind(proxy)
        with pytest.raises(StorageError, match=r"(?i)forbidden|denied"):
            store.get("a")
        with pytest.raises(StorageError, match=r"(?i)forbidden|denied"):
            store.put_new("a", b"1")
        assert len(proxy.requests) == 2


@pytest.mark.row(12)
@pytest.mark.parametrize("way", ["read", "write"])
def test_a_store_that_stalls_is_given_up(bucket: Bucket, way: str) -> None:
    bucket.plain().put("a/b", DATA)
    method = "GET" if way == "read" else bucket.write
    with proxied(bucket.port, lambda request: Fault("hang") if request.method == method else None) as proxy:
        store = bucket.behind(proxy, silence_s=0.2)
        began = time.monotonic()
        with pytest.raises(StorageError, match="Could not"):
            store.get("a/b") if way == "read" else store.put_new("a/c", DATA)
        assert time.monotonic() - began < 20
        assert proxy.count(method) <= 5, "more layers than one try again"
    if way == "write":
        assert bucket.plain().head("a/c") is None


@pytest.mark.row(12)
def test_how_long_a_store_may_be_silent_has_a_limit(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = bucket.plain()
    if bucket.kind == "s3":
        expected = {"connect_timeout": 10, "read_timeout": 20, "signature_version": "s3v4"}
        assert made._fs.config_kwargs == expected
        assert made._fs.retries == 1
    else:
        limits = made._fs.requests_timeout
        assert (limits.total, limits.sock_connect, limits.sock_read) == (None, 10, 20)
    monkeypatch.setattr("flyte_temporal.storage.remote._RETRY_S", 0.0)
    with proxied(bucket.port, lambda request: Fault("reset")) as proxy:
        with pytest.raises(StorageError):
            bucket.behind(proxy).get("a/b")
        # aiohttp itself tries an idempotent request a second time; we do not.
        assert len(proxy.requests) <= 2


@pytest.mark.row(12)
def test_what_comes_slowly_is_read_whole(bucket: Bucket) -> None:
    bucket.plain().put("a/b", DATA)
    with proxied(bucket.port, first(1, "GET", Fault("trickle"))) as proxy:
        assert bucket.behind(proxy, silence_s=1).get("a/b") == DATA
        assert proxy.count("GET") == 1


@pytest.mark.row(15)
def test_what_another_client_has_written_is_seen_at_once(bucket: Bucket) -> None:
    one, other = bucket.plain(), bucket.plain()
    assert (one.head("a/b"), list(one.list("a")), one.get("a/b")) == (None, [], None)
    other.put("a/b", DATA)
    assert one.head("a/b") is not None
    assert one.get("a/b") == DATA
    assert [each.key for each in one.list("a")] == ["a/b"]
    other.delete("a/b")
    assert (one.head("a/b"), list(one.list("a"))) == (None, [])
