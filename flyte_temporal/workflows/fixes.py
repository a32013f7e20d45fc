"""With which code the attempts of a node run: that of the execution, or one that somebody has brought since. Pure.

Called by `run` before a node starts, and by `attempts`, `lookups` and `children`. What is decided for a node stands in its
`NodeState.fix`. The DAG is never changed: a fix says which tasks run from which closure and bundle, by the same interface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flyte_temporal.spec.cache import interface_digest
from flyte_temporal.spec.document import canonical_json, sha256_hex
from flyte_temporal.spec.execution import Environment, ExecutionRequest, Fix
from flyte_temporal.spec.nodes import TaskTarget
from flyte_temporal.spec.policies import COMPUTED_VERSION, CacheSettings
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.scope import NodeState, Scope


@dataclass(frozen=True)
class Code:
    """What an attempt runs.

    Args:
        spec: Digest of the closure that holds the task.
        task: Its name there.
        environment: Where it runs.
    """

    spec: str
    task: str
    environment: Environment


class Fixes:
    """All code that was brought into a run.

    Args:
        request: The request, with what was brought into the execution that started this one.
        began: When the execution started.
    """

    def __init__(self, request: ExecutionRequest, began: datetime) -> None:
        self.began = began
        self._request = request
        self._all: list[Fix] = list(request.fixes)
        self._interfaces: dict[tuple[str, str], str] = {}

    @property
    def all(self) -> tuple[Fix, ...]:
        """Return them, the oldest first."""
        return tuple(self._all)

    @property
    def lasting(self) -> tuple[Fix, ...]:
        """Return those that are not for single nodes, the oldest first."""
        return tuple(fix for fix in self._all if not fix.only)

    def take_over(self, fixes: Sequence[Fix]) -> None:
        """Go on with those of the run before."""
        self._all = list(fixes)

    def add(self, fix: Fix) -> None:
        """Have attempts that start from now on run with it."""
        self._all.append(fix)

    def mends(self, fix: Fix, state: NodeState) -> bool:
        """Return whether a fix has the task of a node, by the same interface."""
        target = state.node.target
        if not isinstance(target, TaskTarget):
            return False
        mended = fix.tasks.get(target.task)
        return mended is not None and mended.interface == self._interface(state.scope.program, target.task)

    def _interface(self, program: Program, task: str) -> str:
        where = (program.digest, task)
        found = self._interfaces.get(where)
        if found is None:
            found = self._interfaces[where] = interface_digest(program.closure.tasks[task].interface)
        return found

    def mark(self, state: NodeState) -> None:
        """Decide, before it starts, with which code a node runs: the newest that is for it."""
        for number in range(len(self._all), 0, -1):
            fix = self._all[number - 1]
            if (not fix.only or state.path in fix.only) and self.mends(fix, state):
                state.fix = number
                return

    def code(self, state: NodeState, task: str) -> Code:
        """Return what the next attempt of a task node runs."""
        if state.fix:
            fix = self._all[state.fix - 1]
            return Code(fix.spec, fix.tasks[task].name, fix.environment)
        return Code(state.scope.program.digest, task, self.around(state.scope))

    def around(self, scope: Scope | None) -> Environment:
        """Return where the tasks of a scope run: those that a dynamic task gave, where that ran itself."""
        while scope is not None:
            parent = scope.parent
            if parent is not None and parent.spec and parent.fix:
                return self._all[parent.fix - 1].environment
            scope = parent.scope if parent is not None else None
        return self._request.environment

    def cache(self, state: NodeState, task: str) -> CacheSettings | None:
        """Return the cache settings of a node's fixed code; None if it runs with that of before."""
        return self._all[state.fix - 1].tasks[task].cache if state.fix else None

    def overridden(self, state: NodeState, given: CacheSettings) -> CacheSettings:
        """Return the cache settings that a node overrides its task's with, as they are for the code that it runs with.

        A computed version is of the code that the DAG was compiled from, and of all that the node overrides besides; what the
        node would have got from the fixed code nobody has compiled. It gets one that only runs with the same fix share.
        """
        if not state.fix or not given.version.startswith(COMPUTED_VERSION):
            return given
        fix = self._all[state.fix - 1]
        parts = [given.version, fix.spec, fix.environment.model_dump(mode="json")]
        return given.model_copy(
            update={"version": f"{COMPUTED_VERSION}{sha256_hex(canonical_json(parts))[:32]}"}
        )

    def request(self) -> ExecutionRequest:
        """Return the request as executions that are started from here inherit it."""
        lasting = self.lasting
        return self._request.model_copy(update={"fixes": lasting}) if lasting else self._request
