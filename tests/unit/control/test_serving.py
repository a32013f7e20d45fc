"""Clusters that nobody serves: refused where they are named, and told where attempts wait for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from flyte_temporal.cli.output import Output
from flyte_temporal.cli.progress import Lines
from flyte_temporal.config.clusters import ClusterSettings
from flyte_temporal.config.settings import Settings
from flyte_temporal.control import serving
from flyte_temporal.control.documents import RecoverRequest, StartRequest
from flyte_temporal.control.usecases import Control, Ports
from flyte_temporal.errors import BadRequest
from flyte_temporal.ports.clock import SystemClock
from flyte_temporal.ports.engine import RunState
from flyte_temporal.spec.calls import RecordRequest
from flyte_temporal.spec.execution import Environment, ExecutionPhase, ExecutionRecord, NodePhase, NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.literals import Inline
from flyte_temporal.testing import closures
from flyte_temporal.testing.blobs import MemoryBlobStore
from flyte_temporal.testing.catalog import MemoryCatalog
from flyte_temporal.testing.engine import FakeEngine
from flyte_temporal.testing.metadata import MemoryMetadataStore

CLOSURE = closures.closure(
    closures.workflow("shapes.two", [closures.step("n0", 1), closures.step("n1", 1)], closures.out("n0"))
)
RUN = ExecutionId(project="default", domain="development", name="run-1")


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def control(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Control]:
    monkeypatch.setattr(serving, "_LOOK_S", 0.0)
    named = {"default": ClusterSettings(), "gpu-west": ClusterSettings()}
    settings = Settings()
    kubernetes = settings.kubernetes.model_copy(update={"clusters": named})
    store = MemoryMetadataStore()
    made = Control(
        Ports(engine, store, MemoryBlobStore(), SystemClock(), MemoryCatalog()),
        settings.model_copy(update={"kubernetes": kubernetes}),
    )
    yield made
    await made.close()


def wish(cluster: str, launcher: str = "kubernetes", name: str = "run-1", **more: Any) -> StartRequest:
    where = Environment(launcher=launcher, cluster=cluster)
    x = {"x": Inline(value=1)}
    return StartRequest(closure=CLOSURE, inputs=x, environment=where, execution_id=name, **more)


async def test_a_cluster_that_nobody_serves_is_refused_with_those_that_are_known(
    control: Control, engine: FakeEngine
) -> None:
    engine.unserved = {"gpu-wset", "gpu-west"}
    with pytest.raises(BadRequest) as refused:
        await control.start(wish("gpu-wset"))
    assert "No worker takes attempts of the cluster 'gpu-wset', so" in refused.value.message
    assert "Did you mean gpu-west? Clusters in the settings here: default, gpu-west." in refused.value.message
    assert engine.started == []
    # What the settings have may only be coming up; a launcher without clusters has nothing to do with them.
    await control.start(wish("gpu-west"))
    await control.start(wish("gpu-wset", "pool", "run-2"))
    assert len(engine.started) == 2


async def test_what_workers_serve_needs_no_settings_here(control: Control, engine: FakeEngine) -> None:
    await control.start(wish("far"))
    assert len(engine.started) == 1
    # The same request again attaches, and full workers are no reason to refuse another one.
    engine.unserved = {"far"}
    await control.start(wish("far"))
    await control.start(wish("far", name="run-2"))
    await engine.finish(RUN, RunState(phase=ExecutionPhase.SUCCEEDED))
    assert len(engine.started) == 2


async def test_an_engine_that_does_not_answer_is_no_reason_to_refuse(
    control: Control, engine: FakeEngine
) -> None:
    engine.available = False
    assert (await control.start(wish("far"))).phase is ExecutionPhase.QUEUED


async def test_a_recovery_on_another_launcher_is_looked_at_too(control: Control, engine: FakeEngine) -> None:
    await control.start(wish("far", "pool"))
    store = control._ports.store
    store.record(RecordRequest(execution=RUN, phase=ExecutionPhase.FAILED, at=SystemClock().now()))
    engine.unserved = {"far"}
    with pytest.raises(BadRequest, match="cluster 'far'"):
        await control.recover(RecoverRequest(source=RUN, launcher="kubernetes"))


@dataclass
class Watched:
    execution: ExecutionRecord
    nodes: list[NodeRecord]


async def test_an_attempt_that_no_worker_takes_says_so(
    control: Control, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    await control.start(wish("gpu-west"))
    engine.waiting_nodes = {"n0"}

    async def reasons() -> dict[str, str]:
        return {node.id: node.reason for node in await control.nodes(RUN)}

    assert await reasons() == {"n0": "", "n1": ""}
    engine.unserved = {"gpu-west"}
    # n1 waits for something else.
    found = await reasons()
    assert found["n0"].startswith("no worker takes attempts of the cluster 'gpu-west'")
    assert found["n1"] == ""
    lines = Lines(Output())
    lines.show(Watched(await control.get(RUN), await control.nodes(RUN)))
    printed = capsys.readouterr().err
    assert "no worker takes attempts of the cluster 'gpu-west'" in printed
    assert "n1" not in printed
    # What a worker has said before it went stands no longer; what is over has its end.
    engine.waiting_nodes = {"n0", "n1"}
    told = {"kind": "task", "phase": NodePhase.RUNNING, "reason": "waits for a place"}
    ended = {"kind": "task", "phase": NodePhase.SUCCEEDED}
    records = (NodeRecord(id="n0", name="n0", **told), NodeRecord(id="n1", name="n1", **ended))
    control._ports.store.record(RecordRequest(execution=RUN, nodes=records, at=SystemClock().now()))
    assert [reason.partition(" of ")[0] for reason in (await reasons()).values()] == [
        "no worker takes attempts",
        "",
    ]
    # A worker that serves the cluster takes it in a moment.
    engine.unserved = set()
    assert (await reasons())["n0"] == "waits for a place"
    await engine.finish(RUN, RunState(phase=ExecutionPhase.SUCCEEDED))
