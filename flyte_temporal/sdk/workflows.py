"""`@workflow`: a typed function whose body says which nodes there are and how values flow between them.

Used by authors; the body runs once with promises, whether it is compiled or called as plain Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any, ParamSpec, TypedDict, TypeVar, Unpack, overload

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk import docstrings
from flyte_temporal.sdk.branches import refuse_silent_branches
from flyte_temporal.sdk.calling import Called
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.entity import FunctionEntity, dotted_module
from flyte_temporal.sdk.options import Options
from flyte_temporal.sdk.policies import refuse_unknown
from flyte_temporal.sdk.recording import Recorded, record
from flyte_temporal.sdk.tasks import refuse_undecorable
from flyte_temporal.sdk.workflow_base import WorkflowBase
from flyte_temporal.spec.entities import FailurePolicy

P = ParamSpec("P")
R = TypeVar("R")


class WorkflowOptions(TypedDict, total=False):
    """Options of `@workflow`.

    Args:
        failure_policy: What happens to the rest when a node has failed for good.
        interruptible: Whether its tasks may run on machines that can be taken away.
        on_failure: Task or workflow to run once after a failure, with those of the inputs that it declares, and with
            the error as `err`.
        deadline: Seconds, or a timedelta, from its start after which it fails and all that it runs is stopped; 0 = none.
        docs: Description; by default the docstring's.
        default_options: What its default launch plan says besides: labels, annotations, max_parallelism.
    """

    failure_policy: FailurePolicy
    interruptible: bool
    on_failure: Callable[..., Any]
    deadline: float | timedelta
    docs: str
    default_options: Options


class PythonFunctionWorkflow(Called[P, R], FunctionEntity, WorkflowBase):
    """A workflow that a function's body describes.

    Args:
        function: The function.
        options: See `WorkflowOptions`.
        where: File and line of the decorator, for messages.
    """

    def __init__(self, function: Callable[P, R], options: Mapping[str, Any], where: str = "") -> None:
        super().__init__(function)
        refuse_unknown(options, WorkflowOptions, "@workflow", where)
        self.set_options(options, where)
        self._docs: str = options.get("docs") or ""

    @property
    def name(self) -> str:
        """Return `<module>.<function>`; a workflow inside a function has a name too, since only its nodes run elsewhere.

        Raises:
            CompileError: If its module has none: an interactive session.
        """
        try:
            return super().name
        except CompileError:
            if "<locals>" not in self.__qualname__:
                raise
            return f"{dotted_module(self)}.{self.__qualname__.replace('.<locals>', '')}"

    @property
    def description(self) -> str:
        """Return what it does, from `docs` or the docstring."""
        return self._docs or docstrings.parse(self.function.__doc__).text

    def _record(self) -> Recorded:
        return record(self._checked_body, self.short_name, self.where, self.signature, self.interface)

    @cached_property
    def _checked_body(self) -> Callable[..., Any]:
        refuse_silent_branches(self.function)
        return self.function


@overload
def workflow(function: Callable[P, R], /) -> PythonFunctionWorkflow[P, R]: ...
@overload
def workflow(
    **options: Unpack[WorkflowOptions],
) -> Callable[[Callable[P, R]], PythonFunctionWorkflow[P, R]]: ...
def workflow(function: Callable[..., Any] | None = None, /, **options: Unpack[WorkflowOptions]) -> Any:
    """Make a workflow of a typed function, bare (`@workflow`) or with options.

    The body runs when the workflow is compiled, not when it is executed: what calls return there are promises.

    Args:
        function: The function; every parameter and the return value need annotations.
        options: See `WorkflowOptions`.

    Raises:
        CompileError: If an option does not exist or its value makes no sense.
    """
    where = call_site()

    def decorate(decorated: Callable[..., Any]) -> PythonFunctionWorkflow[..., Any]:
        refuse_undecorable(decorated, "workflow", where)
        return PythonFunctionWorkflow(decorated, options, where)

    return decorate if function is None else decorate(function)
