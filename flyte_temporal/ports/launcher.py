"""`Launcher`: starts, watches and stops attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from flyte_temporal.spec.attempt import AttemptOrder, AttemptState, Intent
from flyte_temporal.spec.identifiers import AttemptId


class Launcher(Protocol):
    """One way to run attempts. All calls are idempotent by attempt id.

    The promise: never two live copies of one attempt. A launcher that starts after its predecessor died adopts
    attempts that still run; an attempt of which no trace is left is reported LOST and never started again (the
    interpreter starts a new one, with a new number and token).
    """

    async def start(self, order: AttemptOrder) -> None:
        """Start an attempt, or adopt the one that already has its id. Returns when it is queued or at work.

        Raises:
            LauncherError: If it could not be started; nothing runs then.
        """

    async def observe(self, attempt: AttemptId, timeout_s: float = 0.0) -> AttemptState:
        """Return the state of an attempt; wait up to `timeout_s` seconds for it to be over.

        An attempt that this launcher never saw, and of which no trace is left, is LOST.
        """

    async def stop(
        self, attempt: AttemptId, grace_s: float = 10.0, intent: Intent = Intent.CANCEL
    ) -> AttemptState:
        """Stop an attempt: SIGTERM, then SIGKILL after `grace_s` seconds. Returns when its processes are gone.

        `intent` is noted beside the attempt before it is told, so that whoever finds it dead, even after this process
        has died, knows why. One that this launcher never saw, and that has not begun, cannot begin any more.
        """

    async def release(self, attempt: AttemptId) -> None:
        """Forget an attempt whose result has been committed; scratch files are removed."""

    async def close(self) -> None:
        """Let go of everything without stopping attempts at work; another launcher can adopt them."""


@runtime_checkable
class BatchLauncher(Launcher, Protocol):
    """A launcher that can hand several attempts to one process, which runs them one after the other.

    Each stays an attempt of its own: exclusive, committed before the next begins, and found again by its id.
    """

    async def start_batch(self, orders: Sequence[AttemptOrder], *, go_on: bool) -> None:
        """Start attempts in this order; those that are known, or run already, are left where they are.

        An order's `bindings` refer to orders before it in the same call. What has not begun when the process ends, or
        when one has failed and `go_on` is not set, is forgotten: it can be started anew.

        Raises:
            LauncherError: If they could not be started; nothing runs then.
        """

    async def observe_batch(
        self, attempts: Sequence[AttemptId], timeout_s: float = 0.0
    ) -> Mapping[str, AttemptState]:
        """Return the states of those attempts that are known, by key; wait up to `timeout_s` seconds for an end."""

    async def withdraw(self, attempts: Sequence[AttemptId]) -> None:
        """Forget those attempts that have not begun, so that they do not begin unless they are started anew."""
