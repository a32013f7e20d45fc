"""`PodRefused`: a pod that may not be made, with the place in it that is wrong."""

from __future__ import annotations

from flyte_temporal.spec.execution import ErrorDocument, ErrorKind

BAD_POD = "BadPod"


class PodRefused(Exception):
    """What a task asks of its pod is not allowed, or makes no sense; another attempt would ask for the same.

    Args:
        message: What is wrong, where, and what to do.
        code: Stable code of the error.
    """

    def __init__(self, message: str, code: str = BAD_POD) -> None:
        super().__init__(message)
        self.code = code

    def document(self) -> ErrorDocument:
        """Return it as the failure of the attempt."""
        return ErrorDocument(kind=ErrorKind.USER, code=self.code, message=str(self)[:4096], recoverable=False)
