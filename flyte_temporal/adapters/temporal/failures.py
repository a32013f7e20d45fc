"""Failures as the Temporal UI shows them: the stack trace is the user's, not that of our activity or interpreter."""

from __future__ import annotations

from typing import Any

from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError


class FailureConverter(DefaultFailureConverter):
    """Temporal's own conversion, but an error document's traceback stands where people look for it."""

    def to_failure(
        self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure
    ) -> None:
        """Convert an exception; see the base class."""
        super().to_failure(exception, payload_converter, failure)
        document = _document(exception)
        if document is not None:
            failure.stack_trace = document.get("traceback", "")


def _document(exception: BaseException) -> dict[str, Any] | None:
    if not isinstance(exception, ApplicationError):
        return None
    found = next(iter(exception.details), None)
    return found if isinstance(found, dict) and {"kind", "code", "message"} <= set(found) else None
