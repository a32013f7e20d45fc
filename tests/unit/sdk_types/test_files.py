from __future__ import annotations

import hashlib
import http.server
import io
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from pydantic import BaseModel

from flyte_temporal.errors import CorruptBlob, InvalidInputs, StorageError
from flyte_temporal.sdk.types.converter import InProcess
from flyte_temporal.sdk.types.engine import TypeEngine, ValueContext
from flyte_temporal.sdk.types.file import FlyteFile
from flyte_temporal.spec.literals import FileValue
from flyte_temporal.spec.types import BlobType
from flyte_temporal.testing.blobs import MemoryBlobStore

csv = TypeVar("csv")
FILE: Any = FlyteFile  # type checkers take the brackets for a generic's


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "täble one.csv"
    path.write_text("a,b\n1,2\n")
    return path


def _sent(engine: TypeEngine, value: Any, context: ValueContext, python_type: Any = FlyteFile) -> FlyteFile:
    """Return the file as the next task receives it."""
    written = engine.to_json(value, python_type, context)
    received = engine.to_python(written, engine.literal_type(python_type), python_type, context)
    assert isinstance(received, FlyteFile)
    return received


def test_formats(engine: TypeEngine) -> None:
    assert engine.literal_type(FlyteFile) == BlobType()
    assert engine.literal_type(os.PathLike) == engine.literal_type(os.PathLike[str]) == BlobType()
    assert engine.literal_type(FILE["csv"]) == BlobType(format="csv")
    assert FILE["csv"] is FILE[csv] is FILE[".CSV"]
    assert FILE["csv"].__name__ == "FlyteFile[csv]"


def test_a_local_file_is_stored_under_its_digest(
    engine: TypeEngine, context: ValueContext, store: MemoryBlobStore, table: Path
) -> None:
    sha256 = hashlib.sha256(table.read_bytes()).hexdigest()
    key = f"blobs/sha256/{sha256[:2]}/{sha256}"
    for given in (FlyteFile(table), str(table), table, FlyteFile(table.as_uri())):
        written = engine.to_json(given, FILE["csv"], context)
        assert FileValue.model_validate(written) == FileValue(
            uri=store.uri(key), name="täble one.csv", format="csv", sha256=sha256, size=8
        )
    assert store.objects == {key: table.read_bytes()}


def _read(path: Any) -> str:
    with open(path) as stream:  # noqa: PTH123 - the built-in is what is tried
        return stream.read()


@pytest.mark.parametrize(
    "use",
    [
        lambda f: Path(f.download()).read_text(),
        _read,
        lambda f: Path(os.fspath(f)).read_text(),
    ],
)
def test_content_comes_with_the_first_use(
    use: Any, engine: TypeEngine, context: ValueContext, table: Path
) -> None:
    received = _sent(engine, table, context)
    table.unlink()
    before = received.downloaded, Path(received.path).exists()
    assert before == (False, False)
    assert use(received) == "a,b\n1,2\n"
    assert received.downloaded
    assert Path(received.path).name == received.name == "täble one.csv"
    assert Path(received.path).is_relative_to(context.scratch)


def test_a_file_that_only_passes_through_is_not_read(
    engine: TypeEngine, context: ValueContext, store: MemoryBlobStore, table: Path
) -> None:
    received = _sent(engine, table, context)
    store.objects.clear()
    passed = engine.to_json(received, FlyteFile, context)
    assert passed["uri"] == received.remote_source
    assert store.objects == {}
    assert not received.downloaded


def test_a_changed_copy_is_a_new_file(engine: TypeEngine, context: ValueContext, table: Path) -> None:
    received = _sent(engine, table, context)
    received.download()
    assert engine.to_json(received, FlyteFile, context)["uri"] == received.remote_source
    with Path(received.path).open("a") as copy:
        copy.write("3,4\n")
    again = _sent(engine, received, context)
    assert again.remote_source != received.remote_source
    assert Path(again.download()).read_text() == "a,b\n1,2\n3,4\n"


def test_damaged_and_missing_content_is_noticed(
    engine: TypeEngine, context: ValueContext, store: MemoryBlobStore, table: Path
) -> None:
    damaged, missing = _sent(engine, table, context), _sent(engine, table, context)
    (key,) = store.objects
    store.objects[key] = b"other"
    with pytest.raises(CorruptBlob):
        damaged.download()
    assert not damaged.downloaded
    store.objects.clear()
    with pytest.raises(StorageError, match="is not in the blob store any more"):
        missing.download()


def test_an_address_is_passed_by_reference(
    engine: TypeEngine, context: ValueContext, store: MemoryBlobStore
) -> None:
    received = _sent(engine, FlyteFile("s3://bucket/deep/a%20b.csv"), context)
    assert (
        received
        == FlyteFile("s3://bucket/deep/a%20b.csv")
        == FlyteFile.from_source("s3://bucket/deep/a%20b.csv")
    )
    assert (received.remote_source, received.name) == ("s3://bucket/deep/a%20b.csv", "a b.csv")
    assert store.objects == {}


@pytest.mark.parametrize(
    "uri", ["github://a:b@c/d", "ftp://h/f", "zip::http://h/f", "simplecache::s3://b/k", "memory://x", "://x"]
)
def test_other_addresses_are_refused_before_anything_is_opened(uri: str) -> None:
    with pytest.raises(
        InvalidInputs, match="cannot be read: allowed are local paths and the schemes file, s3"
    ):
        FlyteFile(uri)


def test_our_own_store_is_only_readable_below_its_root(engine: TypeEngine, context: ValueContext) -> None:
    with pytest.raises(InvalidInputs, match="'memory://other/x' cannot be read"):
        engine.to_python({"uri": "memory://other/x"}, BlobType(), FlyteFile, context)


class _Content(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        location = {"/old/a.txt": "/a.txt", "/evil": "file:///etc/passwd", "/ftp": "ftp://h/f"}.get(
            self.path, ""
        )
        status = 302 if location else 200 if self.path in {"/a.txt", "/short"} else 404
        self.send_response(status)
        if self.path == "/short":
            self.send_header("Content-Length", "1000")
        if location:
            self.send_header("Location", location)
        self.end_headers()
        if status == 200:
            self.wfile.write(b"from the web")

    def log_message(self, *_args: Any) -> None:
        """Keep test output quiet."""


@pytest.fixture
def web() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Content) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_files_from_the_web(web: str, engine: TypeEngine, context: ValueContext) -> None:
    assert Path(_sent(engine, f"{web}/a.txt", context)).read_text() == "from the web"
    assert Path(_sent(engine, f"{web}/old/a.txt", context)).read_text() == "from the web"
    with pytest.raises(FileNotFoundError, match=f"there is no such file: '{web}/none'"):
        FlyteFile(f"{web}/none").download()
    for path in ("/evil", "/ftp", "/short"):
        with pytest.raises(StorageError, match=f"{web}{path} cannot be read"):
            FlyteFile(web + path).download()


def test_files_of_object_stores_come_through_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(uri: str, mode: str) -> io.BytesIO:
        asked.append(f"{mode} {uri}")
        if uri.startswith("gs:"):
            raise ImportError("Please install gcsfs", name="gcsfs")
        if uri.endswith("none"):
            raise FileNotFoundError(uri)
        return io.BytesIO(b"from the bucket")

    monkeypatch.setattr("fsspec.open", answer)
    assert Path(FlyteFile("s3://bucket/a.txt")).read_text() == "from the bucket"
    assert asked == ["rb s3://bucket/a.txt"]
    with pytest.raises(
        StorageError, match=r"To read gs://b/k, install flyte-temporal\[gcs\]: Please install gcsfs"
    ):
        FlyteFile("gs://b/k").download()
    with pytest.raises(FileNotFoundError, match="there is no such file: 's3://bucket/none'"):
        FlyteFile("s3://bucket/none").download()


def test_a_digest_that_is_given_is_checked(web: str, context: ValueContext) -> None:
    file = FlyteFile.of(FileValue(uri=f"{web}/a.txt", sha256="0" * 64), context)
    with pytest.raises(CorruptBlob):
        file.download()
    assert not Path(file.path).exists()


def test_writing(engine: TypeEngine, context: ValueContext, tmp_path: Path, table: Path) -> None:
    made = FlyteFile(tmp_path / "new" / "out.txt")
    with made.open("w", encoding="utf-8") as stream:
        stream.write("é")
    assert Path(_sent(engine, made, context)).read_text(encoding="utf-8") == "é"
    with pytest.raises(ValueError, match="is an input and cannot be opened with mode 'w'"):
        _sent(engine, table, context).open("w")


def test_in_a_plain_run_files_stay_where_they_are(engine: TypeEngine, tmp_path: Path, table: Path) -> None:
    plain = ValueContext(blobs=None, scratch=tmp_path / "scratch")
    received = _sent(engine, table, plain, FILE["csv"])
    assert received.path == str(table)
    assert received.downloaded
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("use", [lambda f: f.download(), lambda f: f.path, os.fspath])
def test_in_a_plain_call_each_reader_has_a_copy_of_its_own(use: Any, engine: TypeEngine, table: Path) -> None:
    received = engine.coerce(str(table), FILE["csv"])
    assert type(received) is FILE["csv"]
    assert received.name == "täble one.csv"
    table.write_text("changed by whoever made it")
    again = engine.coerce(received, FlyteFile)
    assert not again.downloaded
    Path(use(received)).write_text("changed by a reader")
    assert Path(use(again)).read_text() == "a,b\n1,2\n"
    assert table.read_text() == "changed by whoever made it"


def test_a_file_that_passes_through_a_plain_call_is_not_copied_again(
    engine: TypeEngine, tmp_path: Path, table: Path
) -> None:
    plain = InProcess(blobs=None, scratch=tmp_path / "scratch")
    first = _sent(engine, table, plain)
    passed = _sent(engine, first, plain)
    assert passed.remote_source == first.remote_source
    assert len(list(plain.scratch.rglob("*.csv"))) == 1
    Path(passed.path).write_text("changed")
    assert _sent(engine, passed, plain).remote_source != first.remote_source


@dataclass
class Report:
    page: FlyteFile
    parts: dict[str, list[FlyteFile]]


class Model(BaseModel):
    weights: FlyteFile
    other: FlyteFile | None = None


def test_files_inside_of_records(
    engine: TypeEngine, context: ValueContext, store: MemoryBlobStore, table: Path
) -> None:
    report = Report(FlyteFile(table), {"a": [FlyteFile(table), FlyteFile("s3://b/k")]})
    type_ = engine.literal_type(Report)
    back = engine.to_python(engine.to_json(report, Report, context), type_, Report, context)
    assert Path(back.page).read_text() == "a,b\n1,2\n"
    assert back.parts["a"][1].remote_source == "s3://b/k"
    model = Model(weights=cast("Any", table))  # pydantic takes a path too
    written = engine.to_json(model, Model, context)
    read = engine.to_python(written, engine.literal_type(Model), Model, context)
    assert Path(read.weights).read_text() == "a,b\n1,2\n"
    assert read.other is None
    assert len(store.objects) == 1
    assert model.model_dump(mode="json")["weights"] == str(table)


def test_a_name_cannot_lead_out_of_the_scratch_folder(context: ValueContext) -> None:
    for name in ("../../x", "/etc/x", "..", "."):
        path = Path(FlyteFile.of(FileValue(uri="s3://b/k", name=name), context).path)
        assert path.resolve().is_relative_to(context.scratch)
        assert path.parent.parent == context.scratch / "files"
