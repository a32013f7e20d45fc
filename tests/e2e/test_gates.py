"""Gates answered by people and by services: what is taken, what is refused and how, and what is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyte_temporal.client import Client
from flyte_temporal.errors import Conflict, InvalidInputs, NotFound
from tests.e2e.command import Command

pytestmark = pytest.mark.slow

PROGRAM = """
from dataclasses import dataclass
from datetime import timedelta
from flyte_temporal import approve, task, wait_for_input, workflow


@dataclass
class Order:
    pieces: int
    note: str = ""


@task
def price(order: Order, ok: int) -> int:
    return order.pieces * ok


@workflow
def wf(factor: int = 2) -> int:
    order = wait_for_input("order", timeout=timedelta(hours=1), expected_type=Order)
    return price(order=order, ok=approve(factor, "factor ok", timeout=timedelta(hours=1)))
"""


@pytest.fixture
def gated(tmp_path: Path) -> Path:
    source = tmp_path / "src" / "gated.py"
    source.parent.mkdir()
    source.write_text(PROGRAM, encoding="utf-8")
    return source


def test_answers_on_the_command_line(cli: Command, gated: Path) -> None:
    id_ = cli("run", "--detach", gated, "wf").stdout.strip()
    wrong = cli("set-input", id_, "order", '{"pieces": "many"}', expect=2)
    assert "The gate 'order': field .pieces: expected int, got str 'many'" in wrong.stderr
    unknown = cli("approve", id_, "order ok", expect=2)
    assert "no gate 'order ok'. Its gates: order (n0), factor ok (n1)" in unknown.stderr
    kind = cli("approve", id_, "order", expect=2)
    assert "set its input" in kind.stderr
    taken = cli("set-input", id_, "n0", '{"pieces": 3}', "-o", "json").document
    assert (taken["id"], taken["node"], taken["name"]) == (id_, "n0", "order")
    again = cli("set-input", id_, "order", '{"pieces": 4}', expect=2)
    assert "was answered by" in again.stderr
    assert "Gate factor ok (node n1)" in cli("approve", id_, "factor ok").stdout
    done = cli("wait", id_, "-o", "json").document
    assert done["outputs"] == {"o0": 6}
    over = cli("reject", id_, "factor ok", expect=2)
    assert "is over (SUCCEEDED)" in over.stderr
    rows = {row["id"]: row for row in cli("get", "nodes", id_, "-o", "json").document}
    assert rows["n0"]["reply"]["value"]["pieces"] == 3
    assert rows["n0"]["reply"]["at"]
    assert rows["n1"]["reply"]["approved"] is True


def test_answers_by_a_service(cli: Command, gated: Path) -> None:
    from flyte_temporal.sdk.loader import find_entity, load_file

    module = load_file(gated)
    with Client.local(cli.home) as client:
        execution = client.run(find_entity(module, "wf"), factor=5)
        assert {g.name for g in execution.gates()} == {"order", "factor ok"}
        with pytest.raises(InvalidInputs, match="pieces"):
            execution.set_input("order", {"note": "x"})
        with pytest.raises(NotFound, match="no gate"):
            execution.approve("other")
        execution.set_input("order", module.Order(pieces=2))
        with pytest.raises(Conflict, match="answered"):
            execution.set_input("order", {"pieces": 9})
        execution.reject("factor ok")
        record = execution.wait(60)
    assert record.error is not None
    assert (record.error.code, record.error.node) == ("GateRejected", "n1")
