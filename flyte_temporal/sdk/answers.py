"""Answers to the gates of a plain run: given beforehand, or asked for on the terminal.

Called by `gates`; the command line gives what `--answers FILE` holds.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from flyte_temporal.errors import GateTimedOut, InvalidInputs, TypeMismatch, UserCodeError
from flyte_temporal.sdk.types.converter import ValueContext, shown
from flyte_temporal.sdk.types.display import show
from flyte_temporal.sdk.types.engine import default_engine
from flyte_temporal.sdk.types.text import read_json, read_text
from flyte_temporal.spec.nodes import GateTarget
from flyte_temporal.spec.types import LiteralType, describe

_GIVEN: ContextVar[Mapping[str, Any]] = ContextVar("flyte_temporal_answers")

_YES, _NO = {"y", "yes", "true", "approve"}, {"n", "no", "false", "reject"}


class GateUnanswered(UserCodeError):
    """A plain run came to a gate, and there was nobody to ask."""

    code = "GateUnanswered"
    retryable = False


@contextmanager
def gate_answers(answers: Mapping[str, Any]) -> Iterator[None]:
    """Answer the gates of plain runs inside the block, for tests and scripts.

    Args:
        answers: By the gate's name: True or False for one that approves, the value for one that waits for an input.
    """
    token = _GIVEN.set({**_GIVEN.get({}), **answers})
    try:
        yield
    finally:
        _GIVEN.reset(token)


def approved(gate: GateTarget, value: Any) -> bool:
    """Return whether a value is approved.

    Args:
        gate: The gate.
        value: The value, as JSON of the gate's type or held in memory.

    Raises:
        GateTimedOut: If nobody answers in time.
        GateUnanswered: If there is nobody to ask.
        InvalidInputs: If the answer that was given is neither True nor False.
    """
    answers = _GIVEN.get({})
    if gate.name in answers:
        answer = answers[gate.name]
        if not isinstance(answer, bool):
            raise InvalidInputs(
                f"The answer to the gate {gate.name!r} approves or rejects: give true or false, not {shown(answer)}."
            )
        return answer
    terminal = _Terminal(gate)
    while True:
        word = terminal.ask(f"Approve {gate.name!r}: {_text(value, gate.type)}? [yes/no] ").lower()
        if word in _YES | _NO:
            return word in _YES
        terminal.tell("Answer yes or no.")


def input_of(gate: GateTarget, annotation: Any, context: ValueContext) -> Any:
    """Return the value that a gate waits for, as JSON of its type.

    Args:
        gate: The gate.
        annotation: The Python type that it waits for.
        context: How values are written.

    Raises:
        GateTimedOut: If nobody answers in time.
        GateUnanswered: If there is nobody to ask.
        InvalidInputs: If the answer that was given is not of the type.
    """
    type_, answers = _type(gate), _GIVEN.get({})
    if gate.name in answers:
        return _written(answers[gate.name], gate.name, type_, annotation, context)
    terminal = _Terminal(gate)
    while True:
        try:
            return read_text(terminal.ask(f"Input {gate.name!r} ({describe(type_)}): "), type_, context)
        except InvalidInputs as error:
            terminal.tell(f"{error.message}.")


def _type(gate: GateTarget) -> LiteralType:
    if gate.type is None:
        raise ValueError(f"the gate {gate.name!r} gives no value")
    return gate.type


def _written(answer: Any, name: str, type_: LiteralType, annotation: Any, context: ValueContext) -> Any:
    try:
        return default_engine().to_json(answer, annotation, context)
    except TypeMismatch as mismatch:
        try:
            # Data of a file: a date is text there, a dataclass an object.
            return read_json(answer, type_, context)
        except InvalidInputs:
            raise InvalidInputs(
                f"The answer to the gate {name!r} does not fit: {mismatch.message}."
            ) from mismatch


class _Terminal:
    """Asks a person until the gate's time is over."""

    def __init__(self, gate: GateTarget) -> None:
        self._gate = gate
        self._deadline = time.monotonic() + gate.timeout_s if gate.timeout_s else None
        if sys.stdin is None or sys.stdin.closed or not sys.stdin.isatty():
            raise GateUnanswered(self._nobody())

    def ask(self, question: str) -> str:
        self.tell(question, end="")
        left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        if not select.select([sys.stdin], [], [], left)[0]:
            self.tell("")
            raise GateTimedOut(
                f"Nobody answered the gate {self._gate.name!r} within {self._gate.timeout_s:g} seconds."
            )
        line = sys.stdin.readline()
        if not line:
            raise GateUnanswered(self._nobody())
        return line.strip()

    @staticmethod
    def tell(text: str, end: str = "\n") -> None:
        print(text, end=end, file=sys.stderr, flush=True)  # noqa: T201 - a question to the person at the terminal

    def _nobody(self) -> str:
        given = ", ".join(map(repr, _GIVEN.get({})))
        known = f" Answers are given for: {given}." if given else ""
        return (
            f"The gate {self._gate.name!r} waits for an answer, and there is no terminal to ask at. Give it in a file, "
            f"--answers FILE, or in Python by gate_answers({{...}}).{known}"
        )


def _text(value: Any, type_: LiteralType | None) -> str:
    try:
        text = json.dumps(show(value, type_), ensure_ascii=False) if type_ is not None else ""
    except (TypeError, ValueError, AttributeError, KeyError):
        text = describe(type_) if type_ is not None else ""  # held in memory: a dataframe, for example
    return text if len(text) <= 400 else text[:400] + "…"
