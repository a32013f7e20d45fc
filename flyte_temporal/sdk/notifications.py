"""Whom to tell how an execution ended: declarations on a launch plan (`notifications=[Email(...)]`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import JsonValue

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.spec.execution import ExecutionPhase

_ENDS = ", ".join(phase.value for phase in ExecutionPhase if phase.terminal)


class Notification:
    """What `Email`, `Slack` and `PagerDuty` have in common.

    Args:
        phases: The ends to tell of: `WorkflowExecutionPhase.FAILED` and so on, or their names.
        recipients_email: Addresses. Slack and PagerDuty offer an address for each channel or service.

    Raises:
        CompileError: If a phase is not an end, or an address is none.
    """

    kind: ClassVar[str]

    def __init__(self, phases: Sequence[ExecutionPhase | str], recipients_email: Sequence[str]) -> None:
        where = call_site()
        self.phases = tuple(_end(phase, where) for phase in _listed(phases, "phases", where))
        self.recipients = tuple(
            _address(a, where) for a in _listed(recipients_email, "recipients_email", where)
        )

    def document(self) -> dict[str, JsonValue]:
        """Return it as the spec of a launch plan holds it."""
        return {
            "kind": self.kind,
            "phases": [phase.value for phase in self.phases],
            "recipients": list(self.recipients),
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Notification) and self.document() == other.document()

    def __hash__(self) -> int:
        return hash((self.kind, self.phases, self.recipients))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.document()})"


class Email(Notification):
    """Send a mail to each recipient."""

    kind = "email"


class Slack(Notification):
    """Send to the mail addresses of Slack channels."""

    kind = "slack"


class PagerDuty(Notification):
    """Send to the mail addresses of PagerDuty services."""

    kind = "pager_duty"


def _listed(given: object, name: str, where: str) -> Sequence[object]:
    if not isinstance(given, list | tuple) or not given:
        raise CompileError(f"{name}={shown(given)} must be a list with at least one element.", where)
    return given


def _end(given: object, where: str) -> ExecutionPhase:
    phase = next((each for each in ExecutionPhase if each == given and each.terminal), None)
    if phase is None:
        raise CompileError(
            f"phases: {shown(given)} is not how an execution ends. Use one of: {_ENDS}.", where
        )
    return phase


def _address(given: object, where: str) -> str:
    if not isinstance(given, str) or not all(given.partition("@")) or any(c.isspace() for c in given):
        raise CompileError(f"recipients_email: {shown(given)} is not a mail address.", where)
    return given
