"""`@dynamic`: a task whose function, called with real values, says which nodes run.

Used by authors. `dispatch` calls `expand` in an attempt, whose nodes the engine then runs; `evaluate` does both in a plain
run. Apart from `workflows`, whose bodies run once at compile time and never see a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, ParamSpec, TypeVar, Unpack, overload

from flyte_temporal.sdk.branches import refuse_silent_branches
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.context import activate
from flyte_temporal.sdk.plain import run_nodes
from flyte_temporal.sdk.recording import Recorded, record_values
from flyte_temporal.sdk.tasks import PythonTask, TaskOptions, refuse_undecorable
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.sdk.types.place import placed

P = ParamSpec("P")
R = TypeVar("R")


class DynamicTask(PythonTask[P, R]):
    """A task whose function is recorded when it runs; see `PythonTask` for the arguments."""

    task_type = "dynamic"
    made_by: ClassVar[str] = "@dynamic"

    def check(self) -> None:
        """Refuse questions in its function that the promise of a result never hears; its parameters are real values.

        Raises:
            CompileError: At the first such question.
        """
        refuse_silent_branches(self.function, parameters=False)

    def expand(self, values: Mapping[str, Any], context: ValueContext) -> Recorded | dict[str, Any]:
        """Run the function with real values, where calls make nodes; its exceptions pass unchanged.

        Args:
            values: Python values of all inputs.
            context: Where values go that it gives to nodes.

        Returns:
            The nodes, or, if it made none, the outputs by name as Python values.

        Raises:
            CompileError: If what it made is wrong, as for a workflow.
            OutputInvalid: If it made no nodes, and returned another number of values than it declares.
            StorageError: If a value could not be stored.
        """
        self.check()
        returned, recording = record_values(self.function, self.short_name, self.where, values, context)
        if not recording.body.nodes:
            return self.taken_apart(returned)
        return recording.finish(returned, self.signature, self.interface)

    def evaluate(self, inputs: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
        """Run the function, then the nodes that it made; see `Entity.evaluate`.

        Raises:
            InputNotReadable: If an input is not of its parameter's type.
            OutputInvalid: If it returned something that it does not declare.
        """
        parameters = self._parameters(context.scratch)
        with activate(parameters), placed(context, parameters.working_directory):
            found = self.expand(self.read(inputs, context), context)
        if isinstance(found, Recorded):
            return run_nodes(self, found, inputs, context)
        return self.written(found, context)


@overload
def dynamic(function: Callable[P, R], /) -> DynamicTask[P, R]: ...
@overload
def dynamic(**options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], DynamicTask[P, R]]: ...
def dynamic(function: Callable[..., Any] | None = None, /, **options: Unpack[TaskOptions]) -> Any:
    """Make a dynamic task of a typed function, bare (`@dynamic`) or with options.

    Its function runs when the node runs, with real values: it may loop over them and decide by them. What it calls becomes
    nodes, whose results are promises there; they run when the function has returned. It may call itself.

    Args:
        function: The function; every parameter and the return value need annotations.
        options: As for `@task`.

    Raises:
        CompileError: If an option does not exist or its value makes no sense.
    """
    where = call_site()

    def decorate(decorated: Callable[..., Any]) -> DynamicTask[..., Any]:
        refuse_undecorable(decorated, "dynamic", where)
        return DynamicTask(decorated, options, where)

    return decorate if function is None else decorate(function)
