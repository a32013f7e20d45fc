"""How an attempt ended: by its manifest, and only without one by what the launcher saw."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from flyte_temporal.errors import CorruptBlob, UnsupportedSpec
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Manifest
from flyte_temporal.spec.evidence import Evidence
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.spec.quantities import amount
from flyte_temporal.spec.verdicts import Judgement, judge, judge_waiting, told

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


def _judged(order: AttemptOrder, state: AttemptState) -> Judgement:
    if state.refusal and not state.intent:
        return judge_waiting(state.refusal, state.message, math.inf)
    return judge(
        Evidence(
            intent=state.intent,
            ran=state.ran,
            lost=state.phase is AttemptPhase.LOST,
            exit_code=state.exit_code,
            oom=state.oom,
            peak_bytes=state.peak_rss_bytes,
            limit_bytes=int(amount(order.task.policy.resources.limits.mem) or 0),
        )
    )


def without_manifest(order: AttemptOrder, state: AttemptState) -> Manifest:
    """Return the manifest that the platform writes in the attempt's stead: what the table of verdicts says of its end.

    Args:
        order: What it ran.
        state: What the launcher saw last.
    """
    found = _judged(order, state)
    text = told(found.code, order.task.policy.timeouts)
    if not text and state.refusal:
        text = state.message
    elif not text:
        text = f"The attempt ended with exit code {state.exit_code} and left no result."
        if state.phase is AttemptPhase.LOST:
            text = "The attempt's process is gone and left no result; it was killed from outside."
        text = f"{text} {state.message}".rstrip()
    now = datetime.now(UTC)
    return Manifest(
        attempt=order.attempt,
        error=found.document(text[:4096]),
        started_at=state.started_at or now,
        finished_at=now,
        peak_rss_bytes=state.peak_rss_bytes,
        checkpoint=state.checkpoint,
    )
