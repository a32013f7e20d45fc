"""`logs --follow`: each line once, whole, until the end."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flyte_temporal.cli import following_logs
from flyte_temporal.client import Execution, LogLine
from flyte_temporal.errors import NotFound
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase

Look = tuple[list[str] | None, bool]


class FakeExecution:
    """What was printed at each look, and whether it was over by then; None = there is no such node yet."""

    def __init__(self, *looks: Look, by_node: bool = False) -> None:
        self._looks = list(looks)
        self._by_node = by_node

    def record(self) -> Any:
        over = self._looks[0][1] and not self._by_node
        return SimpleNamespace(phase=ExecutionPhase.SUCCEEDED if over else ExecutionPhase.RUNNING)

    def node(self, name: str) -> Any:
        return SimpleNamespace(phase=NodePhase.FAILED if self._looks[0][1] else NodePhase.RUNNING)

    def logs(self, node: str | None, attempt: int | None) -> Iterator[LogLine]:
        texts, _ = self._looks.pop(0)
        if texts is None:
            raise NotFound("no such node")
        yield from (LogLine(node="n0", attempt=1, text=text) for text in texts)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_logs, "_PAUSE_S", 0.0)


def followed(execution: FakeExecution, node: str | None = None) -> list[str]:
    shown: list[str] = []
    following_logs.follow_logs(
        cast("Execution", execution), (node, None), lambda line: shown.append(line.text)
    )
    return shown


def test_each_line_is_shown_once_and_whole() -> None:
    looks: list[Look] = [
        (None, False),
        ([], False),
        (["a", "b", "cu"], False),
        (["a", "b", "cut", "d"], False),
    ]
    assert followed(FakeExecution(*looks, (["a", "b", "cut", "d", "e"], True))) == ["a", "b", "cut", "d", "e"]


def test_a_line_that_stays_is_shown_though_nothing_follows() -> None:
    seen: list[str] = []

    class Watching(FakeExecution):
        def logs(self, node: str | None, attempt: int | None) -> Iterator[LogLine]:
            seen.append(",".join(shown))
            return super().logs(node, attempt)

    shown: list[str] = []
    execution = Watching((["a"], False), (["a"], False), (["a"], False), (["a"], True))
    following_logs.follow_logs(
        cast("Execution", execution), (None, None), lambda line: shown.append(line.text)
    )
    assert (seen, shown) == (["", "", "a", "a"], ["a"])


def test_the_end_of_a_node_is_enough() -> None:
    assert followed(FakeExecution((["a"], False), (["a", "b"], True), by_node=True), "n0") == ["a", "b"]


def test_a_node_that_never_was_is_told_at_the_end() -> None:
    with pytest.raises(NotFound):
        followed(FakeExecution((None, False), (None, True)), "n9")
