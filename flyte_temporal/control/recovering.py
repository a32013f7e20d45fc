"""Recovering an execution: which requests can be met, what the new execution is, and what it will copy.

Called by `usecases`. Synchronous: called in threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches

from flyte_temporal.config.settings import LimitSettings
from flyte_temporal.control.closures import Closures
from flyte_temporal.control.documents import Fate, PlannedNode, RecoverRequest, RecoveryPlan, StartRequest
from flyte_temporal.control.plan import check_plan, planned_nodes
from flyte_temporal.control.rehearsal import Rehearsal
from flyte_temporal.control.requests import complete_inputs
from flyte_temporal.errors import BadRequest, Conflict, NotFound
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec import lookup_calls
from flyte_temporal.spec.basis import Basis, tells_of_code
from flyte_temporal.spec.cache import interface_digest
from flyte_temporal.spec.entities import Closure, LaunchPlanSpec, Root
from flyte_temporal.spec.execution import Environment, ExecutionRecord, NodePhase, NodeRecord, Recovery
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.storage.recall import Earlier

_AT_ONCE = 16
"""Manifests that are fetched at once from a store that is far away."""
_NAMED = 20
"""Nodes that a message names."""


class Recoveries:
    """Prepares recoveries.

    Args:
        store: Records of earlier executions.
        blobs: Their results.
        closures: What they ran.
        limits: Of requests.
    """

    def __init__(
        self, store: MetadataStore, blobs: BlobStore, closures: Closures, limits: LimitSettings
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._closures = closures
        self._limits = limits

    def wish(self, wanted: RecoverRequest, source: ExecutionRecord) -> StartRequest:
        """Return the request for the new execution.

        Args:
            wanted: What is asked for.
            source: The earlier execution.

        Raises:
            Conflict: If the earlier execution is not over.
            NotFound: If there is no node of a name that is given.
            BadRequest: If a name stands for several nodes.
            UnsupportedSpec: If what it ran is gone from the blob store.
        """
        before = source.request
        if not source.phase.terminal:
            raise Conflict(
                f"Execution {before.id.name} is {source.phase.value}. Only what is over can be recovered: wait for it, or "
                f"stop it with 'flyte-temporal abort {before.id.name}'."
            )
        closure = wanted.closure or self._closures.find(before.spec)
        check_plan(closure, self._limits.max_nodes)
        environment = (wanted.environment or before.environment).where(before.environment)
        return StartRequest(
            closure=closure,
            inputs={**_kept(before.inputs, closure), **wanted.inputs},
            environment=_changed(environment, wanted),
            project=before.id.project,
            domain=before.id.domain,
            execution_id=wanted.execution_id,
            requested_by=wanted.requested_by,
            labels=before.labels,
            overwrite_cache=wanted.overwrite_cache or (before.overwrite_cache and not wanted.no_cache),
            no_cache=wanted.no_cache or (before.no_cache and not wanted.overwrite_cache),
            max_parallelism=before.max_parallelism,
            deadline_s=before.deadline_s,
            pause_on_failure=before.pause_on_failure,
            recover=Recovery(
                execution=before.id.name,
                trust_code=wanted.trust_code,
                rerun=tuple(self._path(name, closure, source) for name in wanted.rerun),
                module=moved(before.root.name, closure.root.name),
            ),
        )

    def checked(self, wanted: RecoverRequest, source: ExecutionRecord) -> StartRequest:
        """Return the request for the new execution, unless it would bring back what was fixed while the earlier one ran.

        Raises:
            Conflict: If nodes that ran with fixed code would run again without it.
            InvalidInputs: If the inputs do not fit.
            PlatformError: If a store did not answer.
        """
        start = self.wish(wanted, source)
        if wanted.closure is None and (source.request.fixes or self._mended(source)):
            nodes = self.plan(start, source).nodes
            fates = {node.id: node.fate for node in nodes}
            mended = self._mended(source, nodes)
            again = [path for path in mended if _fate(path, fates) in {Fate.RUNS, Fate.OPEN}]
            if again:
                raise Conflict(
                    f"{_ran_fixed(again)} Without it they would run again with the code that {source.request.id.name} began "
                    "with: give the code that is to run with --file."
                )
        return start

    def preview(self, wanted: RecoverRequest, source: ExecutionRecord) -> RecoveryPlan:
        """Return what the new execution would copy and run; raises as `wish` and `plan`."""
        plan = self.plan(self.wish(wanted, source), source)
        mended = [] if wanted.closure is not None else self._mended(source, plan.nodes)
        more = (f"{_ran_fixed(mended)} Give it with --file.",) if mended else ()
        return plan.model_copy(update={"notes": (*plan.notes, *more)})

    def _mended(self, source: ExecutionRecord, planned: Sequence[PlannedNode] = ()) -> list[str]:
        """Return the nodes of an execution that ran with code that was brought into it, or into one that started it.

        Args:
            source: The execution.
            planned: What would become of its nodes if it were recovered with the code that it began with. Those that started
                with a fix, instead of being held and fixed, say nothing of it; that they ran with other code does.
        """
        other = self._other_tasks(source)
        recoded = {node.id for node in planned if tells_of_code(node.reason)}
        return [
            node.id
            for node in self._store.nodes(source.request.id)
            if any(repair.spec for repair in node.repairs)
            or node.task in other
            or (node.id in recoded and node.phase in {NodePhase.SUCCEEDED, NodePhase.FAILED})
            or self._child_mended(source, node)
        ]

    def _child_mended(self, source: ExecutionRecord, node: NodeRecord) -> bool:
        """Return whether that is so of the execution that a node started, if that would start again."""
        if not node.child or node.phase in {NodePhase.SUCCEEDED, NodePhase.RECOVERED}:
            return False
        child = self._store.execution(source.request.id.model_copy(update={"name": node.child}))
        return child is not None and bool(self._mended(child))

    def _other_tasks(self, source: ExecutionRecord) -> set[str]:
        """Return the tasks of which an execution has got other code from the one that started it."""
        if not source.request.fixes:
            return set()
        began = self._closures.find(source.request.spec).tasks
        newest = {task: (fix, mended) for fix in source.request.fixes for task, mended in fix.tasks.items()}
        return {
            task
            for task, (fix, mended) in newest.items()
            if task in began
            and mended.interface == interface_digest(began[task].interface)
            and self._closures.find(fix.spec).tasks[mended.name].code != began[task].code
        }

    def _path(self, wanted: str, closure: Closure, source: ExecutionRecord) -> str:
        nodes = {node.id: node for node in self._store.nodes(source.request.id)}
        nodes = {**nodes, **{node.id: node for node in planned_nodes(closure)}}
        if wanted in nodes:
            return wanted
        named = [node.id for node in nodes.values() if wanted in {node.name, node.task}]
        if len(named) == 1:
            return named[0]
        if named:
            raise BadRequest(
                f"--from {wanted}: several nodes have this name: {', '.join(named[:20])}. Give the id of one of them."
            )
        close = get_close_matches(wanted, [*nodes, *(node.name for node in nodes.values())], n=3, cutoff=0.5)
        known = ", ".join(f"{node.id} ({node.name})" for node in list(nodes.values())[:20])
        hint = f"Did you mean {' or '.join(dict.fromkeys(close))}? " if close else ""
        raise NotFound(f"--from {wanted}: there is no such node. {hint}Nodes: {known}.")

    def plan(self, start: StartRequest, source: ExecutionRecord) -> RecoveryPlan:
        """Return what the new execution will copy and run.

        Args:
            start: From `wish`.
            source: The earlier execution.

        Raises:
            InvalidInputs: If the inputs do not fit.
            PlatformError: If a store did not answer.
        """
        recovery = start.recover or Recovery(execution=source.request.id.name)
        inputs = complete_inputs(start.closure, start.inputs, self._limits)
        past = _Earlier(self._store, self._blobs, self._closures, source, recovery)
        dropped = [n for n in source.request.inputs if start.closure.interface.input(n) is None]
        fixed = _fixed(start.closure)
        notes = [
            f"The input {name} is no longer taken; the value of before is left out."
            for name in dropped
            if name not in fixed
        ]
        return RecoveryPlan(
            source=source.request.id.name,
            nodes=tuple(Rehearsal(recovery, past).of(start.closure, inputs)),
            notes=tuple(notes),
        )


class _Earlier:
    """The earlier execution, read as a whole: what `rehearsal.Past` asks for."""

    def __init__(
        self,
        store: MetadataStore,
        blobs: BlobStore,
        closures: Closures,
        source: ExecutionRecord,
        recovery: Recovery,
    ) -> None:
        self._source = source
        self._recovery = recovery
        self._closures = closures
        self._earlier = Earlier(store, blobs)
        self._records = self._earlier.records(source.request.id, recovery)
        if not blobs.quick:
            self._fetch([node.attempt_key for node in self._records.values() if node.attempt_key])

    def _fetch(self, attempt_keys: Sequence[str]) -> None:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="manifests") as pool:
            for _ in pool.map(self._earlier.remember, attempt_keys):
                pass

    def record(self, path: str) -> NodeRecord | None:
        return self._records.get(path)

    def recall(self, path: str, basis: Basis) -> lookup_calls.Recalled:
        return self._earlier.find(self._source.request.id, self._recovery, {path: basis})[path]

    def child(
        self, path: str, closure: Closure, launch_plan: str, inputs: dict[str, LiteralValue]
    ) -> lookup_calls.Recalled:
        before = self._earlier.child_before(self._source.request.id, self._recovery, path)
        if before is None:
            return lookup_calls.Recalled(
                reason="it is new" if path not in self._records else "it had not ended"
            )
        own = closure.model_copy(update={"root": Root(kind="launch_plan", name=launch_plan)})
        given = closure.launch_plans[launch_plan].complete(inputs)
        found = self._earlier.child(before, self._recovery, own, given)
        if found.done:
            return found
        name = before.request.id.name
        return lookup_calls.Recalled(
            reason=f"{found.reason}; it starts again and takes over what {name} has done"
        )

    def closure(self, digest: str) -> Closure:
        return self._closures.find(digest)


def _changed(environment: Environment, wanted: RecoverRequest) -> Environment:
    """Return where the new execution runs: as the earlier one did, but for what is asked for."""
    changes: dict[str, object] = {"launcher": wanted.launcher, "image": wanted.image}
    changes = {name: value for name, value in changes.items() if value}
    return environment.model_copy(update={**changes, "images": {**environment.images, **wanted.images}})


def moved(old: str, new: str) -> tuple[str, ...]:
    """Return the modules of an entity that has moved to another file, then and now; nothing if it has not.

    Args:
        old: Its dotted name then.
        new: Its dotted name now.
    """
    if old == new:
        return ()
    before, after = old.split("."), new.split(".")
    while before and after and before[-1] == after[-1]:
        before.pop()
        after.pop()
    return (".".join(before), ".".join(after)) if before and after and before != old.split(".") else ()


def _ran_fixed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"Nodes ran with fixed code of `retry`, which `recover` does not take over: {', '.join(paths[:_NAMED])}{more}."


def _fate(path: str, fates: Mapping[str, Fate]) -> Fate | None:
    """Return what becomes of a node; of one that was not looked at, what becomes of the node that holds it."""
    while path and path not in fates:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return fates.get(path)


def _fixed(closure: Closure) -> dict[str, LiteralValue]:
    entity = closure.entity()
    return entity.fixed_inputs if isinstance(entity, LaunchPlanSpec) else {}


def _kept(before: dict[str, LiteralValue], closure: Closure) -> dict[str, LiteralValue]:
    """Return the inputs of before that are still taken."""
    fixed = _fixed(closure)
    return {
        name: value
        for name, value in before.items()
        if closure.interface.input(name) is not None and name not in fixed
    }
