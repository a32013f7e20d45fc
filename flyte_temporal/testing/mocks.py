"""`task_mock` and `patch`: let a mock answer for an entity in a plain run, for tests of users' workflows.

Names and use are those of `flytekit.testing`. Values pass through the types that the entity declares, so a mock cannot
return what the entity could not.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar
from unittest.mock import MagicMock

from flyte_temporal.errors import BadRequest
from flyte_temporal.sdk.entity import entities_behind
from flyte_temporal.sdk.evaluating import called_instead
from flyte_temporal.sdk.types.engine import ValueContext

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def task_mock(entity: object) -> Iterator[MagicMock]:
    """Let a mock answer for an entity inside of the block, wherever a plain run reaches it.

    The mock is called with the inputs by name, as Python values; what it returns (`mock.return_value`,
    `mock.side_effect`) are the outputs.

    Args:
        entity: A task, workflow, launch plan, reference or eager function.

    Raises:
        BadRequest: If it is none of these.
    """
    found = next(entities_behind(entity), None)
    if found is None:
        raise BadRequest(f"task_mock() takes a task, workflow, launch plan or reference, not {entity!r}.")
    mock = MagicMock(name=found.short_name)

    def evaluate(inputs: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
        return called_instead(found, mock, inputs, context)

    attributes = vars(found)
    before = attributes.get("evaluate")
    attributes["evaluate"] = evaluate
    try:
        yield mock
    finally:
        if before is None:
            del attributes["evaluate"]
        else:
            attributes["evaluate"] = before


def patch(entity: object) -> Callable[[Callable[Concatenate[MagicMock, P], R]], Callable[P, R]]:
    """Let a mock answer for an entity while the decorated function runs; it gets the mock as its first argument.

    Args:
        entity: As for `task_mock`.
    """

    def decorate(function: Callable[Concatenate[MagicMock, P], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def patched(*args: P.args, **kwargs: P.kwargs) -> R:
            with task_mock(entity) as mock:
                return function(mock, *args, **kwargs)

        # pytest asks for the arguments of a test, and would look for a fixture for the mock.
        whole = inspect.signature(function)
        rest = list(whole.parameters.values())[1:]
        patched.__signature__ = whole.replace(parameters=rest)  # type: ignore[attr-defined]
        return patched

    return decorate
