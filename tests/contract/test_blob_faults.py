"""Rows 11, 13 and 14 of the fault matrix: S3 behind a network that cuts, drops and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyte_temporal.errors import StorageError
from flyte_temporal.ports.blob_store import BlobStore, Put
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.storage.blobs import open_store
from tests.proxies import Fault, FaultyProxy, first, proxied

from .s3 import s3_config, s3_port

__all__ = ["s3_port"]

pytestmark = pytest.mark.s3

DATA = b"0123456789" * 20_000


def behind(proxy: FaultyProxy, config: StorageConfig) -> BlobStore:
    """Return the store as it is reached through the proxy. botocore itself tries nothing again: the store does."""
    options = {
        **config.options,
        "endpoint_url": f"http://127.0.0.1:{proxy.server_address[1]}",
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    return open_store(config.model_copy(update={"options": options}))


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
