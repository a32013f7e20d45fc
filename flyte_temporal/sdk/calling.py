"""`Called`: what a call of an entity does, in a workflow's body and outside of one.

Apart from `entity` because it needs both ways, `recording` and `plain`, which know entities.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, ParamSpec, TypeVar

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.entity import Entity
from flyte_temporal.sdk.plain import call_plain
from flyte_temporal.sdk.recording import active

P = ParamSpec("P")
R = TypeVar("R")


class Called(Entity, Generic[P, R]):
    """An entity that is called like the function which it stands for."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Add a node to the workflow that is being compiled, or, outside of one, run it as plain Python.

        Plainly run, arguments and results are converted as between two attempts.

        Raises:
            CompileError: If an argument is missing, unknown, fixed, given twice, or does not fit, or the body of a
                workflow is wrong.
        """
        recording = active()
        if recording is not None:
            promised: R = recording.call(self, args, kwargs)
            return promised
        returned: R = call_plain(self, args, kwargs)
        return returned

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Return an awaitable call that runs in a thread of its own, for `asyncio.gather` in an `@eager` function.

        Raises:
            CompileError: In a workflow's body, whose nodes run at once anyhow.
        """
        if active() is not None:
            raise CompileError(
                f"{self.short_name}.aio() is for @eager functions; in a workflow, call {self.short_name}() itself: nodes "
                "that do not wait for each other run at the same time.",
                call_site(),
            )
        return asyncio.to_thread(call_plain, self, args, kwargs)
