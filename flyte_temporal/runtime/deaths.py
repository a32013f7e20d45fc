"""Task processes that died before they left a manifest: what happened, in words, and the manifest that says so."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flyte_temporal._version import __version__
from flyte_temporal.errors import LauncherError, StorageError
from flyte_temporal.ports.blob_store import Put
from flyte_temporal.runtime import failures
from flyte_temporal.runtime.memory import memory_limit
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, Intent, Manifest
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.evidence import Evidence
from flyte_temporal.spec.execution import ErrorDocument
from flyte_temporal.spec.verdicts import OUT_OF_MEMORY, Judgement, judge
from flyte_temporal.storage import scratch
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.storage.logs import AttemptLog

_WORDS = {
    signal.SIGSEGV: "it used memory that is not its own: a bug in C code, or a stack overflow by deep recursion",
    signal.SIGABRT: "C code gave up by abort()",
    signal.SIGBUS: "a memory-mapped file was cut, or a disk is full",
    signal.SIGFPE: "C code divided by zero",
    signal.SIGILL: "compiled code uses instructions that this processor does not have",
    signal.SIGKILL: "killed from outside; nothing inside the task can cause or stop that",
    signal.SIGTERM: "somebody asked it to end",
}


@dataclass(frozen=True)
class Death:
    """How a task process ended.

    Args:
        code: Exit code, or the negative number of the signal.
        rss: Its largest resident memory, bytes.
        oom: Whether the kernel or our supervisor killed it for its memory.
        stopped: Whether we were told to stop it.
    """

    code: int
    rss: int = 0
    oom: bool = False
    stopped: bool = False


def bury(where: Path, death: Death) -> scratch.Ending:
    """Leave the manifest of a process that died without one, the rest of its log, and a note in its journal.

    Idempotent. If the process had left its manifest before it died, that one stands.

    Args:
        where: The attempt's place on this machine.
        death: How the process ended.

    Raises:
        LauncherError: If there is no such attempt.
    """
    journal = scratch.read_journal(where)
    if journal is None:
        raise LauncherError(f"There is no attempt {where}.")
    order = AttemptOrder.read(journal.order)
    log = AttemptLog(journal.log or scratch.own_folder(where) / scratch.LOG, order.attempt.key)
    stopped = scratch.stop_reason(where) or (Intent.CANCEL if death.stopped else Intent.NONE)
    error = describe(death, order, log.tail(), stopped)
    message = error.message
    try:
        if not _leave_manifest(order, log, error, death, saved_checkpoint(journal)):
            message = ""
    except StorageError as trouble:
        message = f"{message} No manifest was written: {trouble}"
    ending = scratch.Ending(death.code, message, death.rss, oom=error.code == OUT_OF_MEMORY)
    descriptor = scratch.open_journal(where)
    scratch.write_whole(descriptor, b"\n")  # the dead process may have left half a line
    scratch.write_ending(descriptor, ending)
    os.close(descriptor)
    return ending


def describe(death: Death, order: AttemptOrder, tail: str, stopped: Intent = Intent.NONE) -> ErrorDocument:
    """Return the error document of a process that died.

    Args:
        death: How it ended.
        order: What it ran.
        tail: The last lines of its log.
        stopped: Why it was stopped.
    """
    if stopped:
        return failures.stopped(stopped, order.task.policy)
    limit = memory_limit(order.task)
    found = judge(
        Evidence(exit_code=death.code, oom=death.oom, peak_bytes=death.rss, limit_bytes=limit, witnessed=True)
    )
    message = _words(found, death, order.task.policy.resources.limits.mem if limit else "")
    if tail:
        message = f"{message}\nLast lines of its log:\n{tail}"
    return found.document(failures.cut(message, failures.MESSAGE_BYTES))


def _words(found: Judgement, death: Death, limit: str) -> str:
    peak = f"{death.rss / 1024 / 1024:.0f} MiB"
    if found.code == OUT_OF_MEMORY:
        bound = f"its limit of {limit}" if limit else "the memory there is"
        advice = "Ask for more memory, or hold less at once."
        return f"The process used {peak}, more than {bound}, and was killed. {advice}"
    if death.code >= 0:
        return (
            f"The process ended with exit code {death.code} before the task returned: something in it called "
            "os._exit() or a C library's exit()."
        )
    name = signal.Signals(-death.code).name if -death.code in set(signal.Signals) else "unknown"
    why = _WORDS.get(signal.Signals(-death.code), "") if name != "unknown" else ""
    return f"The process was killed by signal {-death.code} ({name}{': ' if why else ''}{why}); peak memory {peak}."


def saved_checkpoint(journal: scratch.Journal) -> SavedCheckpoint | None:
    """Return the last checkpoint that an attempt noted."""
    return SavedCheckpoint.model_validate(journal.checkpoint) if journal.checkpoint is not None else None


def _leave_manifest(
    order: AttemptOrder, log: AttemptLog, error: ErrorDocument, death: Death, saved: SavedCheckpoint | None
) -> bool:
    store = open_store(order.storage)
    if store.head(keys.manifest(order.attempt)) is not None:
        return False
    now = datetime.now(UTC)
    manifest = Manifest(
        attempt=order.attempt,
        error=error,
        started_at=now,
        finished_at=now,
        peak_rss_bytes=death.rss,
        log_chunks=log.ship(store),
        runtime_version=__version__,
        checkpoint=saved,
    )
    return store.put_new(keys.manifest(order.attempt), canonical_bytes(manifest)) is not Put.CONFLICT
