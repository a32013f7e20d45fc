"""The one error tree. Standard library only: it passes through the workflow sandbox and lives in every container.

Each class says whose fault it is (`fault`), whether trying again can help (`retryable`), and carries a stable
`code` that appears in error documents, in Temporal (as the type of an `ApplicationError`) and on the command line.

FlyteTemporalError
├── BadRequest                what a person asked for cannot be done; nothing was started (exit code 2)
│   ├── CompileError          the program is wrong: types, cycles, missing arguments
│   │   ├── TypeMismatch
│   │   └── UnsupportedType
│   ├── InvalidInputs         the values given do not fit the interface
│   ├── InvalidIdentifier     a name with forbidden characters, or too long
│   ├── NotFound              no such entity, execution or node
│   ├── Conflict              the id is taken by another request
│   └── LimitExceeded         too big: spec, payload, bundle; says the size and the limit
├── ExecutionFailed           an execution ended without success (exit code 1)
│   └── ExecutionAborted
├── UserCodeError             raised in, or about, the user's code inside an attempt
│   ├── FlyteRecoverableException
│   ├── FlyteNonRecoverableException
│   ├── BranchFailed          a conditional came to a `.fail(...)`
│   ├── GateRejected          a person said no
│   └── GateTimedOut          nobody answered in time
└── PlatformError             ours, or of the machine; says the cause (exit code 3)
    ├── PlatformUnavailable   the local stack, Temporal, the store did not answer
    ├── StorageError
    │   └── CorruptBlob       bytes do not have the digest that was recorded
    ├── LauncherError
    │   └── AttemptLost       the attempt's process is gone and left no manifest
    └── UnsupportedSpec       a document of a newer version, or a node kind that this build does not run
"""

from __future__ import annotations

from typing import ClassVar, Literal

Fault = Literal["user", "system"]


class FlyteTemporalError(Exception):
    """Root of all errors raised by this library.

    Args:
        message: What was wrong, where, and what to do about it; whole sentences for a person.
    """

    code: ClassVar[str] = "Internal"
    fault: ClassVar[Fault] = "system"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(FlyteTemporalError):
    """What was asked for cannot be done as it stands; nothing was started."""

    code = "BadRequest"
    fault = "user"


class CompileError(BadRequest):
    """The program is wrong in a way that is known before anything runs.

    Args:
        message: What is wrong and what to write instead.
        where: File and line of the call, as `path.py:12`, when it is known.
    """

    code = "CompileError"

    def __init__(self, message: str, where: str | None = None) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where


class TypeMismatch(CompileError):
    """Two ends of an edge, or a value and its declared type, do not fit."""

    code = "TypeMismatch"


class UnsupportedType(CompileError):
    """A Python annotation for which no type transformer is registered."""

    code = "UnsupportedType"


class InvalidInputs(BadRequest):
    """The given inputs do not fit the entity's interface."""

    code = "InvalidInputs"


class InvalidIdentifier(BadRequest):
    """A name has forbidden characters or is too long to be stored everywhere we store it."""

    code = "InvalidIdentifier"


class CredentialStored(BadRequest):
    """Something that is stored and read by many holds a password or the like."""

    code = "CredentialStored"


class NotFound(BadRequest):
    """No entity, execution or node of that name exists."""

    code = "NotFound"


class Conflict(BadRequest):
    """The id already belongs to another request; use another id, or send the same request to attach."""

    code = "Conflict"


class LimitExceeded(BadRequest):
    """Something is larger than a documented limit; the message names the size and the limit."""

    code = "LimitExceeded"


class ExecutionFailed(FlyteTemporalError):
    """An execution ended FAILED. `Execution.error` holds the node, the user's message and the traceback."""

    code = "ExecutionFailed"
    fault = "user"


class ExecutionAborted(ExecutionFailed):
    """An execution was aborted by a person or a service; the message says by whom and why."""

    code = "Aborted"


class UserCodeError(FlyteTemporalError):
    """Something in the user's code, or in what it returned, is wrong. Uses the task's `retries`."""

    code = "UserCodeError"
    fault = "user"
    retryable = True


class FlyteRecoverableException(UserCodeError):
    """Raise it in a task to say that another attempt may succeed."""

    code = "Recoverable"


class FlyteNonRecoverableException(UserCodeError):
    """Raise it in a task to say that no further attempt may help; remaining `retries` are not used."""

    code = "NonRecoverable"
    retryable = False


class InputTooLarge(UserCodeError):
    """An input has no place in the command of a container, however often it is tried."""

    code = "InputTooLarge"
    retryable = False


class BranchFailed(UserCodeError):
    """A conditional came to a case that ends in `.fail(message)`; the message is the author's."""

    code = "BranchFailed"
    retryable = False


class GateRejected(UserCodeError):
    """Somebody rejected what a gate asked to approve."""

    code = "GateRejected"
    retryable = False


class GateTimedOut(UserCodeError):
    """Nobody answered a gate within its time-out."""

    code = "GateTimedOut"
    retryable = False


class PlatformError(FlyteTemporalError):
    """A failure of the platform or the machine, never of the user's code."""

    code = "PlatformError"
    retryable = True


class PlatformUnavailable(PlatformError):
    """A part of the platform did not answer or could not be started; the message names the cause."""

    code = "PlatformUnavailable"


class StorageError(PlatformError):
    """The blob store or the metadata store refused or lost an operation."""

    code = "StorageError"


class CorruptBlob(StorageError):
    """Stored bytes do not have the digest that was recorded for them."""

    code = "CorruptBlob"


class LauncherError(PlatformError):
    """An attempt could not be started, observed or stopped."""

    code = "LauncherError"


class AttemptLost(LauncherError):
    """The attempt's process is gone and left no manifest: killed from outside, or the machine went down."""

    code = "AttemptLost"


class UnsupportedSpec(PlatformError):
    """A document of a newer schema, or a kind of node that this build does not run yet."""

    code = "UnsupportedSpec"
    retryable = False


def type_name(cls: type) -> str:
    """Return the name by which an exception's class is listed in policies: qualified, unless it is a built-in."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def class_of(code: str, otherwise: type[FlyteTemporalError]) -> type[FlyteTemporalError]:
    """Return the class of this tree that has a code; `otherwise` if there is none."""
    return _classes(FlyteTemporalError).get(code, otherwise)


def _classes(cls: type[FlyteTemporalError]) -> dict[str, type[FlyteTemporalError]]:
    found = {cls.code: cls}
    for sub in cls.__subclasses__():
        # Those of other modules take other arguments.
        if sub.__module__ == __name__:
            found.update(_classes(sub))
    return found
