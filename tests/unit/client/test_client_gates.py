"""Answers of clients to gates that come while they answer."""

from __future__ import annotations

import pytest

from flyte_temporal.client import AsyncClient
from flyte_temporal.errors import Conflict, NotFound
from flyte_temporal.spec.calls import GateState
from flyte_temporal.spec.execution import NodePhase
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.types import INTEGER
from tests.unit.client.hosted import Setting, entity, run_id

GATE = GateState(node="n0.n0", name="first", gate="input", type=INTEGER, phase=NodePhase.RUNNING)


@pytest.mark.parametrize("looks", [1, 2], ids=["after the client's look", "after the stack's look"])
async def test_a_gate_that_comes_meanwhile_takes_no_value_that_nobody_checked(
    setting: Setting, client: AsyncClient, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    execution = await client.start(entity(setting.home), {})
    known = setting.engine.gates
    looked = 0

    async def gates(asked: ExecutionId) -> list[GateState]:
        nonlocal looked
        looked += 1
        if looked == looks + 1:
            setting.engine.gate_states[asked] = [GATE]
        return await known(asked)

    monkeypatch.setattr(setting.engine, "gates", gates)
    with pytest.raises(Conflict, match="'first' has come only now"):
        await execution.set_input_text("first", "1")
    (gate,) = setting.engine.gate_states[run_id(execution.id)]
    assert gate.reply is None
    answered = await execution.set_input_text("first", "1")
    assert answered.reply is not None
    assert answered.reply.value == 1


async def test_a_gate_that_is_not_there_is_told_by_the_run(setting: Setting, client: AsyncClient) -> None:
    execution = await client.start(entity(setting.home), {})
    with pytest.raises(NotFound, match="no gate 'first'"):
        await execution.set_input_text("first", "1")
