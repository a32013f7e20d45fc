"""Logs over the socket: line by line, and as they come."""

from __future__ import annotations

import asyncio

import pytest

from flyte_temporal.client import AsyncClient
from flyte_temporal.control import tailing
from flyte_temporal.errors import (
    NotFound,
)
from flyte_temporal.spec import keys
from flyte_temporal.spec.execution import (
    ExecutionPhase,
    NodePhase,
    NodeRecord,
)
from flyte_temporal.spec.identifiers import AttemptId
from tests.unit.client.hosted import Setting, entity, finish, run_id, until


async def test_logs_come_line_by_line(setting: Setting, client: AsyncClient) -> None:
    execution = await client.run(entity(setting.home), execution_id="e")
    attempt = AttemptId(execution=run_id("e"), node="n0", number=1, token="t")
    text = "".join(f"line {i}\n" for i in range(450))
    setting.blobs.put(keys.log_chunk(attempt.key, 0), text.encode())
    node = NodeRecord(id="n0", name="double", kind="task", phase=NodePhase.RUNNING, attempts=1)
    setting.store.record_nodes(run_id("e"), [node])
    found = [line async for line in execution.logs()]
    assert [line.text for line in found] == text.splitlines()
    with pytest.raises(NotFound, match="n9"):
        _ = [line async for line in execution.logs("n9")]


async def test_a_followed_log_goes_on_when_the_stack_is_back_and_tells_what_it_waits_for(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "INTERVAL_S", 0.01)
    said: list[str] = []
    client = AsyncClient.local(setting.home, said.append)
    execution = await client.run(entity(setting.home), execution_id="e")
    attempts = [AttemptId(execution=run_id("e"), node=node, number=1, token="t") for node in ("n0", "n1")]

    def record(*phases: NodePhase) -> None:
        nodes = [
            NodeRecord(id=f"n{i}", name="double", kind="task", phase=phase, attempts=1, order=i)
            for i, phase in enumerate(phases)
        ]
        setting.store.record_nodes(run_id("e"), nodes)

    lines = execution.logs(follow=True)
    setting.blobs.put(keys.log_chunk(attempts[1].key, 0), b"b1\nb")
    record(NodePhase.RUNNING, NodePhase.RUNNING)
    assert (await anext(lines)).text == "b1"
    # Anew, the first node's lines come before those that were seen.
    await setting.host.close()
    setting.blobs.put(keys.log_chunk(attempts[0].key, 0), b"a1\n")
    setting.blobs.put(keys.log_chunk(attempts[1].key, 1), b"2\n")
    await setting.reopen()
    assert [(await anext(lines)).text for _ in range(2)] == ["a1", "b2"]
    typo = execution.logs("typo", follow=True)
    waiting = asyncio.create_task(anext(typo))
    await until(lambda: any("'typo'" in text and "n0 (double)" in text for text in said))
    await finish(setting, "e", phase=ExecutionPhase.SUCCEEDED)
    assert [line async for line in lines] == []
    with pytest.raises(NotFound, match="typo"):
        await waiting
    assert len([text for text in said if "'typo'" in text]) == 1
