"""What a run tells other runs arrives: it does not continue as new before, which would lose it; late ones are told, too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError

from flyte_temporal.spec.execution import ExecutionPhase, Fix, NodePhase, ParentRef
from flyte_temporal.spec.nodes import ArrayTarget, Node
from flyte_temporal.spec.repairs import Pause
from flyte_temporal.spec.runs import Shard
from flyte_temporal.testing import closures
from flyte_temporal.workflows.body import workflow_body
from flyte_temporal.workflows.run import Run
from flyte_temporal.workflows.scope import NodeState

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Post:
    """Temporal, which delivers messages when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[str, str]] = []
        self.delivered = asyncio.Event()
        monkeypatch.setattr(
            workflow,
            "info",
            lambda: SimpleNamespace(
                start_time=NOW, namespace="default", is_target_worker_deployment_version_changed=lambda: False
            ),
        )
        monkeypatch.setattr(workflow, "now", lambda: NOW)
        monkeypatch.setattr(workflow, "upsert_search_attributes", lambda _changes: None)
        monkeypatch.setattr(workflow, "start_local_activity", lambda *_args, **_options: asyncio.Future())
        monkeypatch.setattr(workflow, "get_external_workflow_handle", self._to)

    def _to(self, execution: str) -> Any:
        async def signal(name: str, *_news: Any) -> None:
            self.sent.append((execution, name.rpartition(".")[2]))
            await self.delivered.wait()

        return SimpleNamespace(signal=signal)


@pytest.fixture
async def post(monkeypatch: pytest.MonkeyPatch) -> Post:
    return Post(monkeypatch)


def made() -> Run:
    closure = closures.chain(2)
    given = closures.run_input(closure, "e", 1)
    request = given.request.model_copy(update={"parent": ParentRef(execution="above", node="lp")})
    run = Run(given.model_copy(update={"request": request}), closure)
    run._tree.open(workflow_body(run._program, run._program.main, {}, None))
    return run


def started(run: Run) -> NodeState:
    """Return a node that stands for one which has started another run."""
    state = run.states[0]
    state.child, state.child_started, state.phase = "below", True, NodePhase.RUNNING
    return state


def shard_of(state: NodeState) -> Shard:
    array = Node(id="m", target=ArrayTarget(item=state.node.target, over=("x",)))
    return Shard(spec="s", node=array, path="m", inputs={}, offset=0, count=1, total=2)


def with_shard(run: Run) -> NodeState:
    state = started(run)
    run.shards._running["m", 0] = state, shard_of(state)
    return state


def waits(run: Run) -> None:
    run.repairs.waiting["lp"] = "below"
    run.repairs.show(run.records)
    assert run.repairs.phase is ExecutionPhase.PAUSED


def pauses(run: Run) -> None:
    started(run)
    run.repairs.hold_back(Pause(by="ann"))


def mends(run: Run) -> None:
    with_shard(run)
    run.repairs.mend(Fix(spec="s", tasks={}, environment=run.given.request.environment))


def stops(run: Run) -> None:
    assert run.shards.stop(with_shard(run))


@pytest.mark.parametrize(
    ("act", "sent"),
    [
        (waits, ("above", "child_paused")),
        (pauses, ("below", "paused_with_parent")),
        (mends, ("below", "fixed_with_parent")),
        (stops, ("below", "shard_stop")),
    ],
)
async def test_a_run_does_not_continue_as_new_before_its_messages_have_arrived(
    post: Post, act: Callable[[Run], None], sent: tuple[str, str]
) -> None:
    run = made()
    assert run._may_leave()
    act(run)
    assert not run._may_leave()
    await asyncio.sleep(0)
    assert sent in post.sent
    run._inbox._wake.clear()
    post.delivered.set()
    await asyncio.wait_for(run._inbox.ended(), 1)  # nothing else would have it look again
    assert run._may_leave()


@pytest.mark.parametrize("met", [True, False], ids=["met", "started"])
@pytest.mark.parametrize("kind", ["child", "shard"])
async def test_what_was_only_being_started_when_its_run_was_paused_is_told(
    post: Post, monkeypatch: pytest.MonkeyPatch, kind: str, *, met: bool
) -> None:
    confirmed = asyncio.Event()

    async def start(name: str, **_options: Any) -> asyncio.Future[Any]:
        await confirmed.wait()
        if met:
            raise WorkflowAlreadyStartedError("below", name)
        return asyncio.Future()

    monkeypatch.setattr(workflow, "start_child_workflow", start)
    monkeypatch.setattr(workflow, "start_activity", lambda *_args, **_options: asyncio.Future())
    run = made()
    state = run.states[0]
    if kind == "shard":
        run.shards.start(state, shard_of(state), 1)
    else:
        state.child = "e.n0"
        request = run.given.request.model_copy(
            update={"id": run.given.request.id.model_copy(update={"name": state.child})}
        )
        waiting = run._children._output(state, request, "lp", again=False)
        run._inbox.watch(state, asyncio.create_task(waiting), costly=True)
    await asyncio.sleep(0)
    run.repairs.hold_back(Pause(by="ann"))
    await asyncio.sleep(0)
    assert post.sent == [], "it is not there yet"
    confirmed.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert post.sent == [(state.child, "paused_with_parent")]
