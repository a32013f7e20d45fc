"""One attempt: prepare its place, load and call the task, describe its failure, upload the log, manifest last."""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flyte_temporal._version import __version__
from flyte_temporal.errors import FlyteTemporalError, LimitExceeded, StorageError, UnsupportedSpec
from flyte_temporal.faults import buggify
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.runtime import checkpoints, decks, failures, memory, output
from flyte_temporal.sdk import dispatch
from flyte_temporal.sdk.checkpoints import Checkpoint
from flyte_temporal.sdk.containers import needs_container
from flyte_temporal.sdk.context import ExecutionParameters, TaskIdentifier, activate
from flyte_temporal.sdk.decks import Report
from flyte_temporal.sdk.secrets import PREFIXES, SecretsManager, exported
from flyte_temporal.sdk.stopping import Stopping
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import NO_MANIFEST, AttemptOrder, Manifest
from flyte_temporal.spec.basis import basis_of_task
from flyte_temporal.spec.document import canonical_bytes, sha256_hex
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ErrorDocument
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.resolving import Former
from flyte_temporal.storage import scratch
from flyte_temporal.storage.blobs import open_for_attempt
from flyte_temporal.storage.bundles import unpack
from flyte_temporal.storage.logs import AttemptLog
from flyte_temporal.storage.patience import Patience

MAX_SPEC_BYTES = 64 * 1024**2
"""Largest spec that a dynamic task may make; for compiled programs it is a setting, of which this is the default."""


@dataclass(frozen=True)
class Desk:
    """Where an attempt runs on this machine.

    Args:
        where: What the names of the attempt's files begin with.
        folder: Folder of the process, with its log and the task's files.
        cache: Folder of unpacked bundles.
    """

    where: Path
    folder: Path
    cache: Path


@dataclass(frozen=True)
class Code:
    """What the attempt runs with.

    Args:
        root: The unpacked code bundle; None if there is none.
        store: The blob store.
    """

    root: Path | None
    store: BlobStore


@dataclass(frozen=True)
class _Given:
    """With what an attempt begins besides its order.

    Args:
        code: The store and the code, if they are open already.
        former: What the attempts before it in the same batch gave.
        stop: How it hears that it is to stop.
        patience: How long what it has computed is tried to be stored.
    """

    code: Code | None
    former: Former | None
    stop: Stopping
    patience: Patience


def open_code(order: AttemptOrder, cache: Path) -> Code:
    """Open the store and unpack the code bundle, and make this process see the code.

    Raises:
        StorageError: If the store did not answer or the bundle is missing or damaged.
    """
    store = open_for_attempt(order.storage)
    bundle = order.environment.bundle
    root = unpack(store, bundle, cache) if bundle is not None else None
    enter_code(root)
    return Code(root, store)


def enter_code(root: Path | None) -> None:
    """Make the bundle the first place for imports. It is shared: the working directory is the attempt's own."""
    if root is not None and str(root) not in sys.path:
        sys.path.insert(0, str(root))


def environment_of(order: AttemptOrder) -> dict[str, str]:
    """Return the environment variables that an attempt sees in addition to those of its process."""
    where = order.attempt.execution
    return {
        **order.environment.env,
        **order.task.policy.env,
        "FLYTE_INTERNAL_EXECUTION_PROJECT": where.project,
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": where.domain,
        "FLYTE_INTERNAL_EXECUTION_ID": where.name,
        "FLYTE_INTERNAL_TASK_NAME": order.task.name,
        "FLYTE_ATTEMPT_NUMBER": str(order.attempt.number),
    }


def perform(
    order: AttemptOrder, desk: Desk, code: Code | None = None, former: Former | None = None
) -> Manifest:
    """Run an attempt to its end and leave its manifest. Its environment variables are set already.

    Everything that user code does is described in the manifest. Only what keeps the manifest from being written is
    raised: an outage of the store that outlasts the order's patience, above all.

    Args:
        order: What to run.
        desk: Where.
        code: The store and the code, if they are open already.
        former: What the attempts before it in the same batch gave.

    Raises:
        StorageError: If the manifest could not be written.
    """
    stop = Stopping(order.grace_s)
    with Patience(order.outage_s, lambda: stop.heard) as patience:
        # What user code reads in the middle of hours of work is worth waiting for as well.
        patience.begin()
        return _perform(order, desk, _Given(code, former, stop, patience))


def _perform(order: AttemptOrder, desk: Desk, given: _Given) -> Manifest:
    started, kills = datetime.now(UTC), memory.kernel_kills()
    outputs: dict[str, LiteralValue] | None = None
    spec = ""
    error: ErrorDocument | None = None
    full, report = "", Report.of(order.task.policy)
    code, stop = given.code, given.stop
    copies = desk.folder / scratch.VALUES / "checkpoint"
    checkpoint = checkpoints.of(
        order, desk.where, copies, stop, lambda: code.store if code else open_for_attempt(order.storage)
    )
    try:
        # Relative paths of one attempt are nothing to another one, and nothing to the bundle.
        os.chdir(desk.folder / scratch.FILES)
        code = code or open_code(order, desk.cache)
        if order.bindings:
            bound = (given.former or Former()).inputs(order.attempt.node, order.bindings)
            order = order.model_copy(update={"inputs": {**order.inputs, **bound}, "bindings": {}})
        with checkpoints.over(desk.where, stop, checkpoint):
            found = _call(order, desk, code, _Things(report, stop, checkpoint, given.patience))
        if isinstance(found, Closure):
            spec = _store(found, code.store)
        else:
            outputs = found
    except BaseException as raised:  # noqa: BLE001 - whatever ends the task becomes its error document
        error, full = failures.describe(raised, code.root if code else None, desk.where, order.task.policy)
    store = code.store if code else open_for_attempt(order.storage)
    if error is not None:
        error = failures.keep_traceback(error, full, store, order.attempt.key)
    manifest = Manifest(
        attempt=order.attempt,
        outputs=outputs,
        spec=spec,
        error=error,
        deck=decks.keep(order, report, error, store),
        started_at=started,
        finished_at=datetime.now(UTC),
        peak_rss_bytes=peak_rss(),
        oom_kills=max(0, memory.kernel_kills() - kills),
        log_chunks=_ship_log(order, desk, store),
        runtime_version=__version__,
        checkpoint=checkpoint.last,
        basis=basis_of_task(order.task, order.inputs),
    )
    buggify("manifest.before")
    store.put_new(keys.manifest(order.attempt), canonical_bytes(manifest))
    buggify("manifest.after")
    if error is None:
        checkpoint.settle(keep=order.keep_checkpoint)
    return manifest


def is_done(order: AttemptOrder, store: BlobStore) -> bool:
    """Return whether an attempt has left its manifest.

    Raises:
        StorageError: If the store did not answer.
    """
    return store.head(keys.manifest(order.attempt)) is not None


def _ship_log(order: AttemptOrder, desk: Desk, store: BlobStore) -> int:
    """Upload the rest of the log and return the number of chunks; a log that cannot be stored fails nothing."""
    output.flush()
    try:
        return AttemptLog(desk.folder / scratch.LOG, order.attempt.key).ship(store)
    except StorageError as error:
        sys.stderr.write(f"flyte-temporal: the log was not uploaded: {error}\n")
        return 0


def peak_rss() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _store(closure: Closure, store: BlobStore) -> str:
    """Store what a dynamic task made and return its digest.

    Raises:
        LimitExceeded: If it is too large.
        StorageError: If it could not be stored.
    """
    data = canonical_bytes(closure)
    if len(data) > MAX_SPEC_BYTES:
        raise LimitExceeded(
            f"The spec that {closure.root.name} made has {len(data):,} bytes; at most {MAX_SPEC_BYTES:,} are allowed. Let "
            "it make fewer nodes, of which each does more."
        )
    digest = sha256_hex(data)
    store.put_new(keys.closure(digest), data, digest)
    return digest


@dataclass(frozen=True)
class _Things:
    """What a task finds in its context besides data of the order."""

    report: Report
    stop: Stopping
    checkpoint: Checkpoint
    patience: Patience


def _call(order: AttemptOrder, desk: Desk, code: Code, things: _Things) -> dict[str, LiteralValue] | Closure:
    entry = order.task.entry
    if order.task.container is not None:
        raise UnsupportedSpec(needs_container(order.task.name, order.task.policy))
    if entry is None:
        raise UnsupportedSpec(
            f"Task {order.task.name!r} of type {order.task.type!r} has no Python code; this launcher cannot run it."
        )
    files = desk.folder / scratch.FILES
    context = ValueContext(
        blobs=code.store,
        scratch=desk.folder / scratch.VALUES,
        inline_bytes=order.inline_bytes,
        gives=True,
        opens_pickles=True,
        working_directory=files,
    )
    with activate(_parameters(order, files, code.store, things)), exported(order.task.policy.secrets):
        task = dispatch.load(entry)
        found = dispatch.run(task, order.task, order.inputs, context, things.patience.begin)
        code.store.settle()
        return found


def _parameters(order: AttemptOrder, files: Path, store: BlobStore, things: _Things) -> ExecutionParameters:
    where = order.attempt.execution
    return ExecutionParameters(
        execution_id=where,
        task_id=TaskIdentifier(where.project, where.domain, order.task.name),
        execution_date=order.created_at or datetime.now(UTC),
        working_directory=files,
        raw_output_prefix=store.uri(f"{order.attempt.key}/raw"),
        attempt=order.attempt.number,
        node=order.attempt.node,
        secrets=SecretsManager(order.task.policy.secrets),
        report=things.report,
        stop=things.stop,
        checkpoint=things.checkpoint,
    )


def run_in_process(order: AttemptOrder, desk: Desk, journal: int, *, contained: bool = False) -> int:
    """Run one attempt in this process, whose output already goes into the log, and return its exit code.

    In a container (`contained`) secrets have the names by which its launcher has handed them over.
    """
    os.environ.update(environment_of(order))
    for name in PREFIXES if contained else ():
        os.environ.pop(name, None)
    try:
        perform(order, desk)
    except FlyteTemporalError as error:
        scratch.write_ending(journal, no_manifest(error))
        return NO_MANIFEST
    scratch.write_ending(journal, scratch.Ending(0, rss=peak_rss()))
    return 0


def no_manifest(error: FlyteTemporalError) -> scratch.Ending:
    """Return the note on a process that could not write its manifest."""
    return scratch.Ending(NO_MANIFEST, f"No manifest was written: {error}", peak_rss())
