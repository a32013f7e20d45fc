"""`Environment`: options that many tasks share, written once (`env = Environment(...)`, `@env.task`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, Unpack, cast, overload

from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.dynamics import dynamic
from flyte_temporal.sdk.policies import refuse_unknown
from flyte_temporal.sdk.tasks import PythonTask, TaskOptions, task
from flyte_temporal.sdk.workflows import PythonFunctionWorkflow, WorkflowOptions, workflow

P = ParamSpec("P")
R = TypeVar("R")

_MERGED = ("environment", "labels", "annotations")
"""Options whose entries are added to those of the environment instead of replacing all of them."""


class EnvironmentOptions(TaskOptions, total=False):
    """Options of an environment: those of `@task`, and of `@workflow` where it has the same."""


class Environment:
    """Default options for the tasks and workflows of a project.

    Each decorator takes further options, which win; of `environment`, `labels` and `annotations`, entry by entry. A
    workflow takes only those options that `@workflow` has too, such as `interruptible`.

    Args:
        options: See `TaskOptions`.

    Raises:
        CompileError: If an option does not exist.
    """

    def __init__(self, **options: Unpack[EnvironmentOptions]) -> None:
        refuse_unknown(options, EnvironmentOptions, "Environment()", call_site())
        self._options = cast("dict[str, Any]", dict(options))

    @property
    def options(self) -> dict[str, Any]:
        """Return its options by name."""
        return dict(self._options)

    def extend(self, **options: Unpack[EnvironmentOptions]) -> Environment:
        """Return a new environment with further options, which win.

        Raises:
            CompileError: If an option does not exist.
        """
        refuse_unknown(options, EnvironmentOptions, "Environment.extend()", call_site())
        return Environment(**cast("EnvironmentOptions", self._with(options)))

    @overload
    def task(self, function: Callable[P, R], /) -> PythonTask[P, R]: ...
    @overload
    def task(self, /, **options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], PythonTask[P, R]]: ...
    def task(self, function: Any = None, /, **options: Unpack[TaskOptions]) -> Any:
        """Make a task with these options; see `flyte_temporal.task`."""
        return _decorated(task, function, self._with(options))

    @overload
    def dynamic(self, function: Callable[P, R], /) -> PythonTask[P, R]: ...
    @overload
    def dynamic(self, /, **options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], PythonTask[P, R]]: ...
    def dynamic(self, function: Any = None, /, **options: Unpack[TaskOptions]) -> Any:
        """Make a dynamic task with these options; see `flyte_temporal.dynamic`."""
        return _decorated(dynamic, function, self._with(options))

    @overload
    def workflow(self, function: Callable[P, R], /) -> PythonFunctionWorkflow[P, R]: ...
    @overload
    def workflow(
        self, /, **options: Unpack[WorkflowOptions]
    ) -> Callable[[Callable[P, R]], PythonFunctionWorkflow[P, R]]: ...
    def workflow(self, function: Any = None, /, **options: Unpack[WorkflowOptions]) -> Any:
        """Make a workflow with those of these options that workflows have; see `flyte_temporal.workflow`."""
        shared = {n: v for n, v in self._options.items() if n in _options_of(WorkflowOptions)}
        return _decorated(workflow, function, {**shared, **options})

    def _with(self, options: Any) -> dict[str, Any]:
        merged = {
            name: {**self._options[name], **options[name]}
            for name in _MERGED
            if isinstance(self._options.get(name), dict) and isinstance(options.get(name), dict)
        }
        return {**self._options, **options, **merged}


def _options_of(options: type[Any]) -> frozenset[str]:
    return frozenset(options.__annotations__)


def _decorated(decorator: Callable[..., Any], function: Any, options: dict[str, Any]) -> Any:
    made = decorator(**options)
    return made if function is None else made(function)
