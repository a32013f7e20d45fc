"""`@eager`: a workflow in ordinary asynchronous Python, where calls give real values and errors are caught with `try`.

Used by authors whose control flow no DAG can say. Plain runs only; see docs/eager.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec, TypeVar, Unpack, overload

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.recording import active
from flyte_temporal.sdk.tasks import PythonTask, TaskOptions, refuse_undecorable

P = ParamSpec("P")
R = TypeVar("R")


class EagerTask(PythonTask[P, R]):
    """An `async def` that calls tasks, workflows, launch plans and other eager functions for their values."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return an awaitable that runs it plainly; outside of an event loop, `asyncio.run(...)` it.

        Raises:
            CompileError: In the body of a workflow, or if an argument is missing, unknown, given twice, or does not fit.
        """
        if active() is not None:
            self.refuse_durably(call_site())
        # To a type checker the call of an `async def` is awaitable: R is a Coroutine.
        awaited: R = self.aio(*args, **kwargs)  # type: ignore[assignment]
        return awaited

    def refuse_durably(self, where: str) -> NoReturn:
        """Refuse to be compiled.

        Raises:
            CompileError: Always.
        """
        raise CompileError(
            f"@eager functions cannot run durably yet, and {self.short_name} is one. Run it with --local or call it in "
            "Python; for control flow that is decided while an execution runs, write a @dynamic (docs/eager.md).",
            where or self.where,
        )


@overload
def eager(function: Callable[P, R], /) -> EagerTask[P, R]: ...
@overload
def eager(**options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], EagerTask[P, R]]: ...
def eager(function: Callable[..., Any] | None = None, /, **options: Unpack[TaskOptions]) -> Any:
    """Make an eager workflow of an `async def`, bare (`@eager`) or with options.

    In its body, `await` of an asynchronous task or another eager function gives its value, a call of anything else gives
    its value at once, and `.aio(...)` of anything else can be awaited, so that `asyncio.gather` runs several at a time.
    What they raise can be caught.

    Args:
        function: The function; every parameter and the return value need annotations.
        options: See `TaskOptions`.

    Raises:
        CompileError: If it is no `async def`, or an option does not exist or makes no sense.
    """
    where = call_site()

    def decorate(decorated: Callable[..., Any]) -> EagerTask[..., Any]:
        refuse_undecorable(decorated, "eager", where)
        if not inspect.iscoroutinefunction(inspect.unwrap(decorated)):
            raise CompileError(
                f"@eager decorates an `async def`, and {decorated.__name__}() is a plain function. Write `async def`, or "
                "decorate it with @workflow or @dynamic.",
                where,
            )
        return EagerTask(decorated, options, where)

    return decorate if function is None else decorate(function)
