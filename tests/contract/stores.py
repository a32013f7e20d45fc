"""S3 as moto's server plays it, GCS as fake-gcs-server does, and the blob stores that the tests of this folder try."""

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
from tests.fake_gcs import gcs_port, make_bucket

__all__ = ["CLOUDS", "STORES", "cloud_config", "gcs_port", "make_store", "s3_config", "s3_port"]

CLOUDS = [pytest.param("s3", marks=pytest.mark.s3), pytest.param("gcs", marks=pytest.mark.gcs)]
STORES = ["memory", "local", *CLOUDS]


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server_module = pytest.importorskip("moto.server", reason="moto's server is not installed")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as environment:
        # Where botocore looks for credentials; a configuration has none.
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield server.get_host_and_port()[1]
    server.stop()


def s3_config(port: int, bucket: str = "bucket") -> StorageConfig:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("PUT", f"/{bucket}")
    assert connection.getresponse().status in {200, 409}
    connection.close()
    return StorageConfig(root=f"s3://{bucket}/some/prefix", endpoint=f"http://127.0.0.1:{port}")


def gcs_config(port: int, bucket: str = "bucket") -> StorageConfig:
    make_bucket(port, bucket)
    return StorageConfig(
        root=f"gs://{bucket}/some/prefix", endpoint=f"http://127.0.0.1:{port}", anonymous=True
    )


def cloud_config(kind: str, request: pytest.FixtureRequest, bucket: str = "") -> tuple[StorageConfig, int]:
    """Return how a new bucket of `s3` or `gcs` is reached, and the port of its server."""
    bucket = bucket or f"b{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]}"
    port: int = request.getfixturevalue(f"{kind}_port")
    return (s3_config if kind == "s3" else gcs_config)(port, bucket), port


def make_store(kind: str, request: pytest.FixtureRequest, folder: Path) -> BlobStore:
    """Return a store of the test's own: `memory`, `local`, `s3` or `gcs`."""
    if kind == "memory":
        return MemoryBlobStore()
    if kind == "local":
        return open_store(StorageConfig(root=(folder / "a store").as_uri()))
    return open_store(cloud_config(kind, request)[0])
