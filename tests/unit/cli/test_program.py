"""The border of the command line: what leaves it when a person interrupts it."""

from __future__ import annotations

import pytest

from flyte_temporal.cli import program
from flyte_temporal.cli.exits import ExitCode
from tests.unit.cli.scripted import Screen


def test_ctrl_c_where_nobody_listens_ends_with_130_and_says_what_goes_on(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "_dispatch", interrupted)
    assert program.run(["run"], screen.output) == ExitCode.INTERRUPTED
    assert screen.stdout == ""
    assert "An execution that had started goes on: 'flyte-temporal get executions'" in screen.stderr
