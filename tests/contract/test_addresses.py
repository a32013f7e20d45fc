"""Files and directories on object storage: by reference, streamed, pinned, and in a blob store there (moto's S3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyte_temporal.errors import CorruptBlob, StorageError
from flyte_temporal.sdk.types.directory import FlyteDirectory
from flyte_temporal.sdk.types.engine import ValueContext, default_engine
from flyte_temporal.sdk.types.file import FlyteFile
from flyte_temporal.sdk.types.place import placed
from flyte_temporal.spec.literals import DirectoryValue, FileValue
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.testing.blobs import MemoryBlobStore

from .test_blob_store import s3_config, s3_port

__all__ = ["s3_port"]

pytestmark = pytest.mark.s3
MIB = 1024 * 1024


@pytest.fixture
def bucket(s3_port: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """An address below which a user's own code reads and writes, by the settings of its environment."""
    config = s3_config(s3_port, "users-own")
    monkeypatch.setenv("AWS_ENDPOINT_URL", config.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return f"s3://users-own/{request.node.name}"


def context_of(port: int, tmp_path: Path) -> ValueContext:
    store = open_store(s3_config(port, "platform"))
    return ValueContext(blobs=store, scratch=tmp_path / "scratch")


def written(uri: str, data: bytes) -> FlyteFile:
    file = FlyteFile(uri)
    with file.open("wb") as stream:
        stream.write(data)
    return file


def test_a_file_is_written_and_read_where_it_is(bucket: str, tmp_path: Path) -> None:
    context = ValueContext(blobs=MemoryBlobStore(), scratch=tmp_path / "scratch")
    data = bytes(range(256)) * (7 * MIB // 256)
    value = written(f"{bucket}/a b.bin", data).leave(context, "")
    assert (value.uri, value.size, value.name) == (f"{bucket}/a b.bin", len(data), "a b.bin")
    received = FlyteFile.of(value, context)
    with received.open("rb", cache_type="readahead") as stream:
        assert stream.read() == data
        stream.seek(MIB)
        assert stream.read(10) == data[:10]
    assert not context.scratch.exists()
    written(value.uri, data[:-1] + b"x")
    with pytest.raises(CorruptBlob), FlyteFile.of(value, context).open("rb") as stream:
        stream.read()
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        FlyteFile(f"{bucket}/none").open()


def test_what_was_given_up_is_not_there(bucket: str) -> None:
    for size in (10, 60 * MIB):
        with pytest.raises(KeyError), FlyteFile(f"{bucket}/half").open("wb") as stream:  # noqa: PT012 - inside of it
            stream.write(b"x" * size)
            raise KeyError
        with pytest.raises(FileNotFoundError):
            FlyteFile(f"{bucket}/half").open()


def test_a_pinned_file_and_directory(bucket: str, tmp_path: Path) -> None:
    context = ValueContext(blobs=MemoryBlobStore(), scratch=tmp_path / "scratch")
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "a").write_text("a")
    (tmp_path / "tree" / "ä").write_text("bb")
    file = FlyteFile(tmp_path / "tree" / "ä", remote_path=f"{bucket}/pinned.txt").leave(context, "")
    assert (file.uri, file.size) == (f"{bucket}/pinned.txt", 2)
    assert FlyteFile.of(file, context).open().read() == "bb"
    value = FlyteDirectory(tmp_path / "tree", remote_directory=f"{bucket}/pinned").leave(context, "")
    assert value == DirectoryValue(uri=f"{bucket}/pinned", name="tree", size=3, files=2)
    received = FlyteDirectory.of(value, context)
    assert [part.name for part in FlyteDirectory.listdir(received)] == ["sub", "ä"]
    assert [path for _, path in received.crawl()] == ["sub/a", "ä"]
    part = received.part("sub/a")
    assert isinstance(part, FlyteFile)
    assert part.open().read() == "a"
    folder = received.part("sub")
    assert isinstance(folder, FlyteDirectory)
    assert folder.remote_source == f"{bucket}/pinned/sub"
    assert not received.downloaded
    assert sorted(path.name for path in Path(received).rglob("*")) == ["a", "sub", "ä"]
    assert received.leave(context, "") == value
    with pytest.raises(FileNotFoundError):
        FlyteDirectory.of(DirectoryValue(uri=f"{bucket}/none"), context).download()
    with pytest.raises(StorageError, match="the web has no folders"):
        FlyteDirectory("https://h/x").download()


def test_a_directory_in_a_store_of_objects(s3_port: int, tmp_path: Path) -> None:
    context = context_of(s3_port, tmp_path)
    root = tmp_path / "tree"
    (root / "empty").mkdir(parents=True)
    for number in range(20):
        (root / f"{number}.txt").write_text(str(number))
    engine = default_engine()
    value = engine.to_json(root, FlyteDirectory, context)
    type_ = engine.literal_type(FlyteDirectory)
    received = engine.to_python(value, type_, FlyteDirectory, context)
    assert len(list(Path(received).iterdir())) == 21
    (Path(received) / "0.txt").write_text("changed")
    changed = engine.to_python(
        engine.to_json(received, FlyteDirectory, context), type_, FlyteDirectory, context
    )
    assert changed.part("0.txt").open().read() == "changed"
    assert changed.part("19.txt").open().read() == "19"
    with placed(context):
        new = FlyteDirectory.new_remote("new")
        with new.new_file("big").open("wb") as stream:
            stream.write(b"x" * 6 * MIB)
    again = engine.to_python(engine.to_json(new, FlyteDirectory, context), type_, FlyteDirectory, context)
    assert len(again.part("big").open("rb").read()) == 6 * MIB
    file = FileValue.model_validate(engine.to_json(again.part("big"), FlyteFile, context))
    assert file.size == 6 * MIB
