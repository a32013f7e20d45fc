"""How an attempt ended: by its manifest, and only without one by what the launcher saw."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from flyte_temporal.errors import CorruptBlob, UnsupportedSpec
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Manifest
from flyte_temporal.spec.evidence import Evidence
from flyte_temporal.spec.execution import ErrorDocument
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.spec.quantities import amount
from flyte_temporal.spec.verdicts import PREEMPTED, Judgement, judge, judge_waiting, told

MAX_MANIFEST_BYTES = 32 * 1024**2
"""A manifest holds inline outputs, each below the inline limit; more than this is not one of ours."""


class NoManifest(Exception):
    """The attempt left no manifest."""


def read_manifest(blobs: BlobStore, attempt: AttemptId) -> Manifest:
    """Return the manifest of an attempt.

    Args:
        blobs: The store.
        attempt: Which attempt.

    Raises:
        NoManifest: If there is none.
        CorruptBlob: If what is there is not a manifest of this very attempt.
        StorageError: If the store did not answer.
    """
    key = keys.manifest(attempt)
    data = blobs.get(key, max_bytes=MAX_MANIFEST_BYTES)
    if data is None:
        raise NoManifest
    try:
        manifest = Manifest.read(data)
    except UnsupportedSpec as error:
        raise CorruptBlob(f"The manifest {key} cannot be read: {error}") from error
    if manifest.attempt != attempt:
        raise CorruptBlob(f"The manifest {key} is of another attempt: {manifest.attempt.label}.")
    return manifest


def without_manifest(order: AttemptOrder, state: AttemptState) -> Manifest:
    """Return the manifest that the platform writes in the attempt's stead: what the table of verdicts says of its end.

    Args:
        order: What it ran.
        state: What the launcher saw last.
    """
    now = datetime.now(UTC)
    return Manifest(
        attempt=order.attempt,
        error=state.error or _error(order, state),
        started_at=state.started_at or now,
        finished_at=now,
        peak_rss_bytes=state.peak_rss_bytes,
        checkpoint=state.checkpoint,
    )


def evidence_of(
    order: AttemptOrder, state: AttemptState, reads: int = 3, read_for_s: float = 10.0
) -> Evidence:
    """Return what a launcher saw, for the table of verdicts.

    Args:
        order: What it ran.
        state: What the launcher saw last.
        reads: How often the manifest was looked for.
        read_for_s: Over how many seconds.
    """
    return Evidence(
        intent=state.intent,
        ran=state.ran,
        lost=state.phase is AttemptPhase.LOST and state.pod is None,
        exit_code=state.exit_code,
        oom=state.oom,
        peak_bytes=state.peak_rss_bytes,
        limit_bytes=int(amount(order.task.policy.resources.limits.mem) or 0),
        reads=reads,
        read_for_s=read_for_s,
        pod=state.pod,
    )


def _error(order: AttemptOrder, state: AttemptState) -> ErrorDocument:
    if state.refusal and not state.intent:
        return judge_waiting(state.refusal, state.message, math.inf).document(state.message[:4096])
    found = judge(evidence_of(order, state))
    text = told(found.code, order.task.policy.timeouts)
    if not text:
        text = f"The attempt ended with exit code {state.exit_code} and left no result."
        if state.phase is AttemptPhase.LOST:
            text = "The attempt's process is gone and left no result; it was killed from outside."
        if state.pod is not None:
            text = _of_pod(found, state)
        text = f"{text} {state.message}".rstrip()
    elif state.pod is not None and found.code == PREEMPTED:
        text = f"{text} ({found.reason})"
    return found.document(text[:4096])


def _of_pod(found: Judgement, state: AttemptState) -> str:
    ended = "" if state.exit_code is None else f" with exit code {state.exit_code}"
    why = f" ({found.reason})" if found.reason and found.reason != f"exit code {state.exit_code}" else ""
    match found.code:
        case "OutOfMemory":
            return "The container needed more memory than its limit, and was killed. Ask for more, or hold less at once."
        case "DiskLimit":
            return f"The pod wrote more to its disk than it may: {found.reason}"
        case "BadCommand":
            return (
                f"The container could not start its command{why}. Has its image a Python with flyte_temporal?"
            )
        case _:
            return f"The pod ended{ended} and left no result{why}."
