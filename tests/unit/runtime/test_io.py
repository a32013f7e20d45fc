"""`runtime.io`: inputs as files, outputs from files, and how a command's end is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    message_factory,
    struct_pb2,
    timestamp_pb2,
)

from flyte_temporal.runtime.io import __main__ as program
from flyte_temporal.runtime.io.inputs import write_inputs
from flyte_temporal.runtime.io.outputs import read_outputs
from flyte_temporal.runtime.io.texts import OutputInvalid
from flyte_temporal.sdk.types.converter import ValueContext
from flyte_temporal.sdk.types.values import json_of
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, Intent, Manifest, StorageConfig
from flyte_temporal.spec.entities import ContainerSpec, TaskSpec
from flyte_temporal.spec.execution import ErrorKind
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import FileValue, Inline, Offloaded
from flyte_temporal.spec.types import (
    ANY,
    BOOLEAN,
    FLOAT,
    INTEGER,
    NONE,
    STRING,
    BlobType,
    DatasetType,
    EnumType,
    Field_,
    ListType,
    LiteralType,
    MapType,
    Simple,
    SimpleType,
    StructType,
    TupleType,
    UnionType,
    optional,
)
from flyte_temporal.storage import orders
from flyte_temporal.storage.blobs import open_store


def simple(name: str) -> SimpleType:
    return SimpleType(simple=Simple(name))


POINT = StructType(name="Point", fields=(Field_(name="x", type=INTEGER), Field_(name="f", type=BlobType())))
INT_OR_TEXT = UnionType(variants=(INTEGER, STRING))


@pytest.fixture
def storage(tmp_path: Path) -> StorageConfig:
    return StorageConfig(root=(tmp_path / "store").as_uri())


@pytest.fixture
def context(tmp_path: Path, storage: StorageConfig) -> ValueContext:
    return ValueContext(blobs=open_store(storage), scratch=tmp_path / "scratch")


@pytest.fixture
def file(tmp_path: Path, context: ValueContext) -> dict[str, Any]:
    (tmp_path / "given.txt").write_text("content")
    assert context.blobs is not None
    stored = context.blobs.put_file(tmp_path / "given.txt")
    value = FileValue(uri=context.blobs.uri(stored.key), sha256=stored.sha256, size=stored.size)
    return value.model_dump(mode="json")


def order_of(
    storage: StorageConfig,
    inputs: dict[str, tuple[LiteralType, Any]] | None = None,
    outputs: dict[str, LiteralType] | None = None,
    **container: Any,
) -> AttemptOrder:
    given = inputs or {}
    interface = Interface(
        inputs=tuple(Variable(name=n, type=t) for n, (t, _) in given.items()),
        outputs=tuple(Variable(name=n, type=t) for n, t in (outputs or {}).items()),
    )
    execution = ExecutionId(project="p", domain="d", name="e")
    return AttemptOrder(
        attempt=AttemptId(execution=execution, node="n0", number=1, token="t"),
        task=TaskSpec(
            name="t",
            type="container",
            interface=interface,
            container=ContainerSpec(image="i", output_dir="/out", **container),
        ),
        inputs={n: Inline(value=v) for n, (_, v) in given.items()},
        storage=storage,
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_inputs_are_files(
    tmp_path: Path, storage: StorageConfig, context: ValueContext, file: dict[str, Any]
) -> None:
    given: dict[str, tuple[LiteralType, Any]] = {
        "text": (STRING, "grüße\n"),
        "number": (INTEGER, 7),
        "yes": (BOOLEAN, True),
        "nothing": (optional(INTEGER), None),
        "raw": (simple("bytes"), "AAE="),
        "file": (BlobType(), file),
        "files": (ListType(element=BlobType()), [file, file]),
        "by_key": (MapType(key=STRING, value=INTEGER), {"a": 1, "../b/c": 2, "": 3}),
        "point": (POINT, {"x": 1, "f": file}),
        "either": (INT_OR_TEXT, {"variant": 1, "value": "one"}),
        "pair": (TupleType(elements=(INTEGER, STRING)), [1, "a"]),
        "data": (ANY, {"k": [1, None]}),
    }
    folder = tmp_path / "in"
    folder.mkdir()
    write_inputs(order_of(storage, given), folder, context)
    found = tree(folder)
    common = json.loads(found.pop("inputs.json"))
    assert found == {
        "text": "grüße\n".encode(),
        "number": b"7",
        "yes": b"true",
        "raw": b"\0\1",
        "file": b"content",
        "files/0": b"content",
        "files/1": b"content",
        "by_key/a": b"1",
        "by_key/..%2Fb%2Fc": b"2",
        "by_key/%": b"3",
        "point": b'{"x": 1, "f": "point.files/f"}',
        "point.files/f": b"content",
        "either": b"one",
        "pair/0": b"1",
        "pair/1": b"a",
        "data": b'{"k": [1, null]}',
    }
    assert (common["number"], common["file"], common["files"]) == (7, "file", ["files/0", "files/1"])
    assert common["nothing"] is None


def test_files_that_are_not_fetched_are_addresses(
    tmp_path: Path, storage: StorageConfig, context: ValueContext, file: dict[str, Any]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_inputs(
        order_of(storage, {"f": (BlobType(), file)}, download="none", metadata_format="yaml"), folder, context
    )
    assert tree(folder) == {"f": file["uri"].encode(), "inputs.yaml": f'"f": "{file["uri"]}"\n'.encode()}


def literal_map(data: bytes) -> Any:
    """Read a `LiteralMap` with protobuf itself, by the parts of flyteidl's messages that are tried."""
    file = descriptor_pb2.FileDescriptorProto(name="l.proto", package="f", syntax="proto3")
    file.dependency.extend(known.DESCRIPTOR.name for known in (timestamp_pb2, duration_pb2, struct_pb2))
    text, number, message = 9, 3, 11

    def made(name: str, *fields: tuple[str, int, int, str]) -> None:
        entry = file.message_type.add(name=name)
        for field, index, kind, of in fields:
            repeated = of.endswith("*")
            entry.field.add(
                name=field,
                number=index,
                type=kind,
                label=3 if repeated else 1,
                type_name=of.rstrip("*") or None,
            )

    stamp, duration, struct = (f".google.protobuf.{n}" for n in ("Timestamp", "Duration", "Struct"))
    made(
        "Primitive",
        ("integer", 1, number, ""),
        ("float_value", 2, 1, ""),
        ("string_value", 3, text, ""),
        ("boolean", 4, 8, ""),
        ("datetime", 5, message, stamp),
        ("duration", 6, message, duration),
    )
    made("BlobType", ("format", 1, text, ""), ("dimensionality", 2, 5, ""))
    made("BlobMetadata", ("type", 1, message, ".f.BlobType"))
    made("Blob", ("metadata", 1, message, ".f.BlobMetadata"), ("uri", 3, text, ""))
    made("Void")
    made(
        "Scalar",
        ("primitive", 1, message, ".f.Primitive"),
        ("blob", 2, message, ".f.Blob"),
        ("none_type", 5, message, ".f.Void"),
        ("generic", 7, message, struct),
    )
    made(
        "Literal",
        ("scalar", 1, message, ".f.Scalar"),
        ("collection", 2, message, ".f.Collection"),
        ("map", 3, message, ".f.LiteralMap"),
    )
    made("Collection", ("literals", 1, message, ".f.Literal*"))
    made("Entry", ("key", 1, text, ""), ("value", 2, message, ".f.Literal"))
    made("LiteralMap", ("literals", 1, message, ".f.Entry*"))
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    found: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("f.LiteralMap"))()
    found.ParseFromString(data)
    return {entry.key: entry.value for entry in found.literals}


def test_inputs_as_flyte_writes_them(
    tmp_path: Path, storage: StorageConfig, context: ValueContext, file: dict[str, Any]
) -> None:
    given: dict[str, tuple[LiteralType, Any]] = {
        "text": (STRING, "ü"),
        "empty": (STRING, ""),
        "less": (INTEGER, -3),
        "half": (FLOAT, 0.5),
        "no": (BOOLEAN, False),
        "when": (simple("datetime"), "2026-01-31T12:00:00.000001+01:00"),
        "long": (simple("duration"), "-PT90.5S"),
        "nothing": (optional(STRING), None),
        "file": (BlobType(format="csv"), file),
        "list": (ListType(element=INTEGER), [1, 2]),
        "map": (MapType(key=STRING, value=STRING), {"a": "b"}),
        "data": (ANY, {"k": [1, None, True, "x"]}),
    }
    folder = tmp_path / "in"
    folder.mkdir()
    write_inputs(order_of(storage, given, metadata_format="proto"), folder, context)
    found = literal_map((folder / "inputs.pb").read_bytes())
    primitive = {name: found[name].scalar.primitive for name in found}
    assert (primitive["text"].string_value, primitive["less"].integer) == ("ü", -3)
    assert found["empty"].scalar.primitive.string_value == ""
    assert (primitive["half"].float_value, primitive["no"].boolean) == (0.5, False)
    assert (primitive["when"].datetime.seconds, primitive["when"].datetime.nanos) == (1769857200, 1000)
    assert (primitive["long"].duration.seconds, primitive["long"].duration.nanos) == (-90, -500_000_000)
    assert found["nothing"].scalar.HasField("none_type")
    assert (found["file"].scalar.blob.uri, found["file"].scalar.blob.metadata.type.format) == (
        file["uri"],
        "csv",
    )
    assert [each.scalar.primitive.integer for each in found["list"].collection.literals] == [1, 2]
    assert found["map"].map.literals[0].key == "a"
    assert dict(found["data"].scalar.generic)["k"][3] == "x"


def read(type_: LiteralType, folder: Path, context: ValueContext) -> Any:
    interface = Interface(outputs=(Variable(name="y", type=type_),))
    return json_of(read_outputs(interface, folder, context)["y"], type_, context)


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (STRING, " as it is\n", " as it is\n"),
        (INTEGER, " 12\n", 12),
        (INTEGER, str(2**60), hex(2**60)),
        (FLOAT, "nan", "NaN"),
        (FLOAT, "3", 3.0),
        (BOOLEAN, "True\n", True),
        (simple("datetime"), "2026-01-31T12:00:00Z", "2026-01-31T12:00:00+00:00"),
        (simple("datetime"), "2026-01-31 12:00:00", "2026-01-31T12:00:00+00:00"),
        (simple("date"), "2026-01-31", "2026-01-31"),
        (simple("duration"), "90.5", "PT90.5S"),
        (simple("duration"), "-PT1S", "-PT1S"),
        (simple("bytes"), "\0\1", "AAE="),
        (simple("decimal"), "1.10", "1.10"),
        (NONE, "whatever", None),
        (EnumType(values=("red", 3), names=("RED", "THREE")), "THREE", 3),
        (EnumType(values=("red", 3)), "3", 3),
        (ListType(element=INTEGER), "[1, 2]", [1, 2]),
        (MapType(key=INTEGER, value=STRING), '{"1": "a"}', [[1, "a"]]),
        (TupleType(elements=(INTEGER, STRING)), '[1, "a"]', [1, "a"]),
        (optional(INTEGER), "", None),
        (optional(INTEGER), "4", 4),
        (INT_OR_TEXT, "4", {"variant": 0, "value": 4}),
        (INT_OR_TEXT, "x", {"variant": 1, "value": "x"}),
        (ANY, '{"a": [1.5]}', {"a": [1.5]}),
        (StructType(fields=(Field_(name="x", type=INTEGER),)), '{"x": 1}', {"x": 1}),
    ],
)
def test_outputs_are_read(
    tmp_path: Path, context: ValueContext, type_: LiteralType, text: str, value: Any
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "y").write_text(text)
    assert read(type_, folder, context) == value


@pytest.mark.parametrize(
    ("type_", "text", "words"),
    [
        (INTEGER, "12.5", "The output file y holds '12.5', which is no int"),
        (BOOLEAN, "maybe", "no bool"),
        (ListType(element=INTEGER), "1, 2", "does not hold JSON"),
        (ListType(element=INTEGER), '["a"]', r"The output file y\[0\] holds 'a', which is no int"),
        (StructType(name="P", fields=(Field_(name="x", type=INTEGER),)), "{}", "lacks the field 'x' of P"),
        (BlobType(shape="multipart"), "x", "is no folder"),
        (POINT, '{"x": 1, "f": "../../secret"}', "no such file below the output folder"),
    ],
)
def test_outputs_that_do_not_fit(
    tmp_path: Path, context: ValueContext, type_: LiteralType, text: str, words: str
) -> None:
    (tmp_path / "secret").touch()
    folder = tmp_path / "deep" / "out"
    folder.mkdir(parents=True)
    (folder / "y").write_text(text)
    with pytest.raises(OutputInvalid, match=words):
        read(type_, folder, context)


def test_outputs_in_folders(tmp_path: Path, context: ValueContext) -> None:
    folder = tmp_path / "out"
    (folder / "y").mkdir(parents=True)
    for name in ("10", "9"):
        (folder / "y" / name).write_text(name)
    assert read(ListType(element=INTEGER), folder, context) == [9, 10]
    assert read(MapType(key=STRING, value=INTEGER), folder, context) == {"9": 9, "10": 10}
    stored = read(ListType(element=BlobType()), folder, context)
    assert context.blobs is not None
    assert context.blobs.get(keys.blob(stored[0]["sha256"])) == b"9"
    assert read(BlobType(shape="multipart"), folder, context)["files"] == 2


def test_files_and_datasets(tmp_path: Path, context: ValueContext) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "y.csv").write_text("a\n1\n")
    assert read(BlobType(), folder, context)["name"] == "y.csv"
    found = read(DatasetType(), folder, context)
    assert (found["format"], found["size"]) == ("csv", 4)
    (folder / "y.csv").unlink()
    (folder / "y").symlink_to("/etc/passwd")
    with pytest.raises(OutputInvalid, match="leads out of the output folder"):
        read(BlobType(), folder, context)
    with pytest.raises(OutputInvalid, match="leads out of the output folder"):
        read(STRING, folder, context)


FOLDER = BlobType(shape="multipart")


@pytest.mark.parametrize(
    ("type_", "link", "target"),
    [
        (FOLDER, "y", "."),
        (FOLDER, "y/inner", "."),
        (FOLDER, "y/inner.txt", "secret.txt"),
        (DatasetType(), "y", "."),
        (DatasetType(), "y/a.csv", "secret.txt"),
        (BlobType(), "y.txt", "secret.txt"),
        (SimpleType(simple=Simple.BYTES), "y", "secret.txt"),
        (ListType(element=BlobType()), "y", "."),
        (ListType(element=STRING), "y/0", "secret.txt"),
        (ListType(element=FOLDER), "y/0", "."),
        (ListType(element=ListType(element=BlobType())), "y/0", "."),
        (TupleType(elements=(BlobType(),)), "y", "."),
        (MapType(key=STRING, value=BlobType()), "y", "."),
        (MapType(key=STRING, value=STRING), "y/a", "secret.txt"),
        (StructType(name="S", fields=(Field_(name="secret.txt", type=BlobType()),)), "y", "."),
        (optional(BlobType()), "y", "secret.txt"),
        (UnionType(variants=(FOLDER, BlobType())), "y", "."),
        (optional(STRING), "y", "nowhere"),
    ],
)
def test_links_lead_nobody_out_of_the_output_folder(
    tmp_path: Path, context: ValueContext, type_: LiteralType, link: str, target: str
) -> None:
    """A command must not get files of the helper's machine stored, by a link at the end of a path or on its way."""
    outside, folder = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "secret.txt").write_text("hunter2")
    place = folder / link
    place.parent.mkdir(parents=True)
    place.symlink_to(outside / target)
    with pytest.raises(OutputInvalid, match="leads out of") as refused:
        read(type_, folder, context)
    assert "hunter2" not in str(refused.value)
    assert not [each for each in (tmp_path / "store").rglob("*") if each.is_file()]


@pytest.mark.parametrize("said", ["link/secret.txt", "link", "/etc/passwd", "\0", "loop"])
def test_names_in_json_lead_nobody_out_either(tmp_path: Path, context: ValueContext, said: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "secret.txt").touch()
    (folder / "link").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "y").write_text(json.dumps([said]))
    for element in (BlobType(), FOLDER):
        with pytest.raises(OutputInvalid, match="no such file below the output folder"):
            read(ListType(element=element), folder, context)


def test_links_inside_of_the_output_folder_are_followed(tmp_path: Path, context: ValueContext) -> None:
    folder = tmp_path / "out"
    (folder / "work").mkdir(parents=True)
    (folder / "work" / "a.txt").write_text("a")
    (folder / "y").symlink_to("work")
    assert read(FOLDER, folder, context)["files"] == 1
    assert read(ListType(element=STRING), folder, context) == ["a"]


def test_an_error_file_is_no_link(moved: Moved, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("hunter2")
    (moved.folder / "_ERROR").symlink_to(tmp_path / "secret.txt")
    error = moved.upload("--exit-code", "3").error
    assert error is not None
    assert "hunter2" not in error.message


def test_a_large_text_travels_by_reference(tmp_path: Path, context: ValueContext) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "y").write_text("x" * 100_000)
    found = read_outputs(Interface(outputs=(Variable(name="y", type=STRING),)), folder, context)["y"]
    assert isinstance(found, Offloaded)


class Moved:
    """One order, and `python -m flyte_temporal.runtime.io` on it, in this process."""

    def __init__(self, tmp_path: Path, order: AttemptOrder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = tmp_path / "out"
        self.folder.mkdir()
        self.order, self.store, self._patch = order, open_store(order.storage), monkeypatch
        self._key = orders.leave(self.store, order)
        monkeypatch.setenv(orders.STORAGE, order.storage.model_dump_json())

    def __call__(self, what: str, *words: str) -> int:
        self._patch.setattr("sys.argv", ["io", what, self._key, *words])
        return program.main()

    def upload(self, *words: str) -> Manifest:
        assert self("upload", "--from", str(self.folder), *words) == 0
        return self.manifest()

    def manifest(self, key: str = "") -> Manifest:
        data = self.store.get(key or keys.manifest(self.order.attempt))
        assert data is not None
        return Manifest.read(data)


@pytest.fixture
def moved(tmp_path: Path, storage: StorageConfig, monkeypatch: pytest.MonkeyPatch) -> Moved:
    return Moved(tmp_path, order_of(storage, {"x": (INTEGER, 1)}, {"y": INTEGER}), monkeypatch)


def test_a_command_that_succeeds(moved: Moved, tmp_path: Path) -> None:
    assert moved("download", "--to", str(tmp_path / "in")) == 0
    (moved.folder / "y").write_text("2")
    (tmp_path / "log").write_text("printed\n")
    manifest = moved.upload("--exit-code", "0", "--log", str(tmp_path / "log"))
    assert (manifest.outputs, manifest.error, manifest.log_chunks) == ({"y": Inline(value=2)}, None, 1)
    assert manifest.basis is not None
    (moved.folder / "y").write_text("3")
    assert moved.upload("--exit-code", "0") == manifest


@pytest.mark.parametrize(
    ("said", "code", "message", "recoverable"),
    [
        ("no luck\n", "UserCodeError", "no luck", True),
        ("", "UserCodeError", "The command left the file _ERROR, which is empty.", True),
        ('{"message": "bad data", "code": "BadData", "recoverable": false}', "BadData", "bad data", False),
        ('{"message": "bad data", "kind": "NON_RECOVERABLE"}', "UserCodeError", "bad data", False),
    ],
)
def test_an_error_that_the_command_tells(
    moved: Moved, said: str, code: str, message: str, recoverable: bool
) -> None:
    (moved.folder / "_ERROR").write_text(said)
    (moved.folder / "y").write_text("2")
    error = moved.upload("--exit-code", "0").error
    assert error is not None
    assert (error.kind, error.code, error.message, error.recoverable) == (
        ErrorKind.USER,
        code,
        message,
        recoverable,
    )


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        (["--exit-code", "3"], ErrorKind.USER, "ProcessExited"),
        (["--exit-code", "137", "--oom"], ErrorKind.USER, "OutOfMemory"),
        (["--exit-code", "137"], ErrorKind.SYSTEM, "KilledUnseen"),
        (["--exit-code", "127"], ErrorKind.USER, "BadCommand"),
        (["--exit-code", "0"], ErrorKind.USER, "OutputInvalid"),
    ],
)
def test_ends_without_a_word(
    moved: Moved, tmp_path: Path, words: list[str], kind: ErrorKind, code: str
) -> None:
    (tmp_path / "log").write_text("last words\n")
    error = moved.upload(*words, "--log", str(tmp_path / "log")).error
    assert error is not None
    assert (error.kind, error.code) == (kind, code)
    assert ("last words" in error.message) == (code != "OutputInvalid")


def test_a_stopped_command_says_why(moved: Moved) -> None:
    orders.request_stop(moved.store, moved.order.attempt, Intent.TIMEOUT)
    error = moved.upload("--exit-code", "143").error
    assert error is not None
    assert error.code == "TimedOut"


def test_a_staged_result_counts_when_the_exit_code_is_known(moved: Moved) -> None:
    (moved.folder / "y").write_text("2")
    assert moved("upload", "--from", str(moved.folder), "--stage") == 0
    assert moved.store.head(keys.manifest(moved.order.attempt)) is None
    assert moved("commit", "--exit-code", "1") == 70
    assert moved.store.head(keys.manifest(moved.order.attempt)) is None
    # Its log is what the launcher has read; the sidecar that staged it knows nothing of that.
    assert moved("commit", "--exit-code", "0", "--log-chunks", "3") == 0
    staged = moved.manifest(keys.staged(moved.order.attempt))
    assert staged.log_chunks == 0
    assert moved.manifest() == staged.model_copy(update={"log_chunks": 3})


def test_outputs_that_are_not_there_say_nothing_of_a_command_that_failed(moved: Moved) -> None:
    """It crashed, or was ended: its exit code says what follows, such as another attempt."""
    assert moved("upload", "--from", str(moved.folder), "--stage") == 0
    assert moved("commit", "--exit-code", "137") == 70
    assert moved.store.head(keys.manifest(moved.order.attempt)) is None


def test_what_a_command_tells_of_its_failure_counts_with_any_exit_code(moved: Moved) -> None:
    (moved.folder / "_ERROR").write_text("no luck")
    assert moved("upload", "--from", str(moved.folder), "--stage") == 0
    assert moved("commit", "--exit-code", "3") == 0
    error = moved.manifest().error
    assert error is not None
    assert error.message == "no luck"


def test_who_stores_outputs_says_when_the_end_may_come(moved: Moved, tmp_path: Path) -> None:
    (moved.folder / "y").write_text("2")
    ready = tmp_path / "ready"
    words = ["upload", keys.order(moved.order.attempt), "--from", str(moved.folder), "--stage"]
    process = subprocess.Popen(
        [sys.executable, "-m", "flyte_temporal.runtime.io", *words, "--on-sigterm", "--ready", str(ready)],
        env={**os.environ, orders.STORAGE: moved.order.storage.model_dump_json()},
    )
    end = time.monotonic() + 60
    while not ready.exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    assert moved.store.head(keys.staged(moved.order.attempt)) is None
    process.terminate()
    assert process.wait(60) == 0
    assert moved.store.head(keys.staged(moved.order.attempt)) is not None
