"""Answers to a create, row by row (reliability.md §1.3), and turns."""

from __future__ import annotations

import asyncio
import time

import pytest

from flyte_temporal.adapters.launchers.kubernetes.api import ApiFailure
from flyte_temporal.adapters.launchers.kubernetes.creating import Step, Turns, answer_of
from flyte_temporal.spec.execution import Verdict
from flyte_temporal.spec.verdicts import verdict_of

QUOTA = 'pods "x" is forbidden: exceeded quota: q, requested: {0}, used: limits.memory=1Gi,pods=2, limited: limits.memory=2Gi,pods=2'

TABLE = [
    (0, "", "reset by peer", Step.RETRY, None),
    (409, "AlreadyExists", 'pods "x" already exists', Step.ADOPT, None),
    (409, "Conflict", "Operation cannot be fulfilled on resourcequotas", Step.RETRY, None),
    (403, "Forbidden", QUOTA.format("pods=1"), Step.WAIT, None),
    (403, "Forbidden", QUOTA.format("limits.memory=1Gi,pods=1"), Step.WAIT, None),
    (403, "Forbidden", QUOTA.format("limits.memory=3Gi,pods=1"), Step.FAIL, Verdict.USER_FATAL),
    (
        403,
        "Forbidden",
        'admission webhook "v.gatekeeper.sh" denied the request: no owner',
        Step.FAIL,
        Verdict.USER_FATAL,
    ),
    (403, "Forbidden", 'pods "x" violates PodSecurity "restricted:latest"', Step.FAIL, Verdict.USER_FATAL),
    (
        403,
        "Forbidden",
        "unable to validate against any security context constraint",
        Step.FAIL,
        Verdict.USER_FATAL,
    ),
    (
        403,
        "Forbidden",
        'pods "x" is forbidden: maximum cpu usage per Container is 2, but limit is 3',
        Step.FAIL,
        Verdict.USER_FATAL,
    ),
    (
        403,
        "Forbidden",
        'pods "x" is forbidden: failed quota: q: must specify limits.cpu',
        Step.FAIL,
        Verdict.USER_FATAL,
    ),
    (
        403,
        "Forbidden",
        'error looking up service account a/b: serviceaccount "b" not found',
        Step.FAIL,
        Verdict.SYSTEM,
    ),
    (403, "Forbidden", 'User "w" cannot create resource "pods"', Step.FAIL, Verdict.SYSTEM),
    (500, "InternalError", "resource quota evaluation timed out", Step.RETRY, None),
    (500, "", "etcdserver: leader changed", Step.RETRY, None),
    (500, "", "etcdserver: too many requests", Step.RETRY, None),
    (500, "InternalError", 'failed calling webhook "x": context deadline exceeded', Step.RETRY, None),
    (504, "Timeout", "request did not complete", Step.RETRY, None),
    (503, "", "no leader", Step.RETRY, None),
    (429, "TooManyRequests", "later", Step.PAUSE, None),
    (400, "BadRequest", "cannot unmarshal", Step.FAIL, Verdict.USER_FATAL),
    (422, "Invalid", "spec.containers[0].image: Required", Step.FAIL, Verdict.USER_FATAL),
    (413, "RequestEntityTooLarge", "too large", Step.FAIL, Verdict.USER_FATAL),
    (500, "", "etcdserver: request is too large", Step.FAIL, Verdict.USER_FATAL),
    (404, "NotFound", 'namespaces "x" not found', Step.FAIL, Verdict.SYSTEM),
    (401, "Unauthorized", "Unauthorized", Step.FAIL, Verdict.SYSTEM),
    (418, "", "teapot", Step.RETRY, None),
]


@pytest.mark.parametrize(("status", "reason", "message", "step", "verdict"), TABLE)
def test_answers(status: int, reason: str, message: str, step: Step, verdict: Verdict | None) -> None:
    answer = answer_of(ApiFailure(status, reason, message))
    assert answer.step is step
    assert (verdict_of(answer.error) if answer.error else None) is verdict
    if step is Step.WAIT:
        assert answer.message.startswith("waiting for quota: exceeded quota: q")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ('serviceaccount "b" not found', "has to create it"),
        ("unable to create new content in namespace n because it is being terminated", "is being deleted"),
        ('User "w" cannot create resource "pods"', "has to grant it"),
    ],
)
def test_who_is_to_do_what_about_a_refusal(message: str, words: str) -> None:
    assert words in answer_of(ApiFailure(403, "Forbidden", message)).message


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (413, "Request entity too large: limit is 3145728"),
        (500, "etcdserver: request is too large"),
        (500, "rpc error: code = ResourceExhausted desc = trying to send message larger than max"),
    ],
)
def test_a_pod_that_is_too_large_is_told_from_a_wrong_one(status: int, message: str) -> None:
    error = answer_of(ApiFailure(status, "InternalError", message)).error
    assert error is not None
    assert (error.code, error.recoverable) == ("PodTooLarge", False)
    assert message in error.message
    assert "let it read them from files" in error.message


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_says_when_to_come_back_is_heeded(status: int) -> None:
    answer = answer_of(ApiFailure(status, "", "busy", retry_after_s=7))
    assert (answer.step, answer.pause_s) == (Step.PAUSE, 7)


async def test_a_pause_holds_up_everybody() -> None:
    turns = Turns(1000, 10)
    turns.pause(0.2)
    began = time.monotonic()
    await asyncio.gather(*(turns.take() for _ in range(5)))
    assert time.monotonic() - began >= 0.2


async def test_turns_come_at_a_rate_after_the_first_ones() -> None:
    turns = Turns(50, 5)
    began = time.monotonic()
    await asyncio.gather(*(turns.take() for _ in range(5)))
    assert time.monotonic() - began < 0.1
    await asyncio.gather(*(turns.take() for _ in range(10)))
    assert 0.15 <= time.monotonic() - began < 1.0
