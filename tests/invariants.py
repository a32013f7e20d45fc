"""What holds whatever died: I1 to I7 of reliability.md §2.2, checked on all that a home keeps (docs/operations/faults.md).

Called by the fault tests after each fault. I6 is about notifications, which are a later part of the product.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer

from flyte_temporal.activities.outcome import MAX_MANIFEST_BYTES
from flyte_temporal.adapters.store.sql import SqlMetadataStore
from flyte_temporal.adapters.temporal.converter import data_converter
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.state import read_state
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, Manifest, StorageConfig
from flyte_temporal.spec.cache import EntryFilter
from flyte_temporal.spec.calls import AttemptRequest, AttemptResult, BatchRequest, BatchResult
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import (
    CacheStatus,
    ExecutionPhase,
    ExecutionRecord,
    NodePhase,
    NodeRecord,
    Verdict,
)
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.storage import scratch
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.worker.wiring import workflow_options

RELEASE_S = 10.0
"""How long a process may still hold its journal after its manifest has told the end of its attempt."""

_ATTEMPT = re.compile(r".+#\d+")


@dataclass
class House:
    """All that one home keeps.

    Args:
        home: The home.
        metadata: Address of its database.
        temporal: Address of its Temporal server.
        blobs: Its blob store.
        system_retries: How many attempts of a node the platform may lose.
        broken: What does not hold, in words.
    """

    home: Path
    metadata: str
    temporal: str
    blobs: BlobStore
    system_retries: int
    broken: list[str] = field(default_factory=list)

    def expect(self, holds: object, words: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.broken.append(words)


def check(
    home: Path,
    *names: str,
    system_retries: int = RunLimits().system_retries,
    storage: StorageConfig | None = None,
) -> None:
    """Fail with all that does not hold of executions, which are over or not.

    Args:
        home: Home of the stack; it runs.
        names: The executions; none = all.
        system_retries: How many attempts the platform may lose.
        storage: Its blob store; None = that of the home.
    """
    layout = Layout(home)
    house = House(
        home,
        f"sqlite:///{layout.metadata_db}",
        f"127.0.0.1:{read_state(layout.state).temporal_port}",
        open_store(storage or StorageConfig(root=layout.storage.as_uri())),
        system_retries,
    )
    store = SqlMetadataStore(house.metadata)
    try:
        chosen = [
            one
            for one in store.executions("default", "development", limit=10_000)
            if not names or one.request.id.name in names
        ]
        assert {one.request.id.name for one in chosen} >= set(names), f"no record of some of {names}"
        nodes = {one.request.id.name: store.nodes(one.request.id) for one in chosen}
        for one in chosen:
            _one_end(house, one, nodes[one.request.id.name])
            _manifests(house, one, nodes[one.request.id.name])
        _catalog(house, store, chosen)
        _processes(house, store, {one.request.id.name for one in chosen})
    finally:
        store.close()
    asyncio.run(_histories(house, chosen, nodes))
    assert not house.broken, "\n".join(house.broken)


def _over(one: ExecutionRecord) -> bool:
    return one.phase.terminal


def _one_end(house: House, one: ExecutionRecord, nodes: list[NodeRecord]) -> None:
    """I1; that a node has one state only is the primary key of its row."""
    name = one.request.id.name
    for node in nodes:
        where = f"{name}/{node.id}"
        house.expect(
            node.phase.terminal or not _over(one), f"I1 {where} is {node.phase} though {name} is {one.phase}"
        )
        if node.phase is NodePhase.SUCCEEDED:
            house.expect(node.error is None, f"I1 {where} has SUCCEEDED with an error: {node.error}")
            house.expect(
                node.finished_at is not None or node.kind != "task", f"I1 {where} succeeded and has no end"
            )
    if one.phase is ExecutionPhase.SUCCEEDED:
        bad = [n.id for n in nodes if n.phase is NodePhase.ABORTED]
        house.expect(not bad, f"I1 {name} has SUCCEEDED with aborted nodes: {bad}")


def _manifests(house: House, one: ExecutionRecord, nodes: list[NodeRecord]) -> None:
    """I2, first part: who succeeded has left a manifest, and what it names is there."""
    for node in nodes:
        if node.kind != "task" or node.phase is not NodePhase.SUCCEEDED or node.source is not None:
            continue
        where = f"{one.request.id.name}/{node.id}"
        if node.cache is CacheStatus.HIT:
            continue
        manifest = read(house.blobs, node.attempt_key)
        if manifest is None:
            house.broken.append(f"I2 {where} has SUCCEEDED and left no manifest below {node.attempt_key!r}")
            continue
        house.expect(
            manifest.attempt.key == node.attempt_key,
            f"I2 the manifest of {where} is of {manifest.attempt.label}",
        )
        house.expect(
            manifest.attempt.number == node.attempts,
            f"I2 {where} counts {node.attempts}, its manifest is of {manifest.attempt.label}",
        )
        good = list(finished(house.blobs, one.request.id, node.id))
        house.expect(len(good) == 1, f"I1 {where} was finished by several attempts: {good}")
        house.expect(manifest.error is None, f"I2 {where} has SUCCEEDED, and its manifest tells a failure")
        for reference in references(json.loads(canonical_bytes(manifest))):
            _object(house, where, reference)


def finished(blobs: BlobStore, execution: ExecutionId, node: str) -> Iterable[str]:
    """Yield the keys of those attempts of a node that left outputs: more than one = finished work was repeated."""
    for each in blobs.list(keys.attempts_prefix(execution, node)):
        folder, _, name = each.key.rpartition("/")
        if name == "manifest.json" and folder.rpartition("/")[0] == keys.attempts_prefix(execution, node):
            manifest = read(blobs, folder)
            if manifest is not None and manifest.error is None:
                yield folder


def _object(house: House, where: str, reference: dict[str, Any]) -> None:
    key = reference.get("key") or house.blobs.key(str(reference.get("uri", "")))
    if not key:
        return  # a file of the user's own
    try:
        found = house.blobs.get(key, reference["sha256"])
    except Exception as error:  # noqa: BLE001 - each way not to be what it should is one
        house.broken.append(f"I2 {where}: {key}: {error}")
        return
    house.expect(found is not None, f"I2 {where}: {key} is not there")


def references(value: Any) -> Iterable[dict[str, Any]]:
    """Yield what refers to an object with a digest, in any depth."""
    if isinstance(value, dict):
        if value.get("sha256") and ("key" in value or "uri" in value):
            yield value
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def read(blobs: BlobStore, attempt_key: str) -> Manifest | None:
    """Return the manifest of an attempt, if it has left one."""
    data = blobs.get(keys.manifest_of(attempt_key), max_bytes=MAX_MANIFEST_BYTES) if attempt_key else None
    return None if data is None else Manifest.read(data)


def _catalog(house: House, store: SqlMetadataStore, chosen: list[ExecutionRecord]) -> None:
    """I5; that a key has one entry is its primary key."""
    over = {one.request.id.name for one in chosen if one.phase is ExecutionPhase.SUCCEEDED}
    for entry in store.catalog.entries(EntryFilter(project="default", domain="development")):
        if entry.execution not in over:
            continue
        where = f"{entry.execution}/{entry.node}"
        manifest = read(house.blobs, entry.attempt_key)
        if manifest is None or manifest.error is not None:
            house.broken.append(
                f"I5 the entry {entry.key[:12]} of {where} has no good manifest below {entry.attempt_key}"
            )
        elif entry.stored is None and not manifest.spec:
            house.expect(
                same(entry.outputs, manifest.outputs or {}),
                f"I5 the entry {entry.key[:12]} is not what {where} gave",
            )
    _leases(house, over, {one.request.id.name for one in chosen if _over(one)} - over)


def _leases(house: House, succeeded: set[str], stopped: set[str]) -> None:
    """I5: who has succeeded holds no lease. Of others the one who was to end it may be dead: it ends by itself, soon."""
    held = _held(house)
    for key, where in held:
        if where.partition("/")[0] in succeeded:
            house.broken.append(f"I5 {where} holds a lease on {key[:12]} though the execution is over")
    left = {lease: ends for lease, ends in held.items() if lease[1].partition("/")[0] in stopped}
    if not left:
        return
    time.sleep(max(0.0, max(left.values()) - time.time()) + 0.1)
    for key, where in left.keys() & _held(house).keys():
        house.broken.append(f"I5 the lease of {where} on {key[:12]} is extended though the execution is over")


def _held(house: House) -> dict[tuple[str, str], float]:
    """Return when the leases end that hold, by key and node."""
    engine = create_engine(house.metadata)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT key, execution, node, expires_at FROM cache_leases")).all()
    engine.dispose()
    return {(key, f"{execution}/{node}"): ends for key, execution, node, ends in rows if ends > time.time()}


def same(one: dict[str, LiteralValue], other: dict[str, LiteralValue]) -> bool:
    """Return whether outputs are equal, to the byte."""
    return {n: canonical_bytes(v) for n, v in one.items()} == {
        n: canonical_bytes(v) for n, v in other.items()
    }


def _processes(house: House, store: SqlMetadataStore, names: set[str]) -> None:
    """I4: who holds a journal works on an attempt that is open."""
    deadline = time.monotonic() + RELEASE_S
    while (alive := list(_alive_though_closed(house, store, names))) and time.monotonic() < deadline:
        time.sleep(0.1)
    house.broken += [f"I4 a process is at work for {label}, which is closed" for label in alive]


def _alive_though_closed(house: House, store: SqlMetadataStore, names: set[str]) -> Iterable[str]:
    for journal in Layout(house.home).attempts.rglob("*.journal"):
        where = journal.with_suffix("")
        found = scratch.read_journal(where)
        if found is None or not scratch.is_held(where):
            continue
        attempt = AttemptOrder.read(found.order).attempt
        if attempt.execution.name not in names:
            continue
        one = store.execution(attempt.execution)
        node = store.some_nodes(attempt.execution, [attempt.node]).get(attempt.node)
        if (
            one is None
            or _over(one)
            or (node is not None and (node.phase.terminal or node.attempts > attempt.number))
        ):
            yield attempt.label


async def _histories(house: House, chosen: list[ExecutionRecord], nodes: dict[str, list[NodeRecord]]) -> None:
    """I7, and what only the histories tell of I2 and I3."""
    converter = data_converter(house.blobs)
    client = await Client.connect(house.temporal, data_converter=converter)
    replayer = Replayer(**workflow_options(), data_converter=converter)
    names = {one.request.id.name for one in chosen}
    for one in chosen:
        asked: dict[str, AttemptRequest] = {}
        waiting = [one.request.id.name]
        while waiting:
            name = waiting.pop()
            for history in await runs(client, name):
                try:
                    await replayer.replay_workflow(history)
                except Exception as error:  # noqa: BLE001 - whatever it is, it does not replay
                    house.broken.append(f"I7 {name} does not replay: {error}")
                await _results(house, client, history, asked)
                # Shards of maps are runs without a record; children have one of their own.
                waiting += shards(history) - names
        _budgets(house, one, nodes[one.request.id.name], asked)


def shards(history: WorkflowHistory) -> set[str]:
    """Return the ids of the runs that a run has started."""
    field = "child_workflow_execution_started_event_attributes"
    started = (getattr(event, field) for event in history.events if event.HasField(field))  # type: ignore[arg-type]
    return {each.workflow_execution.workflow_id for each in started}


async def runs(client: Client, name: str) -> list[WorkflowHistory]:
    """Return the histories of an execution, newest run first."""
    found: list[WorkflowHistory] = []
    run_id: str | None = None
    while run_id != "":
        found.append(await client.get_workflow_handle(name, run_id=run_id).fetch_history())
        run_id = found[-1].events[0].workflow_execution_started_event_attributes.continued_execution_run_id
    return found


async def _results(
    house: House, client: Client, history: WorkflowHistory, asked: dict[str, AttemptRequest]
) -> None:
    """I2, second part: what the log says that an attempt gave is what its manifest says."""
    scheduled: dict[int, AttemptRequest | BatchRequest] = {}
    for event in history.events:
        begun = event.activity_task_scheduled_event_attributes
        ended = event.activity_task_completed_event_attributes
        if begun.activity_id and _ATTEMPT.fullmatch(begun.activity_id):
            batch = "+" in begun.activity_id
            request = await _decoded(client, begun.input.payloads, BatchRequest if batch else AttemptRequest)
            scheduled[event.event_id] = request
            if isinstance(request, AttemptRequest):
                asked[request.attempt.key] = request
        elif ended.scheduled_event_id in scheduled:
            request = scheduled[ended.scheduled_event_id]
            kind = AttemptResult if isinstance(request, AttemptRequest) else BatchResult
            result = await _decoded(client, ended.result.payloads, kind)
            for attempt, outputs in _given(request, result):
                manifest = read(house.blobs, attempt.key)
                good = manifest is not None and same(outputs, manifest.outputs or {})
                house.expect(good, f"I2 the log and the manifest of {attempt.label} differ, or there is none")


def _given(
    request: AttemptRequest | BatchRequest, result: AttemptResult | BatchResult
) -> Iterable[tuple[AttemptId, dict[str, LiteralValue]]]:
    """Yield the attempts that succeeded by the log, and what they gave."""
    if isinstance(request, AttemptRequest):
        assert isinstance(result, AttemptResult)
        if not result.lease_lost:
            yield request.attempt, result.outputs
        return
    assert isinstance(result, BatchResult)
    for member, one in zip(request.members, result.members, strict=True):
        if one.outputs is not None:
            where = request.execution
            yield (
                AttemptId(execution=where, node=member.node, number=member.number, token=member.token),
                one.outputs,
            )


async def _decoded(client: Client, payloads: Iterable[Payload], kind: type[Any]) -> Any:
    (found,) = await client.data_converter.decode(list(payloads), [kind])
    return found


def _budgets(
    house: House, one: ExecutionRecord, nodes: list[NodeRecord], asked: dict[str, AttemptRequest]
) -> None:
    """I3."""
    system = house.system_retries
    requests: dict[str, list[AttemptRequest]] = defaultdict(list)
    for request in asked.values():
        requests[request.attempt.node].append(request)
    closures: dict[str, Closure] = {}
    for node in nodes:
        if node.id not in requests:
            continue
        request = requests[node.id][-1]
        if request.spec not in closures:
            closures[request.spec] = Closure.read(house.blobs.get(keys.closure(request.spec)) or b"")
        policy = closures[request.spec].tasks[request.task].overridden(request.changes()).policy
        where = f"{one.request.id.name}/{node.id}"
        used = max(request.attempt.number for request in requests[node.id])
        house.expect(
            used <= 1 + policy.retries.count + system,
            f"I3 {where} had {used} attempts, more than all budgets",
        )
        house.expect(
            node.attempts >= used or not node.phase.terminal,
            f"I3 {where} counts {node.attempts} attempts of {used}",
        )
        verdicts = Counter(each.verdict for each in node.failed)
        users = verdicts[Verdict.USER] + verdicts[Verdict.TIMEOUT]
        house.expect(
            users <= policy.retries.count + 1,
            f"I3 {where}: {users} failures of the user's, {policy.retries.count} retries",
        )
        lost = verdicts[Verdict.SYSTEM]
        house.expect(
            lost <= system + 1, f"I3 {where}: {lost} attempts lost by the platform, {system} allowed"
        )
