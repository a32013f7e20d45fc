"""The deck of an attempt: written and stored before the manifest, also when the task has failed."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from flyte_temporal.errors import StorageError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.sdk.decks import Report
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.execution import ErrorDocument


def keep(order: AttemptOrder, report: Report, error: ErrorDocument | None, store: BlobStore) -> str:
    """Store the deck and return its key; empty if there is none. A deck that cannot be kept fails nothing."""
    if not report.enabled:
        return ""
    from flyte_temporal.sdk.deck_document import Heading, document

    attempt = order.attempt
    heading = Heading(
        task=order.task.name,
        place=f"{attempt.execution.name} · node {attempt.node} · attempt {attempt.number}",
        error="" if error is None else error.message,
        finished_at=datetime.now(UTC),
    )
    key = keys.deck(attempt.key)
    try:
        store.put(key, document(report, heading).encode("utf-8", "backslashreplace"))
    except StorageError as failure:
        sys.stderr.write(f"flyte-temporal: the deck was not stored: {failure}\n")
        return ""
    return key
