"""Runs that continue as new, at any moment: nothing is lost, nothing runs twice (docs/decisions/0035 and 0036)."""

from __future__ import annotations

from typing import Any

import pytest

from flyte_temporal.spec.execution import NodeRecord
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.testing import closures
from tests.workflow import dags
from tests.workflow.conftest import Stage
from tests.workflow.launched import Launched, histories


def essence(node: NodeRecord) -> tuple[Any, ...]:
    """Return what must not depend on how often a run continued as new."""
    error = node.error and (node.error.code, node.error.message, node.error.node)
    return (node.name, node.kind, node.phase, node.attempts, node.task, node.spec, error)


@pytest.mark.row(38)
async def test_a_chain_is_continued_many_times(stage: Stage) -> None:
    launched = Launched(stage)
    state = await launched.run(closures.chain(30), "often", 1, RunLimits(history_events=5))
    assert state.outputs == {"o0": Inline(value=31)}
    runs = await histories(stage, "often")
    assert len(runs) > 5
    assert launched.doubled() == []


@pytest.mark.row(38)
@pytest.mark.parametrize("seed", range(4))
async def test_a_random_dag_ends_as_if_it_had_not_been_continued(stage: Stage, seed: int) -> None:
    closure = dags.random_dag(seed, 28, wrong=seed % 4 == 3)
    seen = []
    for events in (0, 4 + seed):
        launched = Launched(stage, dags.work)
        name = f"random-{seed}-{events}"
        given = launched.prepared(closure, name, 1, RunLimits(history_events=events))
        state = await launched.run(closure, name, 1, RunLimits(history_events=events))
        assert launched.doubled() == []
        assert state.phase is not None
        nodes = launched.nodes(given)
        ends: dict[str, set[str]] = {}
        for change in launched.store.changes:
            for node in change.nodes:
                if node.phase.terminal:
                    ends.setdefault(node.id, set()).add(node.phase)
        assert {path: {node.phase} for path, node in nodes.items()} == ends
        assert sorted(node.order for node in nodes.values()) == list(range(len(nodes)))
        record = launched.store.execution(given.request.id)
        assert record is not None
        seen.append((state.phase, state.outputs, record.phase, {p: essence(n) for p, n in nodes.items()}))
    assert len(await histories(stage, f"random-{seed}-{4 + seed}")) > 1
    assert seen[0] == seen[1]
