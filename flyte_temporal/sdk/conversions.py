"""Errors of values on their way into and out of a task's function, told apart from errors of the function itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flyte_temporal.errors import BadRequest, UserCodeError
from flyte_temporal.spec.paths import MissingAttribute


class InputNotReadable(UserCodeError):
    """An input's value could not be turned into the Python value that the task's parameter declares."""

    code = "InputNotReadable"
    retryable = False


class OutputInvalid(UserCodeError):
    """The task returned something that is not what it declares."""

    code = "OutputInvalid"
    retryable = False


@contextmanager
def reading(task: str, name: str) -> Iterator[None]:
    """Say which input of which task a failed conversion was for.

    Raises:
        InputNotReadable: If the value does not fit; errors of the platform pass unchanged.
        MissingAttribute: If a stored value has nothing at the end of an attribute path.
    """
    try:
        yield
    except MissingAttribute as error:
        raise MissingAttribute(f"Input {name!r} of {task}: {error.message}") from error
    except BadRequest as error:
        raise InputNotReadable(f"Input {name!r} of {task} cannot be read: {error.message}") from error


@contextmanager
def writing(task: str, name: str) -> Iterator[None]:
    """Say which output of which task a failed conversion was for.

    Raises:
        OutputInvalid: If the value does not fit; errors of the platform pass unchanged.
    """
    try:
        yield
    except BadRequest as error:
        raise OutputInvalid(f"Output {name!r} of {task} is not what it declares: {error.message}") from error
