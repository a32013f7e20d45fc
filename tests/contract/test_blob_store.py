"""The contract of `ports.blob_store`: the shipped fake, a local folder, S3 as moto's server plays it, GCS as fake-gcs-server does."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flyte_temporal.errors import CorruptBlob, InvalidIdentifier, StorageError
from flyte_temporal.ports.blob_store import BlobStore, Put, StoredFile
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.document import sha256_hex
from flyte_temporal.storage.blobs import open_store

from .stores import STORES, gcs_port, make_store, s3_config, s3_port

__all__ = ["gcs_port", "s3_config", "s3_port"]

MIB = 1024 * 1024

Damage = Callable[[BlobStore, str, bytes], None]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return make_store(request.param, request, tmp_path)


@pytest.mark.parametrize("size", [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1])
@pytest.mark.parametrize("as_file", [False, True], ids=["bytes", "file"])
def test_what_was_put_is_got(store: BlobStore, tmp_path: Path, size: int, as_file: bool) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    given: bytes | Path = data
    if as_file:
        given = tmp_path / "given"
        given.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    assert store.put_new("blobs/one", given, digest) is Put.CREATED
    assert store.put_new("blobs/one", given, digest) is Put.SAME
    assert store.get("blobs/one", digest) == data
    info = store.head("blobs/one")
    assert info is not None
    assert (info.key, info.size) == ("blobs/one", size)
    assert store.fetch("blobs/one", tmp_path / "new" / "copy", digest)
    assert (tmp_path / "new" / "copy").read_bytes() == data


def test_other_bytes_under_the_same_key_are_refused(store: BlobStore, tmp_path: Path) -> None:
    assert store.put_new("a/b", b"first") is Put.CREATED
    assert store.put_new("a/b", b"other") is Put.CONFLICT
    assert store.put_new("a/b", b"longer than the first") is Put.CONFLICT
    assert store.put_new("a/b", b"") is Put.CONFLICT
    (tmp_path / "file").write_bytes(b"other")
    assert store.put_new("a/b", tmp_path / "file") is Put.CONFLICT
    assert store.get("a/b") == b"first"


def test_an_empty_object_is_not_replaced(store: BlobStore) -> None:
    assert store.put_new("a/empty", b"") is Put.CREATED
    assert store.put_new("a/empty", b"x") is Put.CONFLICT
    assert store.get("a/empty") == b""


def test_put_replaces(store: BlobStore, tmp_path: Path) -> None:
    store.put("a/b", b"a longer first version")
    store.put("a/b", b"second")
    assert store.get("a/b") == b"second"
    (tmp_path / "file").write_bytes(b"third")
    store.put("a/b", tmp_path / "file")
    assert store.get("a/b") == b"third"


def test_what_is_not_there(store: BlobStore, tmp_path: Path) -> None:
    assert store.get("no/such") is None
    assert store.head("no/such") is None
    assert not store.fetch("no/such", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    store.delete("no/such")
    assert list(store.list("no")) == []
    store.put("folder/inside", b"x")
    assert store.get("folder") is None
    assert store.head("folder") is None


def test_delete(store: BlobStore) -> None:
    store.put("a/b", b"x")
    assert store.head("a/b") is not None
    store.delete("a/b")
    assert store.head("a/b") is None
    assert store.get("a/b") is None
    assert store.put_new("a/b", b"y") is Put.CREATED


def test_one_of_forty_writers_wins(store: BlobStore) -> None:
    start = threading.Barrier(40)

    def write(number: int) -> Put:
        start.wait()
        return store.put_new("race/one", f"writer {number:02d}".encode())

    with ThreadPoolExecutor(40) as threads:
        outcomes = list(threads.map(write, range(40)))
    assert sorted(outcomes) == [Put.CONFLICT] * 39 + [Put.CREATED]
    assert store.get("race/one") == f"writer {outcomes.index(Put.CREATED):02d}".encode()


def test_equal_writers_all_succeed(store: BlobStore) -> None:
    with ThreadPoolExecutor(10) as threads:
        outcomes = set(threads.map(lambda _: store.put_new("race/same", b"equal"), range(20)))
    assert outcomes <= {Put.CREATED, Put.SAME}
    assert Put.CREATED in outcomes


@pytest.mark.parametrize(
    "key", ["ümläut/☃", "with space/a b", "e/n0[3].x/1-abc", "percent%20/100%", "a=b/@c+d#e?f&g"]
)
def test_odd_names_are_kept(store: BlobStore, key: str, tmp_path: Path) -> None:
    assert store.put_new(key, b"x") is Put.CREATED
    assert store.get(key) == b"x"
    assert store.fetch(key, tmp_path / "copy")
    assert [info.key for info in store.list(key.split("/", maxsplit=1)[0])] == [key]
    assert store.key(store.uri(key)) == key
    assert store.put_new(key, b"y") is Put.CONFLICT


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "a//b",
        "a/",
        "../a",
        "a/../b",
        "a/./b",
        "..",
        "a\\b",
        "a\nb",
        "a\x00b",
        "a\x7f",
        "x" * 1025,
        "a/" + "x" * 256,
        "a/.tmp-1",
        "a/.seen-1",
        "a/at#1",
        "half \ud800 pair",
    ],
)
def test_bad_names_are_refused(store: BlobStore, key: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidIdentifier):
        store.put_new(key, b"x")
    with pytest.raises(InvalidIdentifier):
        store.put(key, b"x")
    with pytest.raises(InvalidIdentifier):
        store.get(key)
    with pytest.raises(InvalidIdentifier):
        store.fetch(key, tmp_path / "copy")
    with pytest.raises(InvalidIdentifier):
        store.delete(key)


def test_corrupt_bytes_are_noticed(store: BlobStore, tmp_path: Path) -> None:
    store.put("a/b", b"damaged")
    digest = hashlib.sha256(b"original").hexdigest()
    with pytest.raises(CorruptBlob):
        store.get("a/b", digest)
    (tmp_path / "copy").write_bytes(b"older")
    with pytest.raises(CorruptBlob):
        store.fetch("a/b", tmp_path / "copy", digest)
    assert (tmp_path / "copy").read_bytes() == b"older"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".tmp")] == []


@pytest.mark.parametrize("size", [0, 1, 5 * MIB - 1, 5 * MIB, 11 * MIB + 3])
def test_a_file_stands_under_its_digest(store: BlobStore, tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    path = tmp_path / "given"
    path.write_bytes(data)
    for _ in range(2):
        stored = store.put_file(path)
        assert stored == StoredFile(key=keys.blob(sha256_hex(data)), sha256=sha256_hex(data), size=size)
    assert store.get(stored.key, stored.sha256) == data
    path.write_bytes(b"changed by its owner")
    assert store.get(stored.key, stored.sha256) == data


def test_a_file_that_was_given_away_is_stored_once(store: BlobStore, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3 * MIB)
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(data)
        assert store.get(store.put_file(tmp_path / name, give=True).key, sha256_hex(data)) == data
    assert len(list(store.list("blobs"))) == 1


def test_a_damaged_object_is_healed_by_whoever_has_its_bytes(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"original")
    key = store.put_file(tmp_path / "file").key
    store.put(key, b"cut")
    assert store.put_file(tmp_path / "file").key == key
    assert store.get(key, sha256_hex(b"original")) == b"original"


def test_a_file_that_cannot_be_read(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.put_file(tmp_path / "none")
    assert list(store.list("")) == []


@pytest.mark.parametrize("pieces", [0, 1, 3], ids=["empty", "one", "three"])
@pytest.mark.parametrize("size", [10, 6 * MIB])
def test_what_was_written_in_pieces_appears_as_a_whole(store: BlobStore, pieces: int, size: int) -> None:
    data = [random.Random(number).randbytes(size) for number in range(pieces)]
    writer = store.create()
    for piece in data:
        writer.write(piece)
        assert list(store.list("blobs")) == []
    stored = writer.commit()
    whole = b"".join(data)
    assert stored == StoredFile(key=keys.blob(sha256_hex(whole)), sha256=sha256_hex(whole), size=len(whole))
    assert store.get(stored.key) == whole
    writer.abort()
    assert [info.key for info in store.list("")] == [stored.key]


def test_what_was_begun_and_given_up_leaves_nothing(store: BlobStore) -> None:
    for size in (0, 10, 6 * MIB):
        writer = store.create()
        writer.write(b"x" * size)
        writer.abort()
        writer.abort()
    assert list(store.list("")) == []


def test_an_object_is_read_in_pieces(store: BlobStore) -> None:
    data = random.Random(2).randbytes(6 * MIB)
    store.put("a/b", data)
    stream = store.open("a/b")
    assert stream is not None
    with stream:
        assert stream.read(10) == data[:10]
        stream.seek(5 * MIB)
        assert stream.read(10) == data[5 * MIB : 5 * MIB + 10]
        stream.seek(0)
        found = b""
        while piece := stream.read(MIB):
            found += piece
        assert found == data
    assert store.open("a") is None
    assert store.open("no/such") is None


def test_larger_than_allowed(store: BlobStore) -> None:
    store.put("a/b", b"12345")
    assert store.get("a/b", max_bytes=5) == b"12345"
    with pytest.raises(StorageError, match="5 bytes"):
        store.get("a/b", max_bytes=4)


def test_listing_is_sorted_and_below_the_prefix(store: BlobStore) -> None:
    for key in ["logs/2", "logs/10", "logs/1", "logs/a/1", "logs2/x", "other"]:
        store.put(key, key.encode())
    found = list(store.list("logs"))
    assert [info.key for info in found] == ["logs/1", "logs/10", "logs/2", "logs/a/1"]
    assert [info.size for info in found] == [6, 7, 6, 8]
    assert [info.key for info in store.list("logs/a")] == ["logs/a/1"]
    assert len(list(store.list(""))) == 6


def test_documents_of_attempts_are_found_at_every_level(store: BlobStore) -> None:
    """The local store keeps some of them in another place than their key says."""
    execution = "attempts/p/d/e"
    files = [
        "n0/1-aa/manifest.json",
        "n0/1-aa/logs/000000.log",
        "n0/1-aa/traceback.txt",
        "n0/2-bb/manifest.json",
    ]
    files += ["n0.n1[3]/1-cc/manifest.json", "n00/1-dd/manifest.json", "n0/1-aa/raw/manifest.json"]
    for file in files:
        assert store.put_new(f"{execution}/{file}", file.encode()) is Put.CREATED
    for prefix in ("attempts", "attempts/p/d", execution, f"{execution}/n0", f"{execution}/n0/1-aa"):
        expected = sorted(f"{execution}/{f}" for f in files if f"{execution}/{f}".startswith(f"{prefix}/"))
        assert [info.key for info in store.list(prefix)] == expected
    for file in files:
        key = f"{execution}/{file}"
        assert store.get(key) == file.encode()
        assert store.key(store.uri(key)) == key
        assert store.put_new(key, b"other") is Put.CONFLICT
        store.delete(key)
        assert store.head(key) is None
    assert list(store.list("attempts")) == []
    assert store.uri(f"{execution}/n0/1-aa/raw") + "/x" == store.uri(f"{execution}/n0/1-aa/raw/x")


def test_addresses(store: BlobStore) -> None:
    uri = store.uri("a/b")
    assert "://" in uri
    assert store.key(uri) == "a/b"
    assert store.key("https://elsewhere/a/b") is None
    assert store.key(uri[: -len("a/b")]) is None


def test_a_local_store_leaves_no_temporary_files(tmp_path: Path) -> None:
    store = open_store(StorageConfig(root=tmp_path.as_uri(), options={"fsync": True}))
    store.put_new("a/b", b"1")
    store.put_new("a/b", b"2")
    store.put("a/c", b"3")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["b", "c"]


def test_a_local_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = open_store(StorageConfig(root=(tmp_path / "file" / "below").as_uri()))
    with pytest.raises(StorageError, match="Not a directory"):
        store.put_new("a", b"1")


@pytest.mark.parametrize(
    ("root", "options", "words"),
    [
        ("/tmp/x", {}, "not a URI"),
        ("file://relative", {}, "not absolute"),
        ("nosuch://x", {}, "not supported"),
        ("file:///tmp/x", {"fsync": "sometimes"}, "fsync"),
    ],
)
def test_a_configuration_that_cannot_be(root: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(StorageError, match=words):
        open_store(StorageConfig(root=root, options=dict(options)))


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_store_that_does_not_answer(scheme: str) -> None:
    from flyte_temporal.storage.remote import RemoteBlobStore

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        config = StorageConfig(
            root=f"{scheme}://bucket/prefix",
            endpoint=f"http://127.0.0.1:{unused.getsockname()[1]}",
            anonymous=True,
            options={"config_kwargs": {"retries": {"max_attempts": 0}}} if scheme == "s3" else {},
        )
        store = RemoteBlobStore(config, pause_s=0.01)
        with pytest.raises(StorageError, match="Could not"):
            store.put_new("a/b", b"x")
        with pytest.raises(StorageError, match="Could not"):
            store.get("a/b")
