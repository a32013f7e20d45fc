"""`@task`: a typed function of the user's that can stand at a node.

Used by authors; `dispatch` calls the function in an attempt, `compiler` writes it as a `TaskSpec`.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import dataclasses
import functools
import inspect
import tempfile
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar, Literal, ParamSpec, TypeVar, Unpack, overload

from pydantic import JsonValue

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk import docstrings
from flyte_temporal.sdk.cache import Cache, refuse_unknown_inputs, settled
from flyte_temporal.sdk.calling import Called
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.context import ExecutionParameters, TaskIdentifier, activate, current_context
from flyte_temporal.sdk.conversions import OutputInvalid
from flyte_temporal.sdk.decks import DeckField, Report, deck_fields
from flyte_temporal.sdk.entity import Entity, FunctionEntity
from flyte_temporal.sdk.evaluating import python_inputs, written_outputs
from flyte_temporal.sdk.plain_checkpoints import plain_checkpoint, plainly
from flyte_temporal.sdk.plain_decks import kept_plainly
from flyte_temporal.sdk.policies import PolicyOptions, overrides, refuse_unknown
from flyte_temporal.sdk.recording import active
from flyte_temporal.sdk.secrets import SecretsManager, exported
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.sdk.types.pickles import FlytePickle
from flyte_temporal.sdk.types.place import placed
from flyte_temporal.spec.entities import ContainerSpec
from flyte_temporal.spec.policies import Overrides, TaskPolicy

P = ParamSpec("P")
R = TypeVar("R")


class TaskOptions(PolicyOptions, total=False):
    """Options of `@task`, besides those that a node may set anew.

    Args:
        deprecated: Why not to use it any more; shown where it is used.
        enable_deck: Whether a deck, a report in HTML, is kept with each attempt.
        deck_fields: The deck's automatic tabs.
        docs: Description; by default the docstring's.
        pickle_untyped: Whether parameters and a return value without annotations are taken as pickles.
    """

    deprecated: str
    enable_deck: bool
    deck_fields: Sequence[DeckField]
    docs: str
    pickle_untyped: bool


class PythonTask(Called[P, R], FunctionEntity):
    """A task whose code is a Python function.

    Args:
        function: The function.
        options: See `TaskOptions`.
        where: File and line of the decorator, for messages.
    """

    kind: ClassVar[Literal["task", "workflow", "launch_plan"]] = "task"
    made_by: ClassVar[str] = "@task"
    task_type: str = "python"
    config: Mapping[str, JsonValue] = {}
    container: ContainerSpec | None = None

    def __init__(self, function: Callable[P, R], options: Mapping[str, Any], where: str = "") -> None:
        super().__init__(function)
        refuse_unknown(options, TaskOptions, self.made_by, where)
        self._docs: str = options.get("docs") or ""
        if options.get("pickle_untyped"):
            self.untyped = FlytePickle | None
        cache = options.get("cache")
        self.cache_policies: Cache | None = cache if isinstance(cache, Cache) else None
        self.policy = overrides(options, where, getattr(inspect.unwrap(function), "__globals__", None)).apply(
            TaskPolicy(
                deprecated=options.get("deprecated") or "",
                deck=bool(options.get("enable_deck", False)),
                deck_fields=deck_fields(options, where),
            )
        )

    @property
    def task_function(self) -> Callable[P, R]:
        """Return the user's function (flytekit's name for it); calling it converts nothing."""
        return self.function

    @property
    def description(self) -> str:
        """Return what it does, from `docs` or the docstring."""
        return self._docs or docstrings.parse(self.function.__doc__).text

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Add a node to the workflow that is being compiled, or, outside of one, run the function.

        Plainly run, arguments and results are converted as between two attempts. An `async` task gives an awaitable if
        an event loop runs, else its result.

        Raises:
            CompileError: If an argument is missing, unknown, given twice, or does not fit.
        """
        asynchronous = inspect.iscoroutinefunction(inspect.unwrap(self.function))
        if asynchronous and active() is None and _loop_runs():
            # To a type checker the call of an `async def` is awaitable: R is a Coroutine.
            awaited: R = self.aio(*args, **kwargs)  # type: ignore[assignment]
            return awaited
        return super().__call__(*args, **kwargs)

    def invoke(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Call the user's function with Python values and return its outputs by name; its exceptions pass unchanged.

        Raises:
            OutputInvalid: If it returned another number of values than it declares.
        """
        report = current_context().report
        if report.enabled:
            report.source = self.source()
        report.show_inputs(values, self.signature)
        with report.timed(self.short_name):
            returned: Any = self.function(**values)
            if inspect.isawaitable(returned):
                returned = _result_of(returned)
        outputs = self.taken_apart(returned)
        report.show_outputs(outputs, self.signature)
        return outputs

    def taken_apart(self, returned: Any) -> dict[str, Any]:
        """Return what the function returned as values by output name; raises as `invoke`."""
        try:
            return self.signature.take_apart(returned)
        except ValueError as error:
            raise OutputInvalid(f"{self.short_name}() does not return what it declares: {error}.") from error

    def evaluate(self, inputs: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
        """Run it as plain Python; see `Entity.evaluate`.

        Raises:
            InputNotReadable: If an input is not of its parameter's type.
            OutputInvalid: If it returned something that it does not declare.
        """
        values = self.read(inputs, context)
        parameters = self._parameters(context.scratch)
        with (
            activate(parameters),
            placed(context, parameters.working_directory),
            exported(self.policy.secrets, self.policy.env),
            kept_plainly(parameters),
            plainly(parameters.checkpoint),
        ):
            returned = self.invoke(values)
        return self.written(returned, context)

    def settled_policy(self) -> TaskPolicy:
        """Return the policy for the spec: with the version of the cache computed, if the author gave none."""
        refuse_unknown_inputs(self.policy.cache, self.interface, self.where)
        cache = settled(self.policy.cache, self, self.policy, self.cache_policies)
        return self.policy.model_copy(update={"cache": cache})

    def overridden(self, overrides: Overrides | None) -> PythonTask[P, R]:
        """Return it as a node runs it that sets parts of its policy anew; as `TaskSpec.overridden`."""
        if overrides is None:
            return self
        found = copy.copy(self)
        found.policy = overrides.apply(self.policy)
        found.config = {**self.config, **(overrides.config or {})}
        return found

    def read(self, inputs: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
        """Return the Python values of inputs that are written by their declared types.

        Raises:
            InputNotReadable: If an input is not of its parameter's type.
        """
        return python_inputs(self, inputs, context)

    def written(self, returned: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
        """Return Python values of outputs, written by their declared types.

        Raises:
            OutputInvalid: If one is not of its declared type.
        """
        return written_outputs(self, returned, context)

    def source(self) -> str:
        """Return the task's source code, for people; empty if it is not there."""
        try:
            return inspect.getsource(inspect.unwrap(self.function))
        except (OSError, TypeError):
            return ""

    def _plain_name(self) -> str:
        return f"{self.__module__}.{self.__qualname__}"

    def _parameters(self, scratch: Path) -> ExecutionParameters:
        """Return what the function sees in a plain run: the run's parameters, with a folder of its own."""
        outer = current_context()
        folder = Path(tempfile.mkdtemp(prefix=f"{self.short_name}-", dir=scratch))
        identifier = TaskIdentifier(*outer.task_id[:2], self._plain_name())
        return dataclasses.replace(
            outer,
            task_id=identifier,
            working_directory=folder,
            secrets=SecretsManager(self.policy.secrets),
            report=Report.of(self.policy),
            checkpoint=plain_checkpoint(scratch),
        )


@overload
def task(function: Callable[P, R], /) -> PythonTask[P, R]: ...
@overload
def task(**options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], PythonTask[P, R]]: ...
def task(function: Callable[..., Any] | None = None, /, **options: Unpack[TaskOptions]) -> Any:
    """Make a task of a typed function, bare (`@task`) or with options (`@task(retries=3, cache=True, …)`).

    Called inside a workflow's body, the task becomes a node; called elsewhere, it runs as plain Python.

    Args:
        function: The function; every parameter and the return value need annotations.
        options: See `TaskOptions` and `PolicyOptions`: retries, timeout (seconds or timedelta), cache, resources, …

    Raises:
        CompileError: If an option does not exist or its value makes no sense.
    """
    where = call_site()

    def decorate(decorated: Callable[..., Any]) -> PythonTask[..., Any]:
        refuse_undecorable(decorated, "task", where)
        return PythonTask(decorated, options, where)

    return decorate if function is None else decorate(function)


def refuse_undecorable(decorated: object, kind: str, where: str) -> None:
    """Refuse what is no function.

    Raises:
        CompileError: If it is a task or workflow already, a class, a partial, or not callable at all; a workflow or
            dynamic task also if it is asynchronous or a generator.
    """
    if isinstance(decorated, Entity):
        raise CompileError(
            f"{decorated.short_name!r} is a {decorated.kind} already. Remove @{kind}, or call it from a function.",
            where,
        )
    if isinstance(decorated, functools.partial):
        raise CompileError(
            f"@{kind} decorates a function, not a functools.partial of one. Decorate the function, then give its inputs "
            f"where it is called: functools.partial(the_{kind}, ...) works there.",
            where,
        )
    if isinstance(decorated, type) or not callable(decorated):
        raise CompileError(
            f"@{kind} decorates a function, not {shown(decorated)}. Write `def` below it.", where
        )
    if kind in {"workflow", "dynamic"}:
        _refuse_other_than_plain(decorated, kind, where)


def _refuse_other_than_plain(decorated: Callable[..., Any], kind: str, where: str) -> None:
    function = inspect.unwrap(decorated)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        problem = "is an `async def`. Remove the `async`; the tasks that it calls may be asynchronous"
    elif inspect.isgeneratorfunction(function):
        problem = "has a `yield`. Return its outputs, several as a tuple"
    else:
        return
    what = "dynamic task" if kind == "dynamic" else kind
    raise CompileError(f"A {what} is a plain `def`, and {function.__name__}() {problem}.", where)


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _result_of(awaitable: Awaitable[Any]) -> Any:
    async def waiting() -> Any:
        return await awaitable

    if not _loop_runs():
        return asyncio.run(waiting())
    # A thread of its own, because a running loop cannot be entered again.
    done: Future[Any] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            done.set_result(context.run(asyncio.run, waiting()))
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            done.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return done.result()
