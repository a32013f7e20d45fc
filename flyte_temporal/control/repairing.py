"""Repair of open executions in place: what is checked before a run is asked, and how fixed code gets to it.

Apart from `usecases` because it is a subject of its own; reached as `Control.repairing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from flyte_temporal.control.closures import Closures
from flyte_temporal.control.documents import RetryRequest
from flyte_temporal.control.recovering import moved
from flyte_temporal.control.requests import check_value, default_version
from flyte_temporal.errors import Conflict, InvalidInputs, NotFound
from flyte_temporal.ports.engine import Engine
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec.cache import interface_digest
from flyte_temporal.spec.entities import Closure, TaskSpec
from flyte_temporal.spec.execution import ExecutionRecord, Fix, MendedTask
from flyte_temporal.spec.identifiers import EntityId, ExecutionId
from flyte_temporal.spec.interface import Variable
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.repairs import GiveUp, NodeRetry, NodeSkip, Pause, RepairState


class Repairing:
    """The use cases.

    Args:
        engine: Knows the runs.
        store: Knows the executions.
        closures: Where fixed code is registered, and that of before is found.
        owner: Who asks if nobody is named.
    """

    def __init__(self, engine: Engine, store: MetadataStore, closures: Closures, owner: str) -> None:
        self._engine = engine
        self._store = store
        self._closures = closures
        self._owner = owner

    async def state(self, execution: ExecutionId) -> RepairState:
        """Return what of an open execution waits for somebody.

        Raises:
            NotFound: If there is no such execution.
            Conflict: If it is over.
            PlatformUnavailable: If the engine does not answer.
        """
        await self._open(execution)
        return await self._engine.repairs(execution)

    async def retry(self, execution: ExecutionId, wanted: RetryRequest) -> RepairState:
        """Try held nodes once more.

        Raises:
            NotFound: If there is no such execution or node.
            Conflict: If it is over, or the node is not held.
            InvalidInputs: If the code has no task that fits the node.
            PlatformError: If a store failed or the engine does not answer; asking again is safe.
        """
        record = await self._open(execution)
        fix, kept = None, dict[str, str]()
        if wanted.closure is not None:
            fix, kept = await asyncio.to_thread(self._fix, record, wanted.closure, wanted)
        wish = NodeRetry(
            node=wanted.node,
            fix=fix,
            only_these=wanted.only_these,
            resources=wanted.resources,
            by=wanted.by or self._owner,
        )
        found = await self._engine.repair(execution, wish)
        mended = tuple(task for task in (fix.tasks if fix else ()) if task not in kept)
        return found.model_copy(update={"mended": mended, "kept": kept})

    async def repair(self, execution: ExecutionId, wish: NodeSkip | GiveUp | Pause) -> RepairState:
        """Skip a held node, give up all of them, pause or resume; raises as `retry`."""
        await self._open(execution)
        if isinstance(wish, NodeSkip):
            _check_outputs(wish, await self._engine.repairs(execution))
        named = wish if wish.by else wish.model_copy(update={"by": self._owner})
        return await self._engine.repair(execution, named)

    async def _open(self, execution: ExecutionId) -> ExecutionRecord:
        record = await asyncio.to_thread(self._store.execution, execution)
        if record is None:
            raise NotFound(
                f"There is no execution {execution.name!r} in {execution.project}/{execution.domain}. "
                "`flyte-temporal get executions` lists them."
            )
        if record.phase.terminal:
            raise Conflict(
                f"Execution {execution.name} is over ({record.phase.value}); nothing of it can be repaired in place. "
                f"To go on from what it has done: flyte-temporal recover {execution.name}."
            )
        return record

    def _fix(
        self, record: ExecutionRecord, closure: Closure, wanted: RetryRequest
    ) -> tuple[Fix, dict[str, str]]:
        """Register fixed code; return it, and why tasks of the execution that it has do not run with it."""
        before = record.request
        environment = (wanted.environment or before.environment).where(before.environment)
        entity = EntityId(
            kind=closure.root.kind,
            project=before.id.project,
            domain=before.id.domain,
            name=closure.root.name,
            version=default_version(closure, environment),
        )
        spec = self._closures.register(entity, closure)
        tasks, kept = match(self._known(record), closure, moved(before.root.name, closure.root.name))
        return Fix(spec=spec, environment=environment, tasks=tasks), kept

    def _known(self, record: ExecutionRecord) -> Iterator[TaskSpec]:
        """Return the tasks of an execution, those that dynamic tasks have given among them."""
        yield from self._closures.find(record.request.spec).tasks.values()
        for spec in dict.fromkeys(n.spec for n in self._store.nodes(record.request.id) if n.spec):
            yield from self._closures.find(spec).tasks.values()


def match(
    known: Iterable[TaskSpec], closure: Closure, modules: tuple[str, ...]
) -> tuple[dict[str, MendedTask], dict[str, str]]:
    """Return which tasks of new code stand for which of an execution, and why others do not.

    Args:
        known: Tasks of the execution.
        closure: The new code.
        modules: The module of the root then and now, if the code has moved to another file; else empty.
    """
    mended: dict[str, MendedTask] = {}
    kept: dict[str, str] = {}
    for task in known:
        name = task.name
        if modules and name.startswith(f"{modules[0]}."):
            name = modules[1] + name[len(modules[0]) :]
        new = closure.tasks.get(name) or closure.tasks.get(task.name)
        if new is None:
            kept[task.name] = "it is not in the new code"
            continue
        if new.type != task.type:
            kept[task.name] = f"it is of type {new.type} in the new code"
            continue
        interface = interface_digest(new.interface)
        if interface != interface_digest(task.interface):
            kept[task.name] = "it takes or gives something else in the new code"
        # The run compares the interfaces too, and says so of a held node.
        mended[task.name] = MendedTask(name=new.name, interface=interface, cache=new.policy.cache)
    return mended, kept


def _check_outputs(wish: NodeSkip, state: RepairState) -> None:
    """Check given outputs against the types of a held node; whether there is such a node, the run itself says.

    Raises:
        Conflict: If the node is not held, but one inside of it is.
        InvalidInputs: If a value does not fit.
    """
    inside = [held for held in state.held if held.node.startswith((f"{wish.node}.", f"{wish.node}["))]
    if len(inside) == 1 and not any(wish.node == held.name for held in state.held):
        wish.require_named((inside[0].node, inside[0].name))
    for held in state.held:
        if wish.node in {held.node, held.name}:
            for variable in held.outputs.outputs:
                value = wish.outputs.get(variable.name)
                if value is not None:
                    _check(held.node, value, variable)


def _check(node: str, value: LiteralValue, variable: Variable) -> None:
    try:
        check_value(value, variable, "Output")
    except InvalidInputs as error:
        raise InvalidInputs(f"Node {node}: {error.message}") from error
