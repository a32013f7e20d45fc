"""`WorkflowBase`: what workflows have in common, whether a function describes them or calls of `ImperativeWorkflow`."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.entity import Entity
from flyte_temporal.sdk.handlers import FailureRules, check_handler, handler_of
from flyte_temporal.sdk.options import Options
from flyte_temporal.sdk.plain import run_nodes
from flyte_temporal.sdk.recording import Recorded
from flyte_temporal.sdk.retrying import seconds
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.spec.entities import FailurePolicy


class WorkflowBase(Entity):
    """A DAG of nodes with a typed interface."""

    kind: ClassVar[Literal["task", "workflow", "launch_plan"]] = "workflow"
    failure_policy: FailurePolicy = FailurePolicy.FAIL_IMMEDIATELY
    interruptible: bool | None = None
    deadline_s: float = 0.0
    on_failure: Entity | None = None
    default_options: Options = Options()

    def set_options(self, options: Mapping[str, Any], where: str) -> None:
        """Set the options that all workflows share.

        Raises:
            CompileError: If one is of a wrong type.
        """
        for name, kind, wanted in (
            ("failure_policy", FailurePolicy, "a WorkflowFailurePolicy"),
            ("interruptible", bool, "True or False"),
            ("default_options", Options, "Options(...)"),
        ):
            given = options.get(name)
            if given is not None and not isinstance(given, kind):
                raise CompileError(f"{name}={shown(given)} must be {wanted}.", where)
        self.failure_policy = options.get("failure_policy") or FailurePolicy.FAIL_IMMEDIATELY
        self.interruptible = options.get("interruptible")
        given = options.get("deadline")
        if given is not None:
            self.deadline_s = seconds("deadline=", given, lambda message: CompileError(message, where))
        self.on_failure = handler_of(options.get("on_failure"), where)
        self.default_options = options.get("default_options") or Options()

    @property
    @abstractmethod
    def where(self) -> str:
        """Return file and line of its definition."""

    @property
    @abstractmethod
    def description(self) -> str:
        """Return what it does."""

    @abstractmethod
    def _record(self) -> Recorded:
        """Return its nodes, as `record` does, without what it says about failures."""

    def record(self) -> Recorded:
        """Return its nodes; the body of a function runs once for it, with promises.

        Raises:
            CompileError: If the program is wrong, or the body raised something, which is the cause then.
        """
        if self.on_failure is not None:
            check_handler(self.on_failure, self.interface, f"the workflow {self.short_name}", self.where)
        return dataclasses.replace(
            self._record(), on_failure=FailureRules(self.failure_policy, self.on_failure)
        )

    def evaluate(self, inputs: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
        """Run its nodes as plain Python; see `Entity.evaluate`."""
        return run_nodes(self, self.record(), inputs, context)
