"""Files that are read and written where they are."""

from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path
from typing import IO, Any, BinaryIO, TextIO

import pytest

from flyte_temporal.errors import (
    CompileError,
    CorruptBlob,
    InvalidInputs,
    StorageError,
    TypeMismatch,
)
from flyte_temporal.sdk.tasks import task
from flyte_temporal.sdk.types.converter import InProcess
from flyte_temporal.sdk.types.engine import TypeEngine, ValueContext
from flyte_temporal.sdk.types.file import FlyteFile
from flyte_temporal.sdk.types.place import placed
from flyte_temporal.spec.literals import FileValue
from flyte_temporal.spec.types import BlobType
from flyte_temporal.testing.blobs import MemoryBlobStore

DATA = random.Random(5).randbytes(3 * 1024 * 1024 + 5)


def stored(
    engine: TypeEngine, context: ValueContext, tmp_path: Path, data: bytes = DATA, name: str = "in"
) -> FlyteFile:
    path = tmp_path / name
    path.write_bytes(data)
    written = engine.to_json(path, FlyteFile, context)
    path.unlink()
    found = engine.to_python(written, BlobType(), FlyteFile, context)
    assert isinstance(found, FlyteFile)
    return found


def stream_of(file: FlyteFile, mode: str = "rb", **options: Any) -> IO[Any]:
    stream = file.open(mode, **options)
    assert not file.downloaded
    return stream


def read(stream: IO[Any]) -> Any:
    """Read a stream to its end and close it."""
    with stream:
        return stream.read()


def test_a_stream_reads_what_was_stored_without_a_copy(
    engine: TypeEngine, context: ValueContext, tmp_path: Path
) -> None:
    file = stored(engine, context, tmp_path)
    with stream_of(file) as stream:
        assert stream.read() == DATA
    with stream_of(file) as stream:
        assert b"".join(iter(lambda: stream.read(100_000), b"")) == DATA
    with stream_of(file) as stream:
        stream.seek(-5, io.SEEK_END)
        assert stream.read() == DATA[-5:]
        stream.seek(0)
        assert stream.read() == DATA
        assert stream.tell() == len(DATA)
    assert not context.scratch.exists()
    assert Path(file.download()).read_bytes() == DATA
    with file.open("rb") as stream:
        assert stream.name == file.path


def test_text_streams(engine: TypeEngine, context: ValueContext, tmp_path: Path) -> None:
    file = stored(engine, context, tmp_path, "é1\r\né2\n".encode())
    assert read(stream_of(file, "r", encoding="utf-8")) == "é1\né2\n"
    with stream_of(file, "rt", encoding="utf-8", newline="") as stream:
        assert stream.readline() == "é1\r\n"
    with stream_of(file, "r", encoding="ascii", errors="replace") as stream:
        assert list(stream)[1].endswith("2\n")
    with pytest.raises(ValueError, match="invalid mode: 'rtb'"):
        file.open("rtb")
    with pytest.raises(ValueError, match="binary mode doesn't take encoding"):
        file.open("rb", encoding="utf-8")


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, len(DATA)])
@pytest.mark.parametrize("damage", ["changed", "cut", "longer"])
def test_damage_is_noticed_before_the_last_bytes_are_handed_out(
    size: int,
    damage: str,
    engine: TypeEngine,
    context: ValueContext,
    store: MemoryBlobStore,
    tmp_path: Path,
) -> None:
    if size == 0 and damage != "longer":
        return
    file = stored(engine, context, tmp_path, DATA[:size])
    (key,) = store.objects
    good = store.objects[key]
    store.objects[key] = {
        "changed": good[:-1] + bytes([good[-1] ^ 1]) if good else b"",
        "cut": good[:-1],
        "longer": good + b"x",
    }[damage]
    got = b""
    with stream_of(file) as stream, pytest.raises(StorageError) as raised:  # noqa: PT012 - in whatever piece
        while piece := stream.read(65536):
            got += piece
    assert isinstance(raised.value, CorruptBlob) or damage == "cut"
    assert len(got) <= size if damage == "longer" else len(got) < size
    assert DATA.startswith(got)


def test_reading_parts_verifies_nothing(
    engine: TypeEngine, context: ValueContext, store: MemoryBlobStore, tmp_path: Path
) -> None:
    file = stored(engine, context, tmp_path)
    (key,) = store.objects
    store.objects[key] = DATA[:-1] + b"x"
    with stream_of(file) as stream:
        assert stream.read(10) == DATA[:10]
        stream.seek(2_000_000)
        stream.read()


def test_a_file_that_is_gone(
    engine: TypeEngine, context: ValueContext, store: MemoryBlobStore, tmp_path: Path
) -> None:
    file = stored(engine, context, tmp_path)
    store.objects.clear()
    with pytest.raises(StorageError, match="is not in the blob store any more"):
        file.open("rb")
    with pytest.raises(FileNotFoundError, match="there is no such file: 'file:///no/such/file'"):
        FlyteFile.of(FileValue(uri="file:///no/such/file", sha256="0" * 64), context).open()


def test_a_new_file_is_stored_as_it_is_written_and_not_read_again(
    engine: TypeEngine, context: ValueContext, store: MemoryBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with placed(context):
        file = FlyteFile.new_remote_file("a b.bin")
        with file.open("wb") as stream:
            for start in range(0, len(DATA), 100_000):
                stream.write(DATA[start : start + 100_000])
            assert store.objects == {}
        with file.open("rb") as stream:
            assert stream.read() == DATA
    monkeypatch.setattr(store, "open", None)
    monkeypatch.setattr(store, "put_file", None)
    monkeypatch.setattr(store, "get", None)
    value = FileValue.model_validate(engine.to_json(file, FlyteFile, context))
    assert (value.sha256, value.size, value.name) == (
        hashlib.sha256(DATA).hexdigest(),
        len(DATA),
        "a b.bin",
    )
    assert list(store.objects.values()) == [DATA]
    assert not context.scratch.exists()


def test_a_new_file_can_be_written_anew(
    engine: TypeEngine, context: ValueContext, store: MemoryBlobStore
) -> None:
    with placed(context):
        file = FlyteFile.new_remote_file("a.txt")
        for text in ("first", "second"):
            with file.open("w") as stream:
                stream.write(text)
        assert read(file.open()) == "second"
    assert engine.to_json(file, FlyteFile, context)["size"] == 6


def test_a_new_file_may_be_written_to_its_path(engine: TypeEngine, context: ValueContext) -> None:
    with placed(context):
        file = FlyteFile.new_remote_file()
        Path(file).write_text("by path")
    assert engine.to_json(file, FlyteFile, context)["size"] == 7


@pytest.mark.parametrize("plain", [False, True])
def test_an_error_while_writing_leaves_no_half_file(
    plain: bool, engine: TypeEngine, store: MemoryBlobStore, tmp_path: Path
) -> None:
    context = (
        InProcess(blobs=None, scratch=tmp_path) if plain else ValueContext(blobs=store, scratch=tmp_path)
    )
    with placed(context):
        for mode, half in (("w", "x"), ("wb", b"x")):
            file = FlyteFile.new_remote_file("a.txt")
            with pytest.raises(KeyError), file.open(mode) as stream:  # noqa: PT012 - the error comes inside
                stream.write(half * 2_000_000)
                raise KeyError
            with pytest.raises(TypeMismatch, match=r"nothing was written to the new file 'a\.txt'"):
                engine.to_json(file, FlyteFile, context)
            open_ = FlyteFile.new_remote_file("b.txt")
            stream = open_.open(mode)
            with pytest.raises(TypeMismatch, match=r"the file 'b\.txt' is still being written; close"):
                engine.to_json(open_, FlyteFile, context)
            stream.close()
            engine.to_json(open_, FlyteFile, context)
    assert [path for path in tmp_path.rglob("*.part")] == []  # noqa: C416


def test_a_store_that_fails_while_a_file_is_written(
    context: ValueContext, store: MemoryBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        aborted = False

        def write(self, data: bytes) -> None:
            raise StorageError("full")

        def commit(self) -> None:
            raise AssertionError("half a file was kept")

        def abort(self) -> None:
            Failing.aborted = True

    monkeypatch.setattr(store, "create", Failing)
    with (
        placed(context),
        pytest.raises(StorageError, match="full"),
        FlyteFile.new_remote_file().open("w") as stream,
    ):
        stream.write("x")
    assert Failing.aborted


def test_modes_of_new_files(context: ValueContext) -> None:
    with placed(context):
        file = FlyteFile.new_remote_file("a")
        for mode in ("a", "r+", "w+"):
            with pytest.raises(ValueError, match="is written from start to end and cannot be opened"):
                file.open(mode)
    with pytest.raises(InvalidInputs, match="give a file name without folders"):
        FlyteFile.new_remote_file("a/b")
    with pytest.raises(ValueError, match="give a relative path"):
        FlyteFile.new("/abs")


def test_an_address_of_the_authors_own_is_written(engine: TypeEngine, context: ValueContext) -> None:
    import fsspec

    memory: Any = fsspec.filesystem("memory")
    opened: list[str] = []

    def open_(uri: str, mode: str) -> Any:
        opened.append(uri)
        return fsspec.core.OpenFile(memory, "/" + uri.partition("://")[2], mode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fsspec, "open", open_)
        file = FlyteFile("s3://bucket/x.csv")
        with file.open("w") as stream:
            stream.write("a,b\n")
        made = FlyteFile.new_remote_file("y.csv", alt="s3://bucket/deep")
        with made.open("w") as stream:
            stream.write("")
    assert opened[0] == "s3://bucket/x.csv"
    assert opened[1].startswith("s3://bucket/deep/")
    assert memory.cat("/bucket/x.csv") == b"a,b\n"
    value = engine.to_json(file, FlyteFile, context)
    assert (value["uri"], value["size"]) == ("s3://bucket/x.csv", 4)
    assert value["sha256"] == hashlib.sha256(b"a,b\n").hexdigest()
    received = engine.to_python(value, BlobType(), FlyteFile, context)
    with pytest.raises(ValueError, match="is an input"):
        received.open("w")
    with pytest.raises(StorageError, match="a web address is for reading only"):
        FlyteFile("https://h/x").open("w")


@pytest.mark.parametrize("plain", [False, True])
def test_a_pinned_target(plain: bool, engine: TypeEngine, store: MemoryBlobStore, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    context = InProcess(blobs=None, scratch=scratch) if plain else ValueContext(blobs=store, scratch=scratch)
    (tmp_path / "a").write_text("content")
    target = tmp_path / "out" / "a b.txt"
    file = FlyteFile(tmp_path / "a", remote_path=target)
    assert file.remote_path == target.as_uri()
    value = engine.to_json(file, FlyteFile, context)
    assert (value["uri"], value["size"]) == (target.as_uri(), 7)
    assert target.read_text() == "content"
    assert store.objects == {}
    received = engine.to_python(value, BlobType(), FlyteFile, context)
    assert read(received.open()) == "content"
    target.write_text("CONTENT")
    with pytest.raises(CorruptBlob):
        read(received.open())
    stays = engine.to_json(FlyteFile(tmp_path / "a", remote_path=False), FlyteFile, context)
    assert stays == {"uri": (tmp_path / "a").as_uri(), "name": "a", "size": 7}
    with pytest.raises(TypeMismatch, match="does not exist"):
        engine.to_json(FlyteFile(tmp_path / "none", remote_path=False), FlyteFile, context)


def test_targets_that_are_refused(
    engine: TypeEngine, context: ValueContext, store: MemoryBlobStore, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("content")
    with pytest.raises(InvalidInputs, match="remote_path='https://h/x': nothing can be uploaded"):
        FlyteFile(tmp_path / "a", remote_path="https://h/x")
    with pytest.raises(InvalidInputs, match="'ftp://h/x' cannot be read: allowed are"):
        FlyteFile(tmp_path / "a", remote_path="ftp://h/x")
    from flyte_temporal.storage.local import LocalBlobStore

    local = ValueContext(blobs=LocalBlobStore(tmp_path / "store"), scratch=tmp_path)
    inside = tmp_path / "store" / "blobs" / "x"
    with pytest.raises(TypeMismatch, match="lies in the platform's own store"):
        engine.to_json(FlyteFile(tmp_path / "a", remote_path=inside), FlyteFile, local)
    assert not inside.exists()


def test_in_a_plain_call_streams_read_the_copy_of_what_was_passed_on(
    engine: TypeEngine, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    path.write_text("before")
    received = engine.coerce(FlyteFile(path), FlyteFile)
    path.write_text("after")
    with received.open() as stream:
        assert stream.read() == "before"
    assert not received.downloaded


def test_open_streams_as_inputs(engine: TypeEngine, context: ValueContext, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes("é\n".encode())
    types: list[tuple[Any, Any]] = [
        (TextIO, "é\n"),
        (IO[str], "é\n"),
        (BinaryIO, b"\xc3\xa9\n"),
        (IO[bytes], b"\xc3\xa9\n"),
    ]
    for python_type, content in types:
        assert engine.literal_type(python_type) == BlobType()
        written = engine.to_json(path, python_type, context)
        with engine.to_python(written, BlobType(), python_type, context) as stream:
            assert stream.read() == content
        with (
            path.open() as given,
            pytest.raises(TypeMismatch, match=r"an open stream .* cannot be passed on"),
        ):
            engine.to_json(given, python_type, context)
    gone = {"uri": (tmp_path / "none").as_uri()}
    with pytest.raises(InvalidInputs, match="none' cannot be read"):
        engine.to_python(gone, BlobType(), TextIO, context)


@pytest.mark.parametrize("returned", [TextIO, "list[BinaryIO]", "dict[str, TextIO]"])
def test_open_streams_are_no_outputs(returned: Any) -> None:
    def reads() -> None: ...

    reads.__annotations__["return"] = eval(returned, globals()) if isinstance(returned, str) else returned
    with pytest.raises(CompileError, match=r"Output 'o0' of reads\(\) is an open stream, which cannot leave"):
        _ = task(reads).interface
