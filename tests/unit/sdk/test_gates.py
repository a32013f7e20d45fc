"""Gates: the spec, and plain runs that are answered beforehand or on a terminal."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flyte_temporal import approve, gate_answers, sleep, task, wait_for_input, workflow
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import CompileError, GateRejected, GateTimedOut, InvalidInputs
from flyte_temporal.sdk.answers import GateUnanswered
from flyte_temporal.spec.bindings import Constant, InputRef
from flyte_temporal.spec.nodes import GateTarget
from flyte_temporal.spec.types import INTEGER, optional


@dataclass
class Order:
    item: str
    at: datetime


@task
def double(n: int) -> int:
    return 2 * n


@task
def table() -> pd.DataFrame:
    return pd.DataFrame({"a": [1, 2]})


@task
def rows(t: pd.DataFrame) -> int:
    return len(t)


@workflow
def all_three(n: int, pause: timedelta) -> tuple[int, int | None]:
    sleep(timedelta(seconds=0))
    sleep(pause)
    return (
        approve(n, name="ok", timeout=timedelta(minutes=1)),
        wait_for_input("count", 2.5, expected_type=int | None),  # type: ignore[arg-type]
    )


@workflow
def ask_order() -> Order:
    return wait_for_input("order", expected_type=Order)


@workflow
def ask_int() -> int:
    return wait_for_input("n", timeout=0.2, expected_type=int)


@workflow
def approve_table() -> int:
    return rows(t=approve(table(), name="table", timeout=0.2))


def test_the_spec_says_what_is_waited_for() -> None:
    nodes = compile_entity(all_three).main().nodes
    assert [node.target for node in nodes] == [
        GateTarget(gate="sleep"),
        GateTarget(gate="sleep"),
        GateTarget(gate="approve", name="ok", type=INTEGER, timeout_s=60.0),
        GateTarget(gate="input", name="count", type=optional(INTEGER), timeout_s=2.5),
    ]
    assert [node.inputs for node in nodes] == [
        {"duration": Constant(value="PT0S")},
        {"duration": InputRef(name="pause")},
        {"value": InputRef(name="n")},
        {},
    ]
    assert [node.name for node in nodes] == ["sleep", "sleep", "ok", "count"]


def test_answers_are_taken_by_name() -> None:
    with gate_answers({"ok": True}), gate_answers({"count": None}):
        assert all_three(n=3, pause=timedelta(0)) == (3, None)
    with gate_answers({"ok": True, "count": 4}):
        assert all_three(n=3, pause=timedelta(0)) == (3, 4)
    with gate_answers({"ok": False}), pytest.raises(GateRejected, match="The gate 'ok' was rejected"):
        all_three(n=3, pause=timedelta(0))


AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("answer", [Order("tea", AT), {"item": "tea", "at": "2026-01-02T00:00:00Z"}])
def test_an_answer_is_a_value_or_what_a_file_holds_for_it(answer: Any) -> None:
    with gate_answers({"order": answer}):
        assert ask_order() == Order("tea", AT)


@pytest.mark.parametrize(
    ("entity", "answers", "message"),
    [
        (ask_int, {"n": "x"}, "The answer to the gate 'n' does not fit: expected int, got str 'x'."),
        (ask_int, {"n": True}, "The answer to the gate 'n' does not fit: expected int, got bool True."),
        (approve_table, {"table": "yes"}, "approves or rejects: give true or false, not 'yes'."),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(entity: Any, answers: dict[str, Any], message: str) -> None:
    with gate_answers(answers), pytest.raises(InvalidInputs) as caught:
        entity()
    assert message in caught.value.message


def test_without_a_terminal_and_an_answer_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nothing, gate_answers({"other": 1}):
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(GateUnanswered, match=r"--answers FILE.*Answers are given for: 'other'\.$"):
            ask_int()


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What a person types goes here; the terminal is stdin."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        yield ours
    os.close(ours)


def test_a_person_is_asked_until_the_answer_fits(keyboard: int, capsys: pytest.CaptureFixture[str]) -> None:
    os.write(keyboard, b"many\n")
    os.write(keyboard, b"7\n")
    assert ask_int() == 7
    asked = capsys.readouterr().err
    assert asked.count("Input 'n' (int): ") == 2
    assert "expected int, got 'many'." in asked


def test_a_value_in_memory_can_be_approved(keyboard: int, capsys: pytest.CaptureFixture[str]) -> None:
    os.write(keyboard, b"perhaps\nyes\n")
    assert approve_table() == 2
    assert "Approve 'table': DataFrame? [yes/no] Answer yes or no.\n" in capsys.readouterr().err


def test_nobody_answers_in_time(keyboard: int) -> None:
    with pytest.raises(GateTimedOut, match=r"Nobody answered the gate 'n' within 0\.2 seconds"):
        ask_int()


def test_gates_belong_into_a_workflow() -> None:
    for call in (lambda: sleep(timedelta(0)), lambda: approve(1, "x"), lambda: wait_for_input("x", 1, int)):
        with pytest.raises(
            CompileError, match=r"makes a node of a workflow, but no workflow is being compiled"
        ):
            call()
