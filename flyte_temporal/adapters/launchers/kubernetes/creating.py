"""What the answer to a create means, and when the next pod may be created. The table is pure (reliability.md §1.3)."""

from __future__ import annotations

import asyncio
import random
import re
import time
from dataclasses import dataclass
from enum import StrEnum

from flyte_temporal.adapters.launchers.kubernetes.api import ApiFailure
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind
from flyte_temporal.spec.quantities import amount


class Step(StrEnum):
    """What follows."""

    ADOPT = "adopt"
    """Something has the name already: look whether it is ours."""
    WAIT = "wait"
    """For quota; no attempt is used."""
    RETRY = "retry"
    """The same name again, soon."""
    PAUSE = "pause"
    """The server has too much to do: nobody creates anything for a while."""
    FAIL = "fail"


@dataclass(frozen=True)
class Answer:
    """What the table says.

    Args:
        step: What follows.
        message: For people.
        error: The failure of the attempt, for FAIL.
        pause_s: For how long, for PAUSE.
    """

    step: Step
    message: str = ""
    error: ErrorDocument | None = None
    pause_s: float = 0.0


_QUOTA = re.compile(r"exceeded quota: ([^,]+), requested: (.*), used: (.*), limited: (.*)$", re.DOTALL)
_BY_ADMISSION = re.compile(
    r"((minimum|maximum) \S+ usage per (container|pod) is|\S+ max limit to request ratio per|failed quota: \S+: must specify).*",
    re.IGNORECASE | re.DOTALL,
)
"""What a LimitRange says, and a quota of a pod that does not name what it counts."""
_PASSING = (
    "operation cannot be fulfilled on resourcequota",
    "resource quota evaluation timed out",
    "etcdserver: leader changed",
    "etcdserver: request timed out",
    "etcdserver: too many requests",
    "failed calling webhook",
    "context deadline exceeded",
    "timeout: request did not complete",
)
_TOO_LARGE = (
    "etcdserver: request is too large",
    "request entity too large",
    "message larger than max",
)
"""What a server and its store say of an object that is larger than they take; the store's words come as a 500."""
_PAUSE_S = 5.0


def answer_of(failure: ApiFailure) -> Answer:
    """Return what to do about a create that did not succeed."""
    text = failure.message.lower()
    if failure.status == 0:
        # Nobody knows whether it exists now: the same name again will tell.
        return Answer(Step.RETRY, f"api_unreachable: {failure.message}")
    if failure.status in {429, 503} and failure.retry_after_s is not None:
        return Answer(Step.PAUSE, "the cluster asks to wait", pause_s=failure.retry_after_s)
    if any(words in text for words in _PASSING):
        return Answer(Step.RETRY, failure.message)
    if failure.status == 409:
        if failure.reason in {"AlreadyExists", ""} or "already exists" in text:
            return Answer(Step.ADOPT)
        return Answer(Step.RETRY, failure.message)
    if failure.status == 429:
        return Answer(Step.PAUSE, "the cluster asks to wait", pause_s=_PAUSE_S)
    if failure.status == 403:
        return _forbidden(failure, text)
    if failure.status == 413 or any(words in text for words in _TOO_LARGE):
        words = (
            f"The cluster takes no pod as large as this one: {failure.message} What makes pods large is inputs in the command "
            "of a ContainerTask (let it read them from files), values of environment variables, annotations and templates."
        )
        return _fail(ErrorKind.USER, "PodTooLarge", words)
    if failure.status in {400, 422}:
        return _fail(ErrorKind.USER, "BadPod", f"The cluster refuses the pod: {failure.message}")
    if failure.status == 404:
        words = f"{failure.message} Its namespace must exist: see docs/kubernetes.md."
        return _fail(ErrorKind.SYSTEM, "NamespaceMissing", words)
    if failure.status == 401:
        words = f"The cluster does not know this worker: {failure.message} Look at its credentials."
        return _fail(ErrorKind.SYSTEM, "ClusterUnauthorized", words)
    return Answer(Step.RETRY, str(failure))


def _forbidden(failure: ApiFailure, text: str) -> Answer:
    if "exceeded quota" in text:
        if never := _never_fits(failure.message):
            return _fail(ErrorKind.USER, "QuotaTooSmall", f"{never} {failure.message}")
        return Answer(Step.WAIT, f"waiting for quota: {_short(failure.message)}")
    if "violates podsecurity" in text or "security context constraint" in text:
        return _fail(ErrorKind.USER, "PodSecurity", f"The cluster refuses the pod: {failure.message}")
    if found := _BY_ADMISSION.search(failure.message):
        return _fail(ErrorKind.USER, "BadPod", f"The cluster refuses the pod: {found[0]}")
    if "because it is being terminated" in text:
        return _fail(
            ErrorKind.SYSTEM, "NamespaceMissing", f"Its namespace is being deleted: {failure.message}"
        )
    if "serviceaccount" in text and "not found" in text:
        words = f"{failure.message} An operator has to create it, or name another one in `service_accounts`."
        return _fail(ErrorKind.SYSTEM, "ServiceAccountMissing", words)
    if "denied the request" in text:
        return _fail(ErrorKind.USER, "BadPod", f"The cluster refuses the pod: {failure.message}")
    words = (
        f"This worker may not create pods there: {failure.message} An operator has to grant it (deploy/k8s)."
    )
    return _fail(ErrorKind.SYSTEM, "ClusterForbidden", words)


def _never_fits(message: str) -> str:
    """Say so if what is asked for alone is more than the quota has in all."""
    found = _QUOTA.search(message)
    if found is None:
        return ""
    requested, limited = _amounts(found[2]), _amounts(found[4])
    for name, value in requested.items():
        hard = limited.get(name)
        if hard is not None and value > hard:
            return (
                f"The pod asks for more of {name} than its namespace has in all, so it would wait for ever."
            )
    return ""


def _amounts(text: str) -> dict[str, float]:
    pairs = (part.strip().partition("=") for part in text.split(","))
    return {name: found for name, _, value in pairs if (found := amount(value.strip())) is not None}


def _short(message: str) -> str:
    return message[message.find("exceeded quota") :][:500]


def _fail(kind: ErrorKind, code: str, message: str) -> Answer:
    error = ErrorDocument(kind=kind, code=code, message=message[:4096], recoverable=kind is ErrorKind.SYSTEM)
    return Answer(Step.FAIL, message, error)


class Turns:
    """Lets pods be created at a rate, and not at all for a while if the server says so; first come, first served.

    Args:
        per_s: Pods per second.
        burst: Pods at once, before that holds.
    """

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = float(burst)
        self._at = time.monotonic()
        self._until = 0.0
        self._line = asyncio.Lock()

    def pause(self, seconds: float) -> None:
        """Let nobody create anything for a while; a little longer, so that not all workers come back at once."""
        spread = random.uniform(1.0, 1.2)  # noqa: S311 - spreads load
        self._until = max(self._until, time.monotonic() + seconds * spread)

    @property
    def paused_s(self) -> float:
        """For how long nobody may create anything yet."""
        return max(0.0, self._until - time.monotonic())

    async def take(self) -> None:
        """Return when the caller may create one."""
        async with self._line:
            while True:
                now = time.monotonic()
                self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
                self._at = now
                if now >= self._until and self._tokens >= 1:
                    self._tokens -= 1
                    return
                await asyncio.sleep(max(self._until - now, (1 - self._tokens) / self._per_s, 0.001))
