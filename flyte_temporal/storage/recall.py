"""Results of an earlier execution: whether what a node gave then stands for what it would give now.

Called by the activity that answers the interpreter, and by the use case that says beforehand what will be copied: one
implementation, so that both say the same. Synchronous: called in threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from pydantic import JsonValue

from flyte_temporal.errors import InvalidIdentifier, UnsupportedSpec
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import Manifest
from flyte_temporal.spec.basis import Basis, changed_inputs, difference, digests
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import (
    ExecutionPhase,
    ExecutionRecord,
    NodePhase,
    NodeRecord,
    NodeRef,
    Recovery,
)
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.literals import Composite, Joined, LiteralValue, Offloaded
from flyte_temporal.spec.lookup_calls import Recalled
from flyte_temporal.spec.pruning import same_work
from flyte_temporal.spec.trees import Tree

MAX_MANIFEST_BYTES = 32 * 1024**2
"""A manifest holds inline outputs, each below the inline limit; more than this is not one of ours."""

_KEPT = 1_000

_DONE = frozenset({NodePhase.SUCCEEDED, NodePhase.RECOVERED})
_TRIED = _DONE | {NodePhase.FAILED}
_BEFORE = {
    NodePhase.FAILED: "it failed before",
    NodePhase.ABORTED: "it was aborted before it had ended",
    NodePhase.SKIPPED: "it was not reached before",
}
UNKNOWN_BASIS = "an earlier release ran it, which did not note what its result rests on"

_Line = tuple[Recovery, ...]
"""Recoveries that followed each other, the first one first."""


class Earlier:
    """Finds results of earlier executions.

    Args:
        store: Their records.
        blobs: Their manifests and values.
    """

    def __init__(self, store: MetadataStore, blobs: BlobStore) -> None:
        self._store = store
        self._blobs = blobs
        self._kept: dict[str, Manifest | None] = {}
        self._requests: dict[ExecutionId, Recovery | None] = {}

    def remember(self, attempt_key: str) -> None:
        """Read a manifest ahead and keep it; for a user that asks for many, once, of a store that is far away."""
        self._kept[attempt_key] = self._read(attempt_key)

    def find(
        self, source: ExecutionId, recovery: Recovery, wanted: Mapping[str, Basis]
    ) -> dict[str, Recalled]:
        """Return for each node what is copied, or why nothing is.

        Args:
            source: The execution that recovers, or any other of its project and domain.
            recovery: Which execution is recovered, and how.
            wanted: What the result of each node, by path, would rest on.

        Raises:
            StorageError: If the blob store did not answer.
            PlatformUnavailable: If the metadata store did not.
        """
        found: dict[str, Recalled] = {}
        rest = dict(wanted)
        for execution, recoveries in self._line(source, recovery):
            records = self._store.some_nodes(execution, list(rest))
            for path, basis in list(rest.items()):
                before, record = found.get(path), records.get(path)
                # What was tried and failed has nothing to be copied further back, but perhaps checkpoints.
                copies = before is None or not before.settled
                step = self._of_record(execution, recoveries, record, basis, copies=copies)
                found[path] = step if before is None or step.done else before.further_back(step)
                if step.done:
                    del rest[path]
            if not rest:
                break
        return found

    def _line(self, source: ExecutionId, recovery: Recovery) -> Iterator[tuple[ExecutionId, _Line]]:
        """Yield the execution that is recovered, then the one that it recovered itself, and so on.

        What one of them never came to is to be had of the one before.
        """
        recoveries: _Line = ()
        step: Recovery | None = recovery
        while step is not None:
            recoveries = (step, *recoveries)
            execution = source.model_copy(update={"name": step.execution})
            yield execution, recoveries
            step = self._recovered_by(execution)

    def _recovered_by(self, execution: ExecutionId) -> Recovery | None:
        """Return which execution another one recovers. A request never changes, so that it is asked for once."""
        if execution not in self._requests:
            record = self._store.execution(execution)
            if len(self._requests) > _KEPT:
                self._requests.clear()
            self._requests[execution] = record.request.recover if record is not None else None
        return self._requests[execution]

    def records(self, source: ExecutionId, recovery: Recovery) -> dict[str, NodeRecord]:
        """Return the records of all nodes, each of the last execution that came to it."""
        found: dict[str, NodeRecord] = {}
        for execution, _ in self._line(source, recovery):
            for record in self._store.nodes(execution):
                if untried(found.get(record.id)):
                    found[record.id] = record
        return found

    def _of_record(
        self,
        execution: ExecutionId,
        recoveries: _Line,
        record: NodeRecord | None,
        basis: Basis,
        *,
        copies: bool,
    ) -> Recalled:
        """Return what one execution has of a node; nothing is copied unless `copies`."""
        if record is None:
            return Recalled(reason="it is new")
        if record.kind == "gate":
            found = self._gate(record, basis)
        else:
            found = self._task(execution, record, basis, recoveries)
        if not found.done or not copies:
            return found.model_copy(update={"done": False, "settled": not untried(record)})
        source = record.source or _producer(execution, record)
        return found.model_copy(update={"source": source, "basis": basis})

    def child_before(self, parent: ExecutionId, recovery: Recovery, node: str) -> ExecutionRecord | None:
        """Return the execution that a node started in the execution that is recovered, if that is over."""
        for execution, _ in self._line(parent, recovery):
            record = self._store.some_nodes(execution, [node]).get(node)
            if record is not None and record.child:
                found = self._store.execution(parent.model_copy(update={"name": record.child}))
                return found if found is not None and found.phase.terminal else None
            if not untried(record):
                return None
        return None

    def child(
        self,
        before: ExecutionRecord,
        recovery: Recovery,
        closure: Closure,
        inputs: Mapping[str, LiteralValue],
    ) -> Recalled:
        """Return what an earlier execution of a launch plan gave, if a new one would do the same; else why not.

        Args:
            before: The earlier execution, from `child_before`.
            recovery: How its parent is recovered.
            closure: What a new one would run.
            inputs: What it would be given.
        """
        name = before.request.id.name
        if before.phase is not ExecutionPhase.SUCCEEDED:
            return Recalled(reason=f"its execution {name} ended {before.phase.value}")
        data = self._blobs.get(keys.closure(before.request.spec), before.request.spec)
        if data is None or not same_work(Closure.read(data), closure, trust_code=recovery.trust_code):
            return Recalled(reason=f"what its execution {name} ran has changed")
        interface = closure.interface
        if changed := changed_inputs(
            digests(interface, before.request.inputs), digests(interface, dict(inputs))
        ):
            return Recalled(reason=changed)
        if gone := self._gone_of(before.outputs):
            return Recalled(reason=f"its result is gone: {gone}")
        above = before.request.parent
        source = above and NodeRef(execution=above.execution, node=above.node)
        return Recalled(done=True, outputs=before.outputs, source=source)

    @staticmethod
    def _gate(record: NodeRecord, basis: Basis) -> Recalled:
        if record.phase not in _DONE:
            return Recalled(reason=why_nothing(record))
        if record.basis is None:
            return Recalled(reason=UNKNOWN_BASIS)
        changed = difference(record.basis, basis)
        return Recalled(reason=changed) if changed else Recalled(done=True, reply=record.reply)

    def _task(self, execution: ExecutionId, record: NodeRecord, basis: Basis, recoveries: _Line) -> Recalled:
        key = record.attempt_key or (record.source.attempt_key if record.source else "")
        manifest = self._manifest(key) if key else None
        if manifest is None or manifest.error is not None:
            was_done = record.phase in _DONE
            reason = "its result is gone" if was_done else why_nothing(record)
            old = _moved(manifest.basis if manifest is not None else record.basis, recoveries)
            folders = () if was_done else (keys.checkpoints(execution, record.id),)
            return Recalled(reason=reason, checkpoint_from=folders if _same_inputs(old, basis) else ())
        if record.phase is NodePhase.FAILED and not manifest.spec:
            return Recalled(reason=_BEFORE[NodePhase.FAILED])
        # What was copied itself rests on what it was copied for: its names may have moved since it was produced.
        old = _moved(record.basis if record.phase is NodePhase.RECOVERED else manifest.basis, recoveries)
        if old is None:
            return Recalled(reason=UNKNOWN_BASIS)
        if changed := difference(old, basis, trust_code=recoveries[-1].trust_code):
            return Recalled(reason=changed)
        if gone := self._gone(manifest):
            return Recalled(reason=f"its result is gone: {gone}")
        return Recalled(done=True, outputs=manifest.outputs or {}, spec=manifest.spec)

    def _manifest(self, attempt_key: str) -> Manifest | None:
        return self._kept[attempt_key] if attempt_key in self._kept else self._read(attempt_key)

    def _read(self, attempt_key: str) -> Manifest | None:
        data = self._blobs.get(keys.manifest_of(attempt_key), max_bytes=MAX_MANIFEST_BYTES)
        if data is None:
            return None
        try:
            manifest = Manifest.read(data)
        except UnsupportedSpec:
            return None
        return manifest if manifest.attempt.key == attempt_key else None

    def _gone(self, manifest: Manifest) -> str:
        if manifest.spec and self._blobs.head(keys.closure(manifest.spec)) is None:
            return keys.closure(manifest.spec)
        return self._gone_of(manifest.outputs or {})

    def _gone_of(self, outputs: Mapping[str, LiteralValue]) -> str:
        for literal in outputs.values():
            for key, size in self._objects(literal):
                if not self._is_there(key, size):
                    return key
        return ""

    def _is_there(self, key: str, size: int | None) -> bool:
        found = self._blobs.head(key)
        if found is None:
            # A folder, in a store where folders are no objects.
            return next(iter(self._blobs.list(f"{key}/")), None) is not None
        return size is None or found.size == size

    def _objects(self, literal: LiteralValue) -> Iterator[tuple[str, int | None]]:
        """Yield key and size of each object of ours that a literal refers to."""
        match literal:
            case Offloaded():
                yield literal.key, literal.size
            case Composite():
                for item in literal.items:
                    yield from self._objects(item)
            case Joined():
                for part in literal.parts:
                    yield from self._objects(part)
            case _:
                yield from self._in_json(literal.value)

    def _in_json(self, value: JsonValue) -> Iterator[tuple[str, int | None]]:
        # By shape, not by type: at worst a user's own JSON looks like a file of ours, and a node runs again.
        if isinstance(value, list):
            for item in value:
                yield from self._in_json(item)
        elif isinstance(value, dict):
            uri, size = value.get("uri"), value.get("size")
            key = self._key(uri) if isinstance(uri, str) else None
            if key is not None:
                if value.get("files") is None:
                    yield key, size if isinstance(size, int) else None
                else:
                    yield from self._in_tree(key)
            for item in value.values():
                yield from self._in_json(item)

    def _in_tree(self, key: str) -> Iterator[tuple[str, int | None]]:
        """Yield the manifest of a directory and its files; its size is that of them all."""
        yield key, None
        data = self._blobs.get(key)
        if data is not None:
            with suppress(UnsupportedSpec):
                yield from ((keys.blob(file.sha256), file.size) for file in Tree.read(data).files)

    def _key(self, uri: str) -> str | None:
        try:
            return self._blobs.key(uri)
        except InvalidIdentifier:
            return None


def why_nothing(record: NodeRecord) -> str:
    """Return why a node that did not end well has nothing to copy."""
    if record.phase is NodePhase.SKIPPED and record.repairs and record.repairs[-1].kind == "skip":
        return "it was skipped by hand with given outputs, which are not copied"
    return _BEFORE.get(record.phase, "it had not ended")


def untried(record: NodeRecord | None) -> bool:
    """Return whether an execution never came to a node: it started nothing for it, and copied nothing."""
    if record is None:
        return True
    return not record.attempts and not record.attempt_key and record.phase not in _TRIED


def _same_inputs(old: Basis | None, new: Basis) -> bool:
    """Return whether checkpoints of then are of use now: with fixed code, which is why one recovers, but no other inputs."""
    return old is not None and not difference(old, new, trust_code=True)


def _moved(basis: Basis | None, recoveries: _Line) -> Basis | None:
    for recovery in recoveries:
        basis = recovery.moved(basis)
    return basis


def _producer(source: ExecutionId, record: NodeRecord) -> NodeRef:
    return NodeRef(
        execution=source.name, node=record.id, attempt=record.attempts, attempt_key=record.attempt_key
    )
