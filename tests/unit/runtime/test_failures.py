from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import (
    CompileError,
    FlyteNonRecoverableException,
    FlyteRecoverableException,
    StorageError,
)
from flyte_temporal.runtime import failures
from flyte_temporal.sdk import dispatch
from flyte_temporal.sdk.dispatch import TaskNotLoadable
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.spec.attempt import Intent
from flyte_temporal.spec.entities import EntryPoint
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind
from flyte_temporal.spec.literals import Inline, LiteralValue
from flyte_temporal.storage import scratch
from flyte_temporal.testing.blobs import MemoryBlobStore


def caught(action: Callable[[], object]) -> BaseException:
    try:
        action()
    except BaseException as error:  # noqa: BLE001
        return error
    raise AssertionError("nothing was raised")


def raising(error: BaseException) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


def describe(error: BaseException, where: Path = Path("/nowhere/a")) -> ErrorDocument:
    return failures.describe(caught(raising(error)), None, where)[0]


def test_a_place_in_the_bundle_is_told_as_the_user_knows_it() -> None:
    root = Path("/cache/4f")
    error = caught(raising(CompileError("A cycle.", "/cache/4f/flows/a.py:12")))
    found = failures.describe(error, root, Path("/nowhere/a"))[0]
    assert found.message == "flows/a.py:12: A cycle."
    assert "/cache" not in found.traceback
    assert "CompileError: flows/a.py:12: A cycle." in found.traceback
    own = failures.describe(caught(raising(OSError("/cache/4f/x"))), root, Path("/nowhere/a"))[0]
    assert own.message == "OSError: /cache/4f/x"


def test_an_exception_of_the_user() -> None:
    found = describe(ValueError("no luck"))
    assert (found.kind, found.code, found.recoverable) == (ErrorKind.USER, "UserCodeError", True)
    assert (found.exception, found.message) == ("ValueError", "ValueError: no luck")
    assert describe(KeyError()).message == "KeyError"


@pytest.mark.parametrize(
    ("error", "kind", "code", "recoverable"),
    [
        (FlyteRecoverableException("again"), ErrorKind.USER, "Recoverable", True),
        (FlyteNonRecoverableException("never"), ErrorKind.USER, "NonRecoverable", False),
        (TaskNotLoadable("no module"), ErrorKind.USER, "TaskNotLoadable", False),
        (StorageError("down"), ErrorKind.SYSTEM, "StorageError", True),
        (MemoryError(), ErrorKind.USER, "OutOfMemory", True),
        (SystemExit(0), ErrorKind.USER, "SystemExit", True),
        (KeyboardInterrupt(), ErrorKind.USER, "UserCodeError", True),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, BaseException) else "",
)
def test_whose_fault_it_is(error: BaseException, kind: ErrorKind, code: str, recoverable: bool) -> None:
    found = describe(error)
    assert (found.kind, found.code, found.recoverable) == (kind, code, recoverable)


def test_an_exit_on_request_is_a_stop(tmp_path: Path) -> None:
    scratch.request_stop(tmp_path / "a")
    assert describe(SystemExit(1), tmp_path / "a").code == "Stopped"
    told = describe(ValueError("its subprocess was killed"), tmp_path / "a")
    assert (told.code, told.message[-38:]) == ("Stopped", "ValueError: its subprocess was killed)")
    scratch.request_stop(tmp_path / "b", Intent.PLATFORM)
    assert describe(ValueError("x"), tmp_path / "c").code == "UserCodeError"
    assert describe(SystemExit(1), tmp_path / "b").code == "PlatformStopped"


def test_all_classes_of_an_exception_are_named() -> None:
    class Flaky(ConnectionError): ...

    mine = f"{__name__}.test_all_classes_of_an_exception_are_named.<locals>.Flaky"
    assert describe(Flaky("x")).exceptions == (
        mine,
        "ConnectionError",
        "OSError",
        "Exception",
        "BaseException",
    )
    again = describe(FlyteRecoverableException("again")).exceptions
    assert "flyte_temporal.errors.FlyteRecoverableException" in again


def test_the_type_of_the_cause_is_named() -> None:
    error = TaskNotLoadable("cannot be imported")
    error.__cause__ = ZeroDivisionError("x")
    assert describe(error).exception == "ZeroDivisionError"


def test_messages_are_cut_within_bytes() -> None:
    found = describe(ValueError("ü☃" * 5000))
    size = len(found.message.encode())
    assert failures.MESSAGE_BYTES - 10 < size <= failures.MESSAGE_BYTES
    assert found.message.startswith("ValueError: ü☃")
    assert "cut here" in found.message
    for limit in range(100, 110):
        assert len(failures.cut("ü☃x" * 100, limit).encode()) <= limit
    assert failures.cut("half \ud800", 100) == "half \\ud800"


def test_a_message_that_cannot_be_shown() -> None:
    class Nasty(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    found = describe(Nasty())
    assert (found.exception, "cannot be shown" in found.message) == ("Nasty", True)


def test_only_frames_of_the_user_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
from flyte_temporal.sdk.loader import find_entity
def inner():
    raise ValueError("deep")
def outer():
    try:
        inner()
    except ValueError as error:
        raise RuntimeError("shallow") from error
def through_ours():
    import importlib
    importlib.import_module("broken_for_this_test")
"""
    (tmp_path / "user_module_for_this_test.py").write_text(text)
    (tmp_path / "broken_for_this_test.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import user_module_for_this_test as user  # type: ignore[import-not-found]

    error = caught(user.outer)
    found, full = failures.describe(error, tmp_path, tmp_path)
    assert 'File "user_module_for_this_test.py", line 4, in inner' in found.traceback
    assert "direct cause" in found.traceback
    assert "RuntimeError: shallow" in found.traceback
    assert str(tmp_path) in full
    found, full = failures.describe(caught(user.through_ours), tmp_path, tmp_path)
    assert "broken_for_this_test.py" in found.traceback
    assert "importlib" in full
    assert "frozen" not in found.traceback
    entry = EntryPoint(module="broken_for_this_test", name="x")
    found, full = failures.describe(caught(lambda: dispatch.load(entry)), tmp_path, tmp_path)
    assert "ZeroDivisionError" in found.traceback
    assert "dispatch.py" in full
    assert "dispatch.py" not in found.traceback
    del sys.modules["user_module_for_this_test"]


ASYNCHRONOUS = """
import asyncio, contextlib, json
from flyte_temporal import task

@task
async def parse(text: str) -> int:
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        return await deeper(text)

async def deeper(text):
    with contextlib.suppress(KeyError):
        return json.loads(text)

@task
def wrong() -> int:
    return "text"

@task
def needs(x: int) -> int:
    return x
"""


def frames(text: str) -> list[str]:
    shown = [Path(line.split('"')[1]).name for line in text.splitlines() if line.startswith("  File")]
    return [name for name in shown if name != Path(__file__).name]


@pytest.fixture
def asynchronous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "asynchronous_for_this_test.py").write_text(ASYNCHRONOUS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "asynchronous_for_this_test"
    del sys.modules["asynchronous_for_this_test"]


def attempted(module: str, name: str, inputs: dict[str, LiteralValue], scratch_: Path) -> tuple[str, str]:
    task = dispatch.load(EntryPoint(module=module, name=name))
    spec = next(iter(compile_entity(task).tasks.values()))
    error = caught(lambda: dispatch.run(task, spec, inputs, ValueContext(None, scratch_)))
    document, full = failures.describe(error, scratch_, scratch_)
    assert document.message
    return document.traceback, full


def test_an_async_task_shows_the_users_frames_first(asynchronous: str, tmp_path: Path) -> None:
    shown, full = attempted(asynchronous, "parse", {"text": Inline(value="{")}, tmp_path)
    users, library = ["asynchronous_for_this_test.py"] * 2, ["__init__.py", "decoder.py", "decoder.py"]
    assert frames(shown) == users + library
    assert "in deeper" in shown
    assert "asyncio" in full


def test_values_that_do_not_fit_have_no_traceback(asynchronous: str, tmp_path: Path) -> None:
    assert attempted(asynchronous, "wrong", {}, tmp_path)[0] == ""
    assert attempted(asynchronous, "needs", {"x": Inline(value="text")}, tmp_path)[0] == ""
    assert attempted(asynchronous, "needs", {}, tmp_path)[0] == ""


def test_members_of_a_group_are_cleaned_too(tmp_path: Path) -> None:
    inner = caught(lambda: dispatch.load(EntryPoint(module="no_such_module_for_this_test", name="x")))
    assert isinstance(inner, Exception)
    found, full = failures.describe(ExceptionGroup("two", [inner]), tmp_path, tmp_path)
    assert "dispatch.py" in full
    assert "dispatch.py" not in found.traceback
    assert "no_such_module_for_this_test" in found.traceback


def test_a_long_traceback_is_cut() -> None:
    def dig(depth: int) -> None:
        if depth:
            {str(n): dig for n in range(2)}[str(depth % 2)](depth - 1)
        else:
            raise ValueError("x" * 30_000)

    found, full = failures.describe(caught(lambda: dig(20)), None, Path("/nowhere"))
    assert len(found.traceback.encode()) <= failures.TRACEBACK_BYTES
    assert len(full) > 30_000


def test_the_whole_traceback_is_kept_beside() -> None:
    store = MemoryBlobStore()
    document = ErrorDocument(kind=ErrorKind.USER, code="x", message="x", traceback="short")
    assert failures.keep_traceback(document, "short", store, "attempts/a").full_traceback == ""
    kept = failures.keep_traceback(document, "a longer one", store, "attempts/a")
    assert kept.full_traceback == "attempts/a/traceback.txt"
    assert store.objects[kept.full_traceback] == b"a longer one"
