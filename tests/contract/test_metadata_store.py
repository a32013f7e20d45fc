"""What every metadata store promises, on the fake, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.adapters.store.sql import SqlMetadataStore
from flyte_temporal.errors import Conflict
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec.basis import Basis
from flyte_temporal.spec.calls import RecordRequest
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.entities import Root
from flyte_temporal.spec.execution import (
    ErrorDocument,
    ErrorKind,
    ExecutionPhase,
    ExecutionRequest,
    NodePhase,
    NodeRecord,
)
from flyte_temporal.spec.identifiers import EntityId, ExecutionId
from flyte_temporal.spec.listing import NodeFilter
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.runs import SHARDED_ORDER
from flyte_temporal.testing.metadata import MemoryMetadataStore
from tests.contract.databases import new_database

T0 = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    if request.param == "memory":
        yield MemoryMetadataStore()
        return
    url = f"sqlite:///{tmp_path}/metadata.db"
    if request.param == "postgres":
        url = new_database(request.getfixturevalue("postgres_url"))
    store = SqlMetadataStore(url)
    store.upgrade()
    yield store
    store.close()


def eid(name: str = "run-1", project: str = "default") -> ExecutionId:
    return ExecutionId(project=project, domain="development", name=name)


def a_request(name: str = "run-1", **changes: Any) -> ExecutionRequest:
    given: dict[str, Any] = {
        "id": eid(name),
        "root": Root(kind="workflow", name="pipeline.train"),
        "version": "v1",
        "spec": "a" * 64,
        "inputs": {"x": Inline(value="nul \u0000 und ä 🚀")},
        "requested_by": "ada",
    }
    return ExecutionRequest(**{**given, **changes})


def a_node(phase: NodePhase = NodePhase.RUNNING, attempts: int = 1, **changes: Any) -> NodeRecord:
    given: dict[str, Any] = {"id": "n0", "name": "fit", "kind": "task", "task": "pipeline.fit"}
    return NodeRecord(**{**given, **changes}, phase=phase, attempts=attempts)


def test_an_entity_version_keeps_its_closure(store: MetadataStore) -> None:
    entity = EntityId(kind="task", project="p", domain="d", name="a.b", version="v1")
    assert store.closure_of(entity) is None
    store.register(entity, "1" * 64, T0)
    store.register(entity, "1" * 64, T0)
    with pytest.raises(Conflict, match="v1"):
        store.register(entity, "2" * 64, T0)
    assert store.closure_of(entity) == "1" * 64
    store.register(entity.model_copy(update={"version": "v2"}), "2" * 64, T0)
    assert store.closure_of(entity) == "1" * 64


def test_an_execution_is_inserted_once_and_read_back_exactly(store: MetadataStore) -> None:
    assert store.execution(eid()) is None
    made = store.create_execution(a_request(), T0)
    assert made.phase is ExecutionPhase.QUEUED
    assert made.created_at == T0
    again = store.create_execution(a_request(requested_by="a colleague"), T0 + timedelta(days=1))
    assert again == made
    assert store.execution(eid()) == made


def test_the_earliest_start_that_anyone_has_seen_is_kept(store: MetadataStore) -> None:
    store.create_execution(a_request(), T0)
    late, early = T0 + timedelta(seconds=9), T0 + timedelta(seconds=1)
    node = a_node(started_at=late)
    store.record(RecordRequest(execution=eid(), nodes=(node,), phase=ExecutionPhase.RUNNING))
    store.record(RecordRequest(execution=eid(), phase=ExecutionPhase.RUNNING, at=early))
    found = store.execution(eid())
    assert found is not None
    assert found.started_at == early


def test_another_request_under_the_same_id_is_refused(store: MetadataStore) -> None:
    store.create_execution(a_request(), T0)
    with pytest.raises(Conflict, match="run-1"):
        store.create_execution(a_request(inputs={}), T0)
    found = store.execution(eid())
    assert found is not None
    assert found.request == a_request()


def test_an_id_that_another_project_has_is_refused_with_its_owner(store: MetadataStore) -> None:
    store.create_execution(a_request(), T0)
    # Also the very same request: its run, named by the id alone, would be the other project's.
    for elsewhere in (eid(project="other"), eid().model_copy(update={"domain": "production"})):
        with pytest.raises(Conflict, match=r"run-1.*project default, domain development.*Use another id"):
            store.create_execution(a_request(id=elsewhere), T0)
        assert store.execution(elsewhere) is None
    assert [r.request.id for r in store.open_executions()] == [eid()]


def test_an_execution_goes_through_its_phases(store: MetadataStore) -> None:
    store.create_execution(a_request(), T0)
    store.record(RecordRequest(execution=eid(), phase=ExecutionPhase.RUNNING, at=T0 + timedelta(seconds=1)))
    store.record(RecordRequest(execution=eid(), phase=ExecutionPhase.PAUSED, at=T0 + timedelta(seconds=2)))
    store.record(RecordRequest(execution=eid(), phase=ExecutionPhase.RUNNING, at=T0 + timedelta(seconds=3)))
    store.record(
        RecordRequest(
            execution=eid(),
            phase=ExecutionPhase.SUCCEEDED,
            outputs={"o0": Inline(value=[1, "NaN", None])},
            at=T0 + timedelta(seconds=4),
        )
    )
    record = store.execution(eid())
    assert record is not None
    assert record.phase is ExecutionPhase.SUCCEEDED
    assert record.started_at == T0 + timedelta(seconds=1)
    assert record.finished_at == T0 + timedelta(seconds=4)
    assert record.outputs == {"o0": Inline(value=[1, "NaN", None])}


def test_a_late_or_repeated_phase_changes_nothing(store: MetadataStore) -> None:
    error = ErrorDocument(kind=ErrorKind.USER, code="UserCodeError", message="boom", node="n0")
    store.create_execution(a_request(), T0)
    failed = RecordRequest(execution=eid(), phase=ExecutionPhase.FAILED, error=error, at=T0)
    store.record(failed)
    before = store.execution(eid())
    for late in (
        ExecutionPhase.RUNNING,
        ExecutionPhase.QUEUED,
        ExecutionPhase.SUCCEEDED,
        ExecutionPhase.FAILED,
    ):
        store.record(RecordRequest(execution=eid(), phase=late, at=T0 + timedelta(hours=1)))
    assert store.execution(eid()) == before
    assert before is not None
    assert before.error == error


def test_a_nodes_terminal_state_stays_and_a_later_attempt_wins(store: MetadataStore) -> None:
    def now() -> tuple[NodePhase, int]:
        (node,) = store.nodes(eid())
        return node.phase, node.attempts

    store.create_execution(a_request(), T0)
    store.record_nodes(eid(), [a_node(NodePhase.RUNNING, started_at=T0, attempt_key="k/1")])
    store.record_nodes(eid(), [a_node(NodePhase.QUEUED)])
    assert now() == (NodePhase.RUNNING, 1)
    store.record_nodes(eid(), [a_node(NodePhase.FAILED)])
    store.record_nodes(eid(), [a_node(NodePhase.RUNNING)])
    assert now() == (NodePhase.FAILED, 1)
    store.record_nodes(eid(), [a_node(NodePhase.RUNNING, 2, started_at=T0 + timedelta(seconds=9))])
    store.record_nodes(eid(), [a_node(NodePhase.FAILED, 1)])
    assert now() == (NodePhase.RUNNING, 2)
    store.record_nodes(eid(), [a_node(NodePhase.SUCCEEDED, 2)])
    # A zombie of the same attempt cannot change how it ended …
    store.record_nodes(eid(), [a_node(NodePhase.FAILED, 2)])
    assert now() == (NodePhase.SUCCEEDED, 2)
    (node,) = store.nodes(eid())
    assert node.started_at == T0
    assert node.attempt_key == "k/1"
    # … but the run itself can: its log is the truth.
    store.record(RecordRequest(execution=eid(), nodes=(a_node(NodePhase.ABORTED, 2),)))
    assert now() == (NodePhase.ABORTED, 2)


def test_the_newest_checkpoint_stays_whoever_writes(store: MetadataStore) -> None:
    def saved(attempt: int, generation: int) -> SavedCheckpoint:
        return SavedCheckpoint(execution="run-1", attempt=attempt, generation=generation, saved_at=T0)

    def now() -> SavedCheckpoint | None:
        return store.nodes(eid())[0].checkpoint

    store.create_execution(a_request(), T0)
    store.record_nodes(eid(), [a_node(NodePhase.RUNNING)])
    store.record_nodes(eid(), [a_node(NodePhase.RUNNING, checkpoint=saved(1, 4))])
    store.record_nodes(eid(), [a_node(NodePhase.RUNNING, checkpoint=saved(1, 3))])
    assert now() == saved(1, 4)
    store.record_nodes(eid(), [a_node(NodePhase.RUNNING, 2)])
    assert now() == saved(1, 4)
    store.record_nodes(eid(), [a_node(NodePhase.RUNNING, 2, checkpoint=saved(2, 2))])
    # An activity may tell of it later than the interpreter of the end.
    store.record(RecordRequest(execution=eid(), nodes=(a_node(NodePhase.FAILED, 2),)))
    store.record_nodes(eid(), [a_node(NodePhase.RUNNING, 2, checkpoint=saved(2, 6))])
    assert now() == saved(2, 6)
    assert store.nodes(eid())[0].phase is NodePhase.FAILED


def test_nodes_come_in_listing_order_and_in_large_numbers(store: MetadataStore) -> None:
    store.create_execution(a_request(), T0)
    nodes = [a_node(NodePhase.SUCCEEDED, id=f"n{i}", order=i) for i in range(1203)]
    store.record(RecordRequest(execution=eid(), nodes=tuple(reversed(nodes))))
    store.record(RecordRequest(execution=eid(), nodes=tuple(nodes)))
    assert [node.id for node in store.nodes(eid())] == [f"n{i}" for i in range(1203)]
    assert store.nodes(eid("another")) == []


def test_some_nodes_are_found_by_their_paths(store: MetadataStore) -> None:
    nodes = [a_node(NodePhase.SUCCEEDED, id=f"n{i}", order=i) for i in range(900)]
    store.record(RecordRequest(execution=eid(), nodes=tuple(nodes)))
    wanted = [f"n{i}" for i in range(0, 1200, 2)]
    assert set(store.some_nodes(eid(), wanted)) == {f"n{i}" for i in range(0, 900, 2)}
    assert store.some_nodes(eid(), []) == {}
    assert store.some_nodes(eid("another"), wanted) == {}


def test_what_a_result_rests_on_stays_when_a_later_state_does_not_say_it(store: MetadataStore) -> None:
    basis = Basis(what="m.fit", inputs={"x": "1"})
    store.record_nodes(eid(), [a_node(NodePhase.RUNNING, basis=basis)])
    store.record(RecordRequest(execution=eid(), nodes=(a_node(NodePhase.ABORTED),)))
    (node,) = store.nodes(eid())
    assert (node.phase, node.basis) == (NodePhase.ABORTED, basis)


def test_nodes_are_chosen_by_place_phase_and_page(store: MetadataStore) -> None:
    store.create_execution(a_request(), T0)
    paths = ["n0", "m", "m[0]", "m[1]", "m[1].k", "m[1].k[0]", "m[10]", "m2", "M[0]", "m_[0]"]
    sharded = {path: SHARDED_ORDER + i for i, path in enumerate(paths) if path.startswith("m[")}
    phases = {"m[1]": NodePhase.FAILED, "m[1].k[0]": NodePhase.FAILED}
    store.record_nodes(
        eid(),
        [
            a_node(phases.get(path, NodePhase.SUCCEEDED), id=path, order=sharded.get(path, i))
            for i, path in enumerate(paths)
        ],
    )

    def ids(**wanted: Any) -> list[str]:
        return [node.id for node in store.nodes(eid(), NodeFilter(**wanted))]

    assert ids(in_shards=False) == ["n0", "m", "m2", "M[0]", "m_[0]"]
    assert ids(below="m[1]") == ["m[1]", "m[1].k", "m[1].k[0]"]
    assert ids(below="m", in_shards=True, limit=2) == ["m[0]", "m[1]"]
    assert ids(below="m", in_shards=True, limit=2, offset=4) == ["m[10]"]
    assert ids(below="m", in_shards=True, offset=3) == ["m[1].k[0]", "m[10]"]
    assert ids(phases=[NodePhase.FAILED]) == ["m[1]", "m[1].k[0]"]
    assert store.item_phases(eid(), "m") == {NodePhase.SUCCEEDED: 2, NodePhase.FAILED: 1}
    assert store.item_phases(eid(), "m[1].k") == {NodePhase.FAILED: 1}
    assert store.item_phases(eid(), "n0") == {}


def test_nodes_of_an_execution_that_was_lost_are_kept(store: MetadataStore) -> None:
    store.record(RecordRequest(execution=eid(), phase=ExecutionPhase.RUNNING, nodes=(a_node(),), at=T0))
    assert store.execution(eid()) is None
    assert [node.id for node in store.nodes(eid())] == ["n0"]


def test_lists_are_newest_first_filtered_and_bounded(store: MetadataStore) -> None:
    for i in range(5):
        store.create_execution(a_request(f"run-{i}"), T0 + timedelta(seconds=i))
    store.create_execution(a_request(id=eid("elsewhere", "other")), T0 - timedelta(days=1))
    store.record(RecordRequest(execution=eid("run-1"), phase=ExecutionPhase.SUCCEEDED, at=T0))
    listed = store.executions("default", "development", limit=3)
    assert [r.request.id.name for r in listed] == ["run-4", "run-3", "run-2"]
    over = store.executions("default", "development", phases=[ExecutionPhase.SUCCEEDED])
    assert [r.request.id.name for r in over] == ["run-1"]
    names = [r.request.id.name for r in store.open_executions()]
    assert names == ["elsewhere", "run-0", "run-2", "run-3", "run-4"]


def test_who_asked_for_an_abort_first_is_remembered(store: MetadataStore) -> None:
    store.create_execution(a_request(), T0)
    store.mark_aborting(eid(), "wrong data", "ada")
    store.mark_aborting(eid(), "me too", "bob")
    aborted = RecordRequest(execution=eid(), phase=ExecutionPhase.ABORTED, reason="from temporal", at=T0)
    store.record(aborted)
    store.mark_aborting(eid(), "too late", "carl")
    record = store.execution(eid())
    assert record is not None
    assert (record.phase, record.abort_reason, record.aborted_by) == (
        ExecutionPhase.ABORTED,
        "wrong data",
        "ada",
    )


def test_times_come_back_as_the_same_moment_in_utc(store: MetadataStore) -> None:
    berlin = timezone(timedelta(hours=1))
    store.create_execution(a_request(), T0.astimezone(berlin))
    record = store.execution(eid())
    assert record is not None
    assert record.created_at == T0
    assert record.created_at.utcoffset() == timedelta(0)


@pytest.mark.row(9)
def test_writers_at_the_same_time_all_get_through(store: MetadataStore) -> None:
    store.create_execution(a_request(), T0)

    def write(i: int) -> None:
        store.record_nodes(
            eid(), [a_node(NodePhase.RUNNING, attempts=i, order=i), a_node(id=f"m{i}", order=i)]
        )

    _at_once(write, range(1, 41))
    found = {node.id: node for node in store.nodes(eid())}
    assert len(found) == 41
    assert found["n0"].attempts == 40


@pytest.mark.row(9)
def test_one_of_two_different_requests_at_the_same_time_wins(store: MetadataStore) -> None:
    def ask(i: int) -> bool:
        try:
            store.create_execution(a_request(inputs={"x": Inline(value=i)}), T0)
        except Conflict:
            return False
        return True

    assert sum(_at_once(ask, range(8))) == 1


def test_one_of_two_projects_that_want_an_id_at_the_same_time_wins(store: MetadataStore) -> None:
    def ask(i: int) -> bool:
        try:
            store.create_execution(a_request(id=eid(project=f"p{i}")), T0)
        except Conflict:
            return False
        return True

    assert sum(_at_once(ask, range(8))) == 1
    assert len(store.open_executions()) == 1


def _at_once(work: Callable[[int], Any], items: range) -> list[Any]:
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(work, items))


def test_a_record_follows_one_run_at_a_time(store: MetadataStore) -> None:
    store.create_execution(a_request(), T0)
    running = RecordRequest(
        execution=eid(), phase=ExecutionPhase.RUNNING, nodes=(a_node(),), run="run-1", at=T0
    )
    assert store.record(running)
    late = RecordRequest(execution=eid(), nodes=(a_node(NodePhase.SUCCEEDED),), run="run-2")
    assert store.record(late) is False
    assert [n.phase for n in store.nodes(eid())] == [NodePhase.RUNNING]
    assert store.follow_run(eid(), "other", "run-2") is False
    assert store.follow_run(eid(), "run-1", "run-2")
    assert store.record(late)
    assert store.record(running) is False
    found = store.execution(eid())
    assert found is not None
    assert (found.run, found.phase) == ("run-2", ExecutionPhase.RUNNING)
    assert [n.phase for n in store.nodes(eid())] == [NodePhase.SUCCEEDED]
    # Whoever does not know its run is heard as before.
    assert store.record(RecordRequest(execution=eid(), phase=ExecutionPhase.ABORTED, reason="x", at=T0))


def test_a_run_that_begins_anew_makes_the_end_of_the_one_before_forgotten(store: MetadataStore) -> None:
    store.create_execution(a_request(), T0)
    error = ErrorDocument(kind=ErrorKind.USER, code="X", message="m")
    ended = RecordRequest(
        execution=eid(), phase=ExecutionPhase.FAILED, nodes=(a_node(NodePhase.FAILED),), error=error, at=T0
    )
    store.mark_aborting(eid(), "why", "who")
    store.record(ended)
    fresh = RecordRequest(execution=eid(), phase=ExecutionPhase.RUNNING, nodes=(a_node(),), run="run-2")
    assert store.record(fresh) is False, "whether it is the newest run, the store cannot know"
    assert store.follow_run(eid(), "", "run-2", anew=T0)
    found = store.execution(eid())
    assert found is not None
    assert (found.phase, found.error, found.abort_reason, found.aborted_by, found.finished_at) == (
        ExecutionPhase.RUNNING,
        None,
        "",
        "",
        None,
    )
    assert store.nodes(eid()) == []
    assert store.record(fresh)
    assert [r.request.id.name for r in store.executions_named(["run-1", "none"])] == ["run-1"]
    assert store.executions_named([]) == []
    assert store.follow_run(eid("none"), "", "run-1") is False


def test_a_record_says_that_its_run_has_still_to_tell_its_nodes(store: MetadataStore) -> None:
    def untold() -> bool:
        found = store.execution(eid())
        assert found is not None
        assert found.run in {"run-1", "run-2", "run-3"}
        return found.untold

    store.create_execution(a_request(), T0)
    items = (a_node(NodePhase.SUCCEEDED, id="gone[0]", order=SHARDED_ORDER, finished_at=T0),)
    store.record(RecordRequest(execution=eid(), phase=ExecutionPhase.RUNNING, nodes=items, run="run-1"))
    assert not untold()
    assert store.follow_run(eid(), "run-1", "run-2", anew=T0)
    assert untold()
    store.record(RecordRequest(execution=eid(), phase=ExecutionPhase.RUNNING, run="run-2"))
    assert store.follow_run(eid(), "run-2", "run-3")
    store.record_nodes(eid(), [a_node()], anew=T0, run="run-2")
    assert {node.id for node in store.nodes(eid())} == {"gone[0]", a_node().id}, (
        "it is not the newest any more"
    )
    assert untold()
    store.record_nodes(eid(), [a_node()], anew=T0, run="run-3")
    assert {node.id for node in store.nodes(eid())} == {a_node().id}
    assert not untold()


def test_what_had_ended_before_the_run_that_a_reset_repeats_is_kept(store: MetadataStore) -> None:
    store.create_execution(a_request(), T0)
    before, later = T0 - timedelta(seconds=1), T0 + timedelta(seconds=1)
    ended: dict[str, Any] = {"finished_at": later}
    shard: dict[str, Any] = {"order": SHARDED_ORDER, **ended}
    nodes = [
        a_node(NodePhase.SUCCEEDED, id="old", finished_at=before),
        a_node(NodePhase.SUCCEEDED, id="old-map[0]", order=SHARDED_ORDER, finished_at=before),
        a_node(NodePhase.SUCCEEDED, id="n1", **ended),
        a_node(NodePhase.QUEUED, id="n2"),
        *(a_node(NodePhase.SUCCEEDED, id=f"done[{i}]", **shard) for i in range(1200)),
        a_node(NodePhase.FAILED, id="done[1200]", **shard),
        a_node(NodePhase.SUCCEEDED, id="n3[2].inner[0]", **shard),
        a_node(NodePhase.SUCCEEDED, id="n3[3].inner[0]", **shard),
        a_node(NodePhase.SUCCEEDED, id="open[0]", **shard),
        a_node(NodePhase.FAILED, id="open[1]", **shard),
        a_node(NodePhase.RUNNING, id="open[2].n0", order=SHARDED_ORDER),
        a_node(NodePhase.SUCCEEDED, id="waits[0]", **shard),
        a_node(NodePhase.SUCCEEDED, id="gone[0]", **shard),
    ]
    store.record(RecordRequest(execution=eid(), phase=ExecutionPhase.FAILED, nodes=tuple(nodes), run="run-1"))
    assert store.follow_run(eid(), "run-1", "run-2", anew=T0)
    kept = {node.id for node in store.nodes(eid())}
    assert kept == {node.id for node in nodes} - {"n1", "n2"}, "of shards, the new run has to tell first"
    told = [
        a_node(NodePhase.RUNNING, id="n1"),
        a_node(NodePhase.SUCCEEDED, id="done"),
        a_node(NodePhase.RUNNING, id="n3"),
        a_node(NodePhase.RUNNING, id="n3[2]"),
        a_node(NodePhase.RUNNING, id="n3[2].inner"),
        a_node(NodePhase.RUNNING, id="n3[3]"),
        a_node(NodePhase.RUNNING, id="open"),
        a_node(NodePhase.QUEUED, id="waits"),
    ]
    store.record_nodes(eid(), told, anew=T0, run="run-2")
    undone = {"n2", "n3[3].inner[0]", "open[1]", "open[2].n0", "waits[0]", "gone[0]"}
    assert {node.id for node in store.nodes(eid())} == {n.id for n in [*nodes, *told]} - undone
    assert store.some_nodes(eid(), ["n1"])["n1"].phase is NodePhase.RUNNING
