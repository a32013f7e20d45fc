"""`PodApi`: what we use of the Kubernetes API, as plain objects. A protocol, so that tests may play the server or the client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Protocol

Json = dict[str, Any]

PODS = "pods"
OWNERS = "configmaps"
TEMPLATES = "podtemplates"
OPENED = "OPENED"
"""Type of the first event of each watch: the server has accepted it."""

LOGS_FOLLOWED = 128
"""Logs of containers that are followed at once on a cluster, each by a connection of its own."""
LOGS_READ = 16
"""Logs of containers that have ended which are read at once, beside those."""


class ApiFailure(Exception):
    """The API server refused, or did not answer.

    Args:
        status: HTTP status; 0 = no answer: nobody knows whether the call had an effect.
        reason: Kubernetes' word for it, such as `AlreadyExists`.
        message: What it says about it.
        retry_after_s: When to come back, if it says so.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s


class PodApi(Protocol):
    """Calls about objects of a namespace, by the plural of their kind. Each raises `ApiFailure`."""

    calls: int
    """How many requests were sent, for measurements."""

    async def create(self, kind: str, namespace: str, document: Json) -> Json:
        """Create an object and return it."""

    async def get(self, kind: str, namespace: str, name: str) -> Json | None:
        """Return an object by a quorum read, or None if there is none."""

    async def delete(
        self, kind: str, namespace: str, name: str, uid: str = "", grace_s: float | None = None
    ) -> bool:
        """Ask for the deletion of an object; return whether there was one.

        Args:
            kind: Plural of its kind.
            namespace: Its namespace.
            name: Its name.
            uid: Only if it has this uid; empty = whichever it is.
            grace_s: Seconds between SIGTERM and SIGKILL; None = its own.
        """

    async def page(self, kind: str, namespace: str, selector: str, token: str = "") -> Json:
        """Return a page of a list, by a quorum read; `metadata.continue` leads to the next one.

        Args:
            kind: Plural of their kind.
            namespace: Their namespace; empty = all.
            selector: Which.
            token: `metadata.continue` of the page before.
        """

    def watch(self, namespace: str, selector: str, version: str) -> AsyncIterator[Json]:
        """Yield events about pods after a version, bookmarks among them, until the server ends it.

        The first one is of type `OPENED`. A server that is silent for longer than bookmarks are apart does not answer.
        """

    def log(
        self, namespace: str, pod: str, container: str, since: str = "", *, follow: bool
    ) -> AsyncGenerator[bytes, None]:
        """Yield the log of a container in pieces, with the time of each line before it.

        Args:
            namespace: Namespace of its pod.
            pod: Name of its pod.
            container: Its name.
            since: Time of the first line; empty = from the beginning.
            follow: Whether to wait for what it writes, until it has ended.
        """

    async def node_ready(self, name: str) -> bool | None:
        """Return whether a node is ready; None if we may not know."""

    async def close(self) -> None:
        """Let go of all connections."""
