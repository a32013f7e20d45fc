from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Annotated, Any

import pytest
from pydantic import BaseModel

from flyte_temporal.errors import (
    CompileError,
    CorruptBlob,
    InvalidInputs,
    StorageError,
    TypeMismatch,
)
from flyte_temporal.sdk.types import trees
from flyte_temporal.sdk.types.batches import BatchSize
from flyte_temporal.sdk.types.converter import InProcess
from flyte_temporal.sdk.types.directory import FlyteDirectory
from flyte_temporal.sdk.types.engine import TypeEngine, ValueContext
from flyte_temporal.sdk.types.file import FlyteFile
from flyte_temporal.sdk.types.formats import TensorboardLogs
from flyte_temporal.sdk.types.place import placed
from flyte_temporal.spec.literals import DirectoryValue
from flyte_temporal.spec.trees import Tree
from flyte_temporal.spec.types import BlobType, describe
from flyte_temporal.testing.blobs import MemoryBlobStore

DIRECTORY: Any = FlyteDirectory  # type checkers take the brackets for a generic's
MULTIPART = BlobType(shape="multipart")


def read(stream: IO[Any]) -> Any:
    """Read a stream to its end and close it."""
    with stream:
        return stream.read()


class CountingStore(MemoryBlobStore):
    """Knows which of its calls were made."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name in {"put_file", "put_new", "get", "fetch", "open", "create"}:
            object.__getattribute__(self, "calls").append(name)
        return object.__getattribute__(self, name)

    def taken(self) -> list[str]:
        calls, self.calls = self.calls, []
        return [call for before, call in pairwise(["", *calls]) if (before, call) != ("fetch", "get")]


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "my tree"
    (root / "empty").mkdir(parents=True)
    (root / "süb" / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / ".hidden").write_text("h")
    (root / "süb" / "ß.txt").write_text("sz")
    (root / "süb" / "deep" / "run").write_text("#!")
    (root / "süb" / "deep" / "run").chmod(0o700)
    return root


def content(root: Path) -> dict[str, str | None]:
    return {
        str(path.relative_to(root)) + ("*" if path.is_file() and os.access(path, os.X_OK) else ""): (
            path.read_text() if path.is_file() else None
        )
        for path in root.rglob("*")
    }


def sent(
    engine: TypeEngine, value: Any, context: ValueContext, python_type: Any = FlyteDirectory
) -> FlyteDirectory:
    written = engine.to_json(value, python_type, context)
    found = engine.to_python(written, engine.literal_type(python_type), python_type, context)
    assert isinstance(found, FlyteDirectory)
    return found


def file_of(directory: FlyteDirectory, path: str) -> FlyteFile:
    found = directory.part(path)
    assert isinstance(found, FlyteFile)
    return found


def test_formats(engine: TypeEngine) -> None:
    assert engine.literal_type(FlyteDirectory) == MULTIPART
    assert engine.literal_type(DIRECTORY["csv"]) == BlobType(shape="multipart", format="csv")
    annotated: Any = Annotated[TensorboardLogs, BatchSize(3)]
    assert engine.literal_type(annotated) == BlobType(shape="multipart", format="tensorboard")
    assert DIRECTORY["csv"] is DIRECTORY[".CSV"]
    assert (DIRECTORY["csv"].extension(), DIRECTORY[""], FlyteDirectory.extension()) == (
        "csv",
        FlyteDirectory,
        "",
    )
    assert TensorboardLogs.format == "tensorboard"
    assert describe(MULTIPART) == "FlyteDirectory"


def test_a_directory_comes_back_as_it_was(
    engine: TypeEngine, context: ValueContext, store: CountingStore, root: Path
) -> None:
    before = content(root)
    for given in (FlyteDirectory(root), str(root), root, FlyteDirectory(root.as_uri())):
        received = sent(engine, given, context)
        assert received.name == "my tree"
        assert not received.downloaded
        copy = Path(received)
        assert content(copy) == before
        assert copy.is_relative_to(context.scratch)
        assert received.download() == received.path == str(copy)
        assert str(received.downloaded) == "True"  # a property: mypy takes it for unchanged
    assert len(store.objects) == 5  # four files and one manifest, however often
    value = DirectoryValue.model_validate(engine.to_json(root, FlyteDirectory, context))
    assert (value.files, value.size) == (4, 6)


def test_equal_trees_are_one(
    engine: TypeEngine, context: ValueContext, store: CountingStore, root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / "my tree"
    shutil.copytree(root, other)
    os.utime(other / "a.txt", (1, 1))
    first = engine.to_json(root, FlyteDirectory, context)
    assert engine.to_json(other, FlyteDirectory, context) == first
    (other / "süb" / "deep" / "run").chmod(0o644)
    assert engine.to_json(other, FlyteDirectory, context)["sha256"] != first["sha256"]


def test_a_directory_that_only_passes_through_is_not_read(
    engine: TypeEngine, context: ValueContext, store: CountingStore, root: Path
) -> None:
    received = sent(engine, root, context)
    store.taken()
    passed = sent(engine, received, context)
    assert passed.remote_source == received.remote_source
    assert store.taken() == []
    unchanged = Path(received)
    assert store.taken() == ["get", *["fetch"] * 4]
    assert engine.to_json(received, FlyteDirectory, context)["uri"] == passed.remote_source
    assert store.taken() == []
    assert unchanged.exists()


def test_of_a_changed_copy_only_what_is_new_is_uploaded(
    engine: TypeEngine, context: ValueContext, store: CountingStore, root: Path
) -> None:
    received = sent(engine, root, context)
    copy = Path(received)
    (copy / "a.txt").write_text("changed")
    (copy / "new").mkdir()
    (copy / ".hidden").unlink()
    store.taken()
    again = sent(engine, received, context)
    assert store.taken() == ["put_file", "put_new"]
    expected = content(root) | {"a.txt": "changed", "new": None}
    del expected[".hidden"]
    assert content(Path(again)) == expected
    assert content(Path(sent(engine, root, context))) == content(root)


def test_parts_are_read_without_the_rest(
    engine: TypeEngine, context: ValueContext, store: CountingStore, root: Path
) -> None:
    received = sent(engine, root, context)
    store.taken()
    found = FlyteDirectory.listdir(received)
    assert [(type(part).__name__, part.name) for part in found] == [
        ("FlyteFile", ".hidden"),
        ("FlyteFile", "a.txt"),
        ("FlyteDirectory", "empty"),
        ("FlyteDirectory", "süb"),
    ]
    assert [path for _, path in received.crawl()] == [".hidden", "a.txt", "süb/deep/run", "süb/ß.txt"]
    assert {base for base, _ in received.crawl()} == {received.remote_source}
    assert [path for _, path in received.crawl(maxdepth=2)] == [".hidden", "a.txt", "süb/ß.txt"]
    assert next(path for _, path in received.crawl(topdown=False)) == "süb/ß.txt"
    assert store.taken() == ["get"]
    assert read(file_of(received, "süb/ß.txt").open()) == "sz"
    assert store.taken() == ["open"]
    assert Path(file_of(received, "a.txt")).read_text() == "a"
    assert store.taken() == ["fetch"]
    with pytest.raises(FileNotFoundError, match="the directory 'my tree' has no 'none'"):
        received.part("none")
    for path in ("../x", "/etc", "", "a/.."):
        with pytest.raises(ValueError, match="is not a path inside"):
            received.part(path)
    assert not received.downloaded


def test_a_part_is_passed_on_without_reading_it(
    engine: TypeEngine, context: ValueContext, store: CountingStore, root: Path
) -> None:
    part = sent(engine, root, context).part("süb")
    assert isinstance(part, FlyteDirectory)
    store.taken()
    again = sent(engine, part, context)
    assert store.taken() == ["put_new"]
    assert content(Path(again)) == {"ß.txt": "sz", "deep": None, "deep/run*": "#!"}
    assert again.name == "süb"
    file = engine.to_json(part.part("ß.txt"), FlyteFile, context)
    assert file["name"] == "ß.txt"


def test_damage_and_loss_are_noticed(
    engine: TypeEngine, context: ValueContext, store: CountingStore, root: Path
) -> None:
    value = engine.to_json(root, FlyteDirectory, context)
    manifest = f"blobs/sha256/{value['sha256'][:2]}/{value['sha256']}"
    (key,) = [key for key, data in store.objects.items() if data == b"sz"]

    def received() -> FlyteDirectory:
        found = engine.to_python(value, MULTIPART, FlyteDirectory, context)
        assert isinstance(found, FlyteDirectory)
        return found

    store.objects[key] = b"SZ"
    broken = received()
    with pytest.raises(CorruptBlob):
        broken.download()
    assert not broken.downloaded
    assert not Path(broken.path).exists()
    del store.objects[key]
    with pytest.raises(
        StorageError,
        match=r"The file 'süb/ß\.txt' of a directory, memory://.*, is not in the blob store any more",
    ):
        received().download()
    store.objects[manifest] = store.objects[manifest].replace(b"a.txt", b"b.txt")
    with pytest.raises(CorruptBlob):
        FlyteDirectory.listdir(received())
    del store.objects[manifest]
    with pytest.raises(StorageError, match="is not in the blob store any more"):
        received().download()


def test_a_manifest_of_another_place_is_refused(engine: TypeEngine, context: ValueContext) -> None:
    value = {"uri": "s3://bucket/manifest", "sha256": "0" * 64}
    found = engine.to_python(value, MULTIPART, FlyteDirectory, context)
    with pytest.raises(StorageError, match="is not one of this blob store"):
        found.download()


def test_links_inside_are_followed(engine: TypeEngine, context: ValueContext, root: Path) -> None:
    (root / "link").symlink_to("süb/ß.txt")
    (root / "folder").symlink_to(root / "süb" / "deep")
    copy = Path(sent(engine, root, context))
    assert (copy / "link").read_text() == "sz"
    assert not (copy / "link").is_symlink()
    assert (copy / "folder" / "run").read_text() == "#!"


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("/etc/passwd", "the link 'süb/l' in the directory '{root}' leads out of it, to '/etc/passwd'; copy"),
        ("../../beside", "the link 'süb/l' in the directory '{root}' leads out of it"),
        ("nowhere", "the link 'süb/l' in the directory '{root}' leads nowhere; remove it"),
        ("l", "the link 'süb/l' in the directory '{root}' leads nowhere; remove it"),
        ("..", "the link 'süb/l' in the directory '{root}' leads to a folder above it"),
    ],
)
def test_other_links_are_refused(
    link: str, message: str, plain: bool, engine: TypeEngine, context: ValueContext, root: Path
) -> None:
    (root.parent / "beside").write_text("beside")
    (root / "süb" / "l").symlink_to(link)
    where = InProcess(blobs=None, scratch=context.scratch) if plain else context
    with pytest.raises(TypeMismatch) as raised:
        engine.to_json(root, FlyteDirectory, where)
    assert message.format(root=root) in raised.value.message


def test_other_things_that_cannot_be_passed_on(
    engine: TypeEngine, context: ValueContext, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases: list[tuple[Any, str]] = [
        (root / "a.txt", "is a file, not a directory"),
        (root / "none", "does not exist"),
        (5, "expected FlyteDirectory, got int 5"),
        (FlyteFile(root / "a.txt"), "expected FlyteDirectory, got FlyteFile"),
        ("ftp://h/x", "cannot be read: allowed are"),
    ]
    for value, message in cases:
        with pytest.raises(TypeMismatch, match=message):
            engine.to_json(value, FlyteDirectory, context)
    with pytest.raises(TypeMismatch, match=r"expected FlyteDirectory\[csv\], got FlyteDirectory\[png\]"):
        engine.to_json(DIRECTORY["png"](root), DIRECTORY["csv"], context)
    with pytest.raises(TypeMismatch, match="expected FlyteFile, got FlyteDirectory"):
        engine.to_json(FlyteDirectory(root), FlyteFile, context)
    monkeypatch.setattr(trees, "MAX_ENTRIES", 3)
    with pytest.raises(TypeMismatch, match="has more than 3 files and folders"):
        engine.to_json(root, FlyteDirectory, context)


def test_names_and_kinds_that_cannot_be_kept(
    engine: TypeEngine, context: ValueContext, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = os.fsencode(root) + b"/odd-\xff"
    with open(odd, "wb"):  # noqa: PTH123 - a name of bytes
        pass
    with pytest.raises(TypeMismatch, match="is not UTF-8; rename it"):
        engine.to_json(root, FlyteDirectory, context)
    os.unlink(odd)  # noqa: PTH108
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(
            TypeMismatch, match=r"'socket' in the directory .* is neither a file nor a folder"
        ):
            engine.to_json(root, FlyteDirectory, context)


def test_a_plain_call_copies_for_each_reader(engine: TypeEngine, root: Path, tmp_path: Path) -> None:
    plain = InProcess(blobs=None, scratch=tmp_path / "scratch")
    before = content(root)
    one = sent(engine, root, plain)
    two = sent(engine, one, plain)
    (root / "a.txt").write_text("changed by its maker")
    assert read(file_of(one, "a.txt").open()) == "a"
    assert not one.downloaded
    assert [path for _, path in one.crawl()] == [".hidden", "a.txt", "süb/deep/run", "süb/ß.txt"]
    (Path(one) / "a.txt").write_text("changed by a reader")
    assert content(Path(two)) == before
    assert one.path != two.path
    assert sent(engine, two, plain).remote_source == two.remote_source
    assert content(Path(sent(engine, one, plain)))["a.txt"] == "changed by a reader"
    part = one.part("süb")
    assert isinstance(part, FlyteDirectory)
    assert content(Path(sent(engine, part, plain))) == {"ß.txt": "sz", "deep": None, "deep/run*": "#!"}
    untouched = sent(engine, root, plain).part("süb")
    assert content(Path(sent(engine, untouched, plain))) == {"ß.txt": "sz", "deep": None, "deep/run*": "#!"}


@pytest.mark.parametrize("plain", [False, True])
def test_a_new_directory_is_written_file_by_file(
    plain: bool, engine: TypeEngine, context: ValueContext, store: CountingStore
) -> None:
    where = InProcess(blobs=None, scratch=context.scratch) if plain else context
    with placed(where):
        made = FlyteDirectory.new_remote("shards")
        with made.new_file("a.csv").open("w") as stream:
            stream.write("a")
        inner = made.new_dir("inner")
        with inner.new_file("b").open("wb") as stream:
            stream.write(b"b")
        inner.new_dir("empty")
        Path(inner.new_file("by path")).write_text("p")
        made.new_file("never written")
        assert {path for _, path in made.crawl()} >= {"a.csv", "inner/b"}
        assert read(file_of(made, "inner/b").open()) == "b"
        open_ = made.new_file("open").open("w")
        with pytest.raises(TypeMismatch, match="the file 'open' is still being written"):
            engine.to_json(made, FlyteDirectory, where)
        open_.close()
        received = sent(engine, made, where)
    assert received.name == "shards"
    assert content(Path(received)) == {
        "a.csv": "a",
        "inner": None,
        "inner/b": "b",
        "inner/empty": None,
        "inner/by path": "p",
        "open": "",
    }
    with pytest.raises(
        InvalidInputs, match=r"FlyteDirectory\.new_file\('a/b'\): give a name without folders"
    ):
        made.new_file("a/b")
    with pytest.raises(InvalidInputs, match="give a name without folders"):
        made.new_dir("..")


def test_new_files_of_other_directories(engine: TypeEngine, context: ValueContext, root: Path) -> None:
    with FlyteDirectory(root).new_file("x").open("w") as stream:
        stream.write("x")
    assert (root / "x").read_text() == "x"
    received = sent(engine, root, context)
    with received.new_file("y").open("w") as stream:
        stream.write("y")
    received.new_dir("z")
    assert content(Path(sent(engine, received, context))) == content(root) | {"y": "y", "z": None}
    assert str(FlyteDirectory("s3://b/f/").new_file("x")) == "s3://b/f/x"
    assert str(FlyteDirectory("s3://b/f").new_dir("x")) == "s3://b/f/x"
    assert str(FlyteDirectory.new_remote("n", alt="s3://b/")).endswith("/n")
    made = FlyteDirectory.new("fresh/one")
    assert Path(made).is_dir()
    with pytest.raises(ValueError, match="give a relative path"):
        FlyteDirectory.new("/abs")
    Path(made).rmdir()


@pytest.mark.parametrize("plain", [False, True])
def test_a_pinned_directory(
    plain: bool, engine: TypeEngine, context: ValueContext, root: Path, tmp_path: Path
) -> None:
    where = InProcess(blobs=None, scratch=context.scratch) if plain else context
    target = tmp_path / "out"
    value = engine.to_json(FlyteDirectory(root, remote_directory=target), FlyteDirectory, where)
    assert value == {"uri": target.as_uri(), "name": "my tree", "size": 6, "files": 4}
    assert content(target).keys() == {path.rstrip("*") for path in content(root)}
    received = engine.to_python(value, MULTIPART, FlyteDirectory, where)
    assert read(file_of(received, "süb/ß.txt").open()) == "sz"
    stays = engine.to_json(FlyteDirectory(root, remote_directory=False), FlyteDirectory, where)
    assert stays["uri"] == root.as_uri()


def test_a_target_in_our_own_store_is_refused(engine: TypeEngine, root: Path, tmp_path: Path) -> None:
    from flyte_temporal.storage.local import LocalBlobStore

    context = ValueContext(blobs=LocalBlobStore(tmp_path / "store"), scratch=tmp_path / "scratch")
    pinned = FlyteDirectory(root, remote_directory=tmp_path / "store" / "blobs")
    with pytest.raises(TypeMismatch, match="lies in the platform's own store"):
        engine.to_json(pinned, FlyteDirectory, context)
    with pytest.raises(InvalidInputs, match="nothing can be uploaded to a web address"):
        FlyteDirectory(root, remote_directory="https://h/x")


def test_given_files_become_blobs_without_a_copy(engine: TypeEngine, root: Path, tmp_path: Path) -> None:
    from flyte_temporal.storage.local import LocalBlobStore

    context = ValueContext(blobs=LocalBlobStore(tmp_path / "store"), scratch=tmp_path, gives=True)
    inode = (root / "süb" / "ß.txt").stat().st_ino
    received = sent(engine, root, context)
    assert inode in {path.stat().st_ino for path in (tmp_path / "store").rglob("*")}
    copy = Path(received)
    (copy / "süb" / "ß.txt").write_text("changed by a reader")
    assert read(file_of(sent(engine, root, context), "süb/ß.txt").open()) == "sz"


@pytest.mark.parametrize("at_once", [1, 7])
def test_many_files_side_by_side(
    at_once: int, engine: TypeEngine, context: ValueContext, tmp_path: Path
) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(50):
        (root / f"{number}").write_text(str(number))
    annotation = Annotated[FlyteDirectory, BatchSize(at_once)]
    received = sent(engine, root, context, annotation)
    assert received.at_once == at_once
    assert content(Path(received)) == content(root)


@pytest.mark.parametrize("value", [0, -1, True, "4"])
def test_sizes_of_batches(value: Any) -> None:
    with pytest.raises(CompileError, match="a number of elements from 1 up"):
        BatchSize(value)
    assert BatchSize(4) == BatchSize(4) != BatchSize(5)


@dataclass
class Record:
    pages: FlyteDirectory
    by_name: dict[str, list[FlyteDirectory]]
    other: FlyteDirectory | None = None


class Model(BaseModel):
    weights: FlyteDirectory


def test_directories_inside_of_records(engine: TypeEngine, context: ValueContext, root: Path) -> None:
    record = Record(FlyteDirectory(root), {"a": [FlyteDirectory(root)]})
    type_ = engine.literal_type(Record)
    back = engine.to_python(engine.to_json(record, Record, context), type_, Record, context)
    assert content(Path(back.by_name["a"][0])) == content(root)
    assert back.other is None
    model = Model.model_validate({"weights": str(root)})
    written = engine.to_json(model, Model, context)
    read = engine.to_python(written, engine.literal_type(Model), Model, context)
    assert content(Path(read.weights)) == content(root)
    either: Any = FlyteFile | FlyteDirectory
    for value in (FlyteFile(root / "a.txt"), FlyteDirectory(root)):
        json_ = engine.to_json(value, either, context)
        assert isinstance(engine.to_python(json_, engine.literal_type(either), either, context), type(value))


def test_a_folder_by_reference_is_used_where_it_is(
    engine: TypeEngine, context: ValueContext, root: Path, store: CountingStore
) -> None:
    value = {"uri": root.as_uri()}
    received = engine.to_python(value, MULTIPART, FlyteDirectory, context)
    assert received.path == str(root)
    assert received.downloaded
    assert read(file_of(received, "a.txt").open()) == "a"
    assert store.taken() == []
    assert Tree() != Tree.of([], ["x"])
