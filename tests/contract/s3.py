"""S3 as moto's server plays it, and the blob stores that the tests of this folder try."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.testing.blobs import MemoryBlobStore

STORES = ["memory", "local", pytest.param("s3", marks=pytest.mark.s3)]


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server_module = pytest.importorskip("moto.server", reason="moto's server is not installed")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


def s3_config(port: int, bucket: str = "bucket") -> StorageConfig:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("PUT", f"/{bucket}")
    assert connection.getresponse().status in {200, 409}
    connection.close()
    return StorageConfig(
        root=f"s3://{bucket}/some/prefix",
        options={"endpoint_url": f"http://127.0.0.1:{port}", "key": "test", "secret": "test"},
    )


def make_store(kind: str, request: pytest.FixtureRequest, folder: Path) -> BlobStore:
    """Return a store of the test's own: `memory`, `local` or `s3`."""
    if kind == "memory":
        return MemoryBlobStore()
    if kind == "local":
        return open_store(StorageConfig(root=(folder / "a store").as_uri()))
    bucket = f"b{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]}"
    return open_store(s3_config(request.getfixturevalue("s3_port"), bucket))
