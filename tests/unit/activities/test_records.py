"""Records of nodes, written in batches: what of them is kept in memory."""

from __future__ import annotations

import pytest

from flyte_temporal.activities.records import Records
from flyte_temporal.spec.calls import RecordRequest
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase, NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.testing.metadata import MemoryMetadataStore

NODE = NodeRecord(id="n0", name="step", kind="task", phase=NodePhase.RUNNING, attempts=1)


class Written(MemoryMetadataStore):
    """A store that keeps who said that an execution runs."""

    def __init__(self) -> None:
        super().__init__()
        self.running: list[str] = []

    def record(self, change: RecordRequest) -> bool:
        if change.phase is ExecutionPhase.RUNNING:
            self.running.append(change.execution.name)
        return super().record(change)


async def test_of_executions_that_end_on_other_workers_only_the_latest_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flyte_temporal.activities.records.run_of", lambda execution: "r")
    monkeypatch.setattr("flyte_temporal.activities.records._KEPT", 2)
    store = Written()
    records = Records(store)
    for name in ("a", "b", "a", "c", "a", "b"):
        records.note(ExecutionId(project="p", domain="d", name=name), NODE)
        await records.flush()
    assert [execution.name for execution, _ in records._running] == ["a", "b"]
    assert store.running == ["a", "b", "c", "b"], "who is forgotten says once more that it runs"
    await records.close()
