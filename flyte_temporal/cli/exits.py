"""Exit codes, which scripts rely on, and how an error is shown to a person."""

from __future__ import annotations

import traceback
from enum import IntEnum

from flyte_temporal.errors import BadRequest, ExecutionFailed, FlyteTemporalError, UserCodeError


class ExitCode(IntEnum):
    """What a command ends with."""

    SUCCEEDED = 0
    FAILED = 1
    BAD_REQUEST = 2
    UNAVAILABLE = 3
    INTERRUPTED = 130
    """Ctrl-C: we stopped watching, the execution goes on. 128 + SIGINT, as shells do."""


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code for an error that ends a command."""
    if isinstance(error, BadRequest):
        return ExitCode.BAD_REQUEST
    if isinstance(error, ExecutionFailed | UserCodeError):
        return ExitCode.FAILED
    return ExitCode.UNAVAILABLE


def paragraph(error: BaseException, *, debug: bool) -> str:
    """Return what is printed on stderr for an error: one paragraph, or the traceback with `--debug`."""
    if debug:
        return "".join(traceback.format_exception(error)).rstrip()
    if isinstance(error, FlyteTemporalError):
        return f"Error: {error.message}"
    said = str(error) or "no message"
    return (
        f"Error: flyte-temporal failed in a way that it should not: {type(error).__name__}: {said}. "
        "Run the same command with --debug for the traceback, and report it with that."
    )


def error_document(error: BaseException) -> dict[str, str]:
    """Return the `error` member of the JSON that a command prints with `-o json`."""
    if isinstance(error, FlyteTemporalError):
        return {"kind": error.fault, "code": error.code, "message": error.message, "node": ""}
    return {"kind": "system", "code": "Internal", "message": f"{type(error).__name__}: {error}", "node": ""}
