"""Checkpoints of plain calls, and the parts of stopping that need no other process."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_temporal import current_context, map_task, task, workflow
from flyte_temporal.errors import UserCodeError
from flyte_temporal.sdk.stopping import STOPPED, Stopping

FOUND: list[object] = []


@task
def saves(n: int) -> int:
    checkpoint = current_context().checkpoint
    FOUND.append(checkpoint.read())
    assert not checkpoint.exists()
    saved = checkpoint.write(b"%d" % n, step=n).wait()
    assert (saved.step, saved.attempt) == (n, 1)
    FOUND.append(checkpoint.read())
    checkpoint.write(b"later", wait=False)
    checkpoint.on_stop(lambda: FOUND.append("never"))
    assert not current_context().stopping
    return n


@workflow
def twice(n: int = 1) -> list[int]:
    return map_task(saves)(n=[saves(n=n), n])  # type: ignore[no-any-return]


def test_a_plain_call_saves_and_never_finds_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    FOUND.clear()
    assert twice(n=3) == [3, 3]
    assert FOUND == [None] * 6
    assert list(tmp_path.rglob("flyte-temporal-checkpoint-*")) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_outside_of_a_task_there_is_one_too() -> None:
    checkpoint = current_context().checkpoint
    assert checkpoint.read() is None


@pytest.fixture
def stopping() -> Iterator[Stopping]:
    made = Stopping(60.0)
    yield made
    made.close()


def test_nothing_is_changed_before_somebody_asks(stopping: Stopping) -> None:
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert not stopping.requested
    assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    stopping.close()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_who_asks_is_told_and_goes_on(stopping: Stopping) -> None:
    assert not stopping.requested
    os.kill(os.getpid(), signal.SIGTERM)
    assert stopping.requested


def test_calls_are_made_last_first_and_end_the_task(
    stopping: Stopping, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[int] = []

    def fail() -> None:
        raise ValueError("no luck")

    stopping.on_stop(lambda: made.append(1))
    stopping.on_stop(fail)
    with stopping.on_stop(lambda: made.append(2)):
        pass
    stopping.on_stop(lambda: made.append(3))
    with pytest.raises(SystemExit) as ended:
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == STOPPED
    assert made == [3, 1]
    assert "ValueError: no luck" in capsys.readouterr().err


def test_calls_are_put_off_until_the_end_of_a_block(stopping: Stopping) -> None:
    made: list[int] = []
    stopping.on_stop(lambda: made.append(1))

    def stopped_within() -> None:
        with stopping.put_off():
            with stopping.put_off():
                os.kill(os.getpid(), signal.SIGTERM)
            assert made == []
            made.append(0)

    with pytest.raises(SystemExit):
        stopped_within()
    assert made == [0, 1]


def test_another_thread_cannot_be_the_first_to_ask(stopping: Stopping) -> None:
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            assert not stopping.requested
        except UserCodeError as error:
            raised.append(error)

    for expected in (1, 1):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert len(raised) == expected
        assert not stopping.requested
    assert "main thread only" in str(raised[0])
