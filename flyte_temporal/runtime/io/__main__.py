"""`python -m flyte_temporal.runtime.io download|upload|commit KEY`: see the package.

The environment says how the blob store is reached (`storage.orders`). `upload --stage` is for whoever cannot see the
command's exit code, such as a sidecar: the manifest waits under another key until `commit` knows it. An outage of the store
must not cost what a command has computed, nor an attempt of one that has not begun: it is waited out, as an attempt of our
own does.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from flyte_temporal.errors import FlyteTemporalError, LauncherError, StorageError
from flyte_temporal.runtime.io.endings import Left, manifest_of
from flyte_temporal.runtime.io.inputs import write_inputs
from flyte_temporal.sdk.types.converter import ValueContext
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import NO_MANIFEST, NO_STORE, OUTAGE_S, AttemptOrder, Manifest
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.storage import orders
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.storage.patience import Patience


def main() -> int:
    """Do what the arguments say.

    Returns:
        Exit code: 0; `NO_STORE` if the blob store did not answer, `NO_MANIFEST` if it cannot be done.
    """
    parser = argparse.ArgumentParser(
        prog="python -m flyte_temporal.runtime.io", description="Move data of containers."
    )
    parser.add_argument("what", choices=["download", "upload", "commit"])
    parser.add_argument("key", metavar="KEY", help="key of the order in the blob store")
    parser.add_argument("--to", type=Path, metavar="DIR", help="download: folder for the inputs")
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="DIR", help="upload: folder with the outputs"
    )
    parser.add_argument("--exit-code", type=int, metavar="CODE", help="of the command")
    parser.add_argument("--oom", action="store_true", help="the engine says that it ran out of memory")
    parser.add_argument("--log", type=Path, metavar="FILE", help="what it wrote")
    parser.add_argument("--log-chunks", type=int, default=0, metavar="N", help="commit: chunks of its log")
    parser.add_argument("--started", type=datetime.fromisoformat, metavar="TIME", help="when it was started")
    parser.add_argument("--stage", action="store_true", help="upload: leave it to `commit` to make it count")
    parser.add_argument("--on-sigterm", action="store_true", help="upload: wait for SIGTERM first")
    parser.add_argument("--ready", type=Path, metavar="FILE", help="upload: made once SIGTERM is waited for")
    parser.add_argument(
        "--claim", action="store_true", help="download: unless another container runs the attempt"
    )
    arguments = parser.parse_args()
    try:
        _move(arguments)
    except (FlyteTemporalError, OSError) as error:
        sys.stderr.write(f"flyte-temporal: {error}\n")
        return NO_STORE if isinstance(error, StorageError) else NO_MANIFEST
    return 0


def _move(arguments: argparse.Namespace) -> None:
    storage = orders.storage_of(os.environ)
    if arguments.on_sigterm:
        _await_sigterm(arguments.ready)
    with Patience(OUTAGE_S) as patience:
        patience.begin()
        order = orders.read(arguments.key, storage)
    with Patience(order.outage_s) as patience:
        patience.begin()
        {"download": _download, "upload": _upload, "commit": _commit}[arguments.what](order, arguments)


def _download(order: AttemptOrder, arguments: argparse.Namespace) -> None:
    if arguments.to is None:
        raise LauncherError("download needs --to, the folder for the inputs.")
    if arguments.claim and (refusal := orders.begin(open_store(order.storage), order.attempt)):
        raise LauncherError(refusal)
    arguments.to.mkdir(parents=True, exist_ok=True)
    with _context(order) as context:
        write_inputs(order, arguments.to, context)


def _await_sigterm(ready: Path | None) -> None:
    # Blocked, not handled: it must not get lost if it comes before the line that waits. What comes before this line is
    # lost if this is PID 1, which ignores it: who sends it waits for the file.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    if ready is not None:
        ready.touch()
    signal.sigwait({signal.SIGTERM})


def _upload(order: AttemptOrder, arguments: argparse.Namespace) -> None:
    if arguments.source is None:
        raise LauncherError("upload needs --from, the folder with the outputs.")
    store = open_store(order.storage)
    if store.head(keys.manifest(order.attempt)) is not None:
        return
    left = Left(arguments.source, arguments.exit_code, arguments.oom, arguments.log, arguments.started)
    with _context(order) as context:
        made = canonical_bytes(manifest_of(order, left, store, context))
    store.put_new(keys.staged(order.attempt) if arguments.stage else keys.manifest(order.attempt), made)


def _commit(order: AttemptOrder, arguments: argparse.Namespace) -> None:
    """Make a staged manifest count: of a command that has ended with 0, or one that told by `_ERROR` how it failed.

    Of any other the exit code and the pod say more than the outputs that are not there.
    """
    store = open_store(order.storage)
    staged = store.get(keys.staged(order.attempt))
    if staged is None:
        raise LauncherError(f"Nothing is staged for {order.attempt.label}.")
    manifest = Manifest.read(staged)
    if arguments.exit_code and not manifest.told:
        raise LauncherError(
            f"The command of {order.attempt.label} ended with {arguments.exit_code}; it has failed."
        )
    # Its log was stored by whoever asks for this: a sidecar does not see it.
    made = canonical_bytes(manifest.model_copy(update={"log_chunks": arguments.log_chunks}))
    store.put_new(keys.manifest(order.attempt), made)


@contextmanager
def _context(order: AttemptOrder) -> Iterator[ValueContext]:
    with tempfile.TemporaryDirectory(prefix="flyte-temporal-io-", ignore_cleanup_errors=True) as scratch:
        blobs = open_store(order.storage)
        yield ValueContext(blobs=blobs, scratch=Path(scratch), inline_bytes=order.inline_bytes)


if __name__ == "__main__":
    sys.exit(main())
