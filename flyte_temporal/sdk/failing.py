"""What a plain run does when a node fails: the failure policy, the handlers, and all failures reported, first first.

Called by `plain` around each node. What the tasks raised reaches the caller unchanged; what else failed stands in its
notes, and in `failure_of` for the command line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.sdk.drafts import NodeDraft
from flyte_temporal.sdk.entity import Entity
from flyte_temporal.sdk.handlers import FailureRules
from flyte_temporal.sdk.types.adapt import adapt
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.sdk.types.error import ERROR
from flyte_temporal.spec.entities import FailurePolicy
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.literals import ErrorValue
from flyte_temporal.spec.nodes import ERROR_INPUT

_KEPT = "__flyte_failure__"
_PATH: ContextVar[str] = ContextVar("flyte_temporal_plain_path", default="")
"""Where the workflow that runs now stands in the outermost one: `n0.` or empty."""


@dataclass(frozen=True)
class Failure:
    """How a node of a plain run failed.

    Args:
        node: Its path; empty if it was the workflow as a whole.
        error: What was raised.
        others: Later failures of the same run, in order.
    """

    node: str
    error: BaseException
    others: tuple[Failure, ...] = ()


def failure_of(error: BaseException) -> Failure:
    """Return where an exception that came out of a plain run was raised, and what else failed."""
    found = getattr(error, _KEPT, None)
    return found if isinstance(found, Failure) else Failure("", error)


def error_message(error: BaseException) -> str:
    """Return an exception in the words that an execution's error has."""
    if isinstance(error, FlyteTemporalError):
        return error.message
    return f"{type(error).__name__}: {error}".rstrip(": ")


class Failing:
    """The failures of one run of one workflow.

    Args:
        interface: The workflow's.
        rules: What it says about failures.
        inputs: Its inputs, as JSON.
        context: How values are read and written.
    """

    def __init__(
        self, interface: Interface, rules: FailureRules, inputs: Mapping[str, Any], context: ValueContext
    ) -> None:
        self._interface = interface
        self._rules = rules
        self._inputs = inputs
        self._context = context
        self._failures: list[Failure] = []
        self._unreached: set[str] = set()
        self._handlers: list[tuple[NodeDraft, Mapping[str, Any], Failure]] = []
        self._path = _PATH.get()

    def within(self, branch: Interface) -> Failing:
        """Return the failures of one case of a conditional of the workflow: its policy, and no handler of its own."""
        return Failing(branch, FailureRules(self._rules.policy), {}, self._context)

    def stops(self, node: NodeDraft) -> bool:
        """Return whether a node is not run because of what failed before."""
        if not self._failures:
            return False
        immediately = self._rules.policy is FailurePolicy.FAIL_IMMEDIATELY
        if immediately or node.upstream() & self._unreached:
            self._unreached.add(node.id)
            return True
        return False

    @contextlib.contextmanager
    def node(self, node: NodeDraft) -> Iterator[dict[str, Any]]:
        """Run a node inside of the block, which fills the dict with its inputs; a failure is kept, not raised."""
        given: dict[str, Any] = {}
        token = _PATH.set(f"{self._path}{node.id}.")
        try:
            yield given
        except (Exception, SystemExit) as error:  # noqa: BLE001 - raised by `finish`
            failure = getattr(error, _KEPT, None) or Failure(f"{self._path}{node.id}", error)
            self._failures.append(failure)
            self._unreached.add(node.id)
            if node.on_failure is not None:
                self._handlers.append((node, given, failure))
        finally:
            _PATH.reset(token)

    @contextlib.contextmanager
    def outputs(self) -> Iterator[None]:
        """Take the workflow's outputs inside of the block; nothing is taken if a node failed.

        Raises:
            Exception: The first failure, with the others in its notes, after the handlers have run.
        """
        self._finish()
        try:
            yield
        except Exception as error:
            self._failures.append(Failure(self._path.removesuffix("."), error))
            self._finish()
            raise

    def _finish(self) -> None:
        if not self._failures:
            return
        first, *later = self._failures
        for other in later:
            _note(first.error, f"Also failed: node {other.node}: {error_message(other.error)}", other.error)
        for node, given, failure in self._handlers:
            if node.on_failure is not None:
                self._handle(node.on_failure, node.entity.interface, given, failure)
        handler = self._rules.handler
        if handler is not None:
            self._handle(handler, self._interface, self._inputs, first)
        nested = [each for other in later for each in (Failure(other.node, other.error), *other.others)]
        failure = Failure(first.node, first.error, (*first.others, *nested))
        with contextlib.suppress(AttributeError, TypeError):  # an exception class may refuse attributes
            setattr(first.error, _KEPT, failure)
        raise first.error

    def _handle(
        self, handler: Entity, interface: Interface, inputs: Mapping[str, Any], failure: Failure
    ) -> None:
        given: dict[str, Any] = {}
        for variable in handler.interface.inputs:
            source = interface.input(variable.name)
            if variable.name == ERROR_INPUT:
                document = ErrorValue(message=error_message(failure.error), failed_node_id=failure.node)
                given[ERROR_INPUT] = adapt(document.model_dump(mode="json"), ERROR, variable.type)
            elif source is not None and variable.name in inputs:
                given[variable.name] = adapt(inputs[variable.name], source.type, variable.type)
            elif variable.default is not None:
                given[variable.name] = variable.default.value
        try:
            handler.evaluate(given, self._context)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the first failure is what is raised
            _note(
                failure.error,
                f"The failure handler {handler.short_name} failed as well: {error_message(error)}",
                error,
            )


def _note(error: BaseException, text: str, about: BaseException) -> None:
    if about is not error:
        error.add_note(text)
