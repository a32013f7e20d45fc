"""Rows 11 to 15 of the fault matrix: S3 behind a network that cuts, drops and refuses."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.errors import StorageError
from flyte_temporal.ports.blob_store import BlobStore, Put
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.storage.blobs import open_store
from tests.proxies import Fault, FaultyProxy, first, proxied

from .stores import s3_config, s3_port

__all__ = ["s3_port"]

pytestmark = pytest.mark.s3

DATA = b"0123456789" * 20_000


def behind(proxy: FaultyProxy, config: StorageConfig) -> BlobStore:
    """Return the store as it is reached through the proxy. botocore itself tries nothing again: the store does."""
    return open_store(through(proxy, config, retries={"max_attempts": 0}))


def through(proxy: FaultyProxy, config: StorageConfig, **settings: Any) -> StorageConfig:
    """Return a store's configuration by way of the proxy, with settings of botocore."""
    options = {**config.options, "endpoint_url": f"http://127.0.0.1:{proxy.server_address[1]}"}
    if settings:
        options["config_kwargs"] = settings
    return config.model_copy(update={"options": options})


@pytest.mark.row(14)
@pytest.mark.parametrize("drop", [1, 3])
def test_row_14_a_lost_answer_is_not_a_conflict(s3_port: int, drop: int) -> None:
    """A lone writer whose answers are lost finds its own object when it tries again (reliability.md §0.10)."""
    config = s3_config(s3_port, f"dropping{drop}")
    with proxied(s3_port, first(drop, "PUT", Fault("drop"))) as proxy:
        lossy = behind(proxy, config)
        assert lossy.put_new("a/manifest", b"mine") in {Put.CREATED, Put.SAME}
        assert open_store(config).get("a/manifest") == b"mine"
        assert proxy.faults
        proxy.requests.clear()
        assert lossy.put_new("a/manifest", b"yours") is Put.CONFLICT


@pytest.mark.row(13)
@pytest.mark.parametrize(
    ("kind", "way"), [("cut", "put_new"), ("cut", "put"), ("reset", "put_file"), ("status", "put_new")]
)
def test_row_13_an_upload_that_is_cut_shows_nothing_and_is_sent_again(
    s3_port: int, tmp_path: Path, kind: str, way: str
) -> None:
    config = s3_config(s3_port, f"cut-{kind}-{way.replace('_', '-')}")
    (tmp_path / "file").write_bytes(DATA)
    seen: list[bool] = []
    plain = open_store(config)

    def decide(request: object) -> Fault | None:
        seen.append(bool(list(plain.list("a"))))
        return first(2, "PUT", Fault(kind))(request)  # type: ignore[arg-type]

    with proxied(s3_port, decide) as proxy:
        store = behind(proxy, config)
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
def test_row_13_an_upload_that_is_always_cut_is_an_error_and_leaves_nothing(s3_port: int) -> None:
    config = s3_config(s3_port, "always-cut")
    with proxied(s3_port, lambda request: Fault("cut") if request.method == "PUT" else None) as proxy:
        store = behind(proxy, config)
        with pytest.raises(StorageError, match="Could not create"):
            store.put_new("a/b", DATA)
        with pytest.raises(StorageError, match="Could not write"):
            store.put("a/c", DATA)
    assert list(open_store(config).list("")) == []


@pytest.mark.parametrize("kind", ["truncate", "drop", "status"])
def test_an_answer_that_is_cut_is_asked_for_again(s3_port: int, tmp_path: Path, kind: str) -> None:
    config = s3_config(s3_port, f"answers-{kind}")
    open_store(config).put("a/b", DATA)
    with proxied(s3_port, first(1, "GET", Fault(kind))) as proxy:  # type: ignore[arg-type]
        assert behind(proxy, config).get("a/b") == DATA
        assert len(proxy.faults) == 1
    with proxied(s3_port, first(1, "GET", Fault(kind))) as proxy:  # type: ignore[arg-type]
        assert behind(proxy, config).fetch("a/b", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == DATA


@pytest.mark.row(11)
def test_bursts_of_refusals_are_waited_out(s3_port: int, seed: int) -> None:
    """Three of ten requests are refused; botocore tries again by itself here, as in production."""
    config = s3_config(s3_port, "bursts")
    chance = random.Random(seed)

    def decide(request: object) -> Fault | None:
        return Fault("status", chance.choice((500, 503))) if chance.random() < 0.3 else None

    with proxied(s3_port, decide) as proxy:
        store = open_store(through(proxy, config))
        for number in range(6):
            assert store.put_new(f"a/{number}", b"%d" % number) in {Put.CREATED, Put.SAME}
            assert store.get(f"a/{number}") == b"%d" % number
        assert proxy.faults


@pytest.mark.row(12)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_store_that_stalls_is_given_up(s3_port: int, method: str) -> None:
    config = s3_config(s3_port, f"stalls-{method.lower()}")
    open_store(config).put("a/b", DATA)
    with proxied(s3_port, lambda request: Fault("hang") if request.method == method else None) as proxy:
        store = open_store(through(proxy, config, read_timeout=0.2, retries={"max_attempts": 0}))
        began = time.monotonic()
        with pytest.raises(StorageError, match="Could not"):
            store.get("a/b") if method == "GET" else store.put_new("a/c", DATA)
        assert time.monotonic() - began < 20
        assert proxy.count(method) <= 5, "more layers than one try again"
    if method == "PUT":
        assert open_store(config).head("a/c") is None


@pytest.mark.row(12)
def test_how_long_s3_may_be_silent_has_a_limit(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config = s3_config(s3_port, "silent")
    made: Any = open_store(config)
    assert made._fs.config_kwargs == {"connect_timeout": 10, "read_timeout": 20}
    assert made._fs.retries == 1
    monkeypatch.setattr("flyte_temporal.storage.remote._RETRY_S", 0.0)
    with proxied(s3_port, lambda request: Fault("reset")) as proxy:
        with pytest.raises(StorageError):
            behind(proxy, config).get("a/b")
        # aiohttp itself tries an idempotent request a second time; we do not.
        assert len(proxy.requests) <= 2


@pytest.mark.row(12)
def test_what_comes_slowly_is_read_whole(s3_port: int) -> None:
    config = s3_config(s3_port, "slowly")
    open_store(config).put("a/b", DATA)
    with proxied(s3_port, first(1, "GET", Fault("trickle"))) as proxy:
        store = open_store(through(proxy, config, read_timeout=1, retries={"max_attempts": 0}))
        assert store.get("a/b") == DATA
        assert proxy.count("GET") == 1


@pytest.mark.row(15)
def test_what_another_client_has_written_is_seen_at_once(s3_port: int) -> None:
    config = s3_config(s3_port, "another")
    one, other = open_store(config), open_store(config)
    assert (one.head("a/b"), list(one.list("a")), one.get("a/b")) == (None, [], None)
    other.put("a/b", DATA)
    assert one.head("a/b") is not None
    assert one.get("a/b") == DATA
    assert [each.key for each in one.list("a")] == ["a/b"]
    other.delete("a/b")
    assert (one.head("a/b"), list(one.list("a"))) == (None, [])
