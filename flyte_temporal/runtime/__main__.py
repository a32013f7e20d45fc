"""`python -m flyte_temporal.runtime --order FILE`: run one attempt, leave its manifest in the blob store.

FILE holds an `AttemptOrder` as JSON (`-` = stdin). A launcher on this machine gives `--attempt PATH --journal FD`
instead: where the files of a claimed attempt are, and the descriptor that holds its lock. A container gets `--stored KEY`:
where in the blob store its order is; the environment says how the store is reached (`storage.orders`).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from flyte_temporal.errors import FlyteTemporalError, LauncherError
from flyte_temporal.runtime.attempt import Desk
from flyte_temporal.runtime.supervisor import Assignment, supervise
from flyte_temporal.spec.attempt import NO_MANIFEST, NOT_CLAIMED, AttemptOrder
from flyte_temporal.storage import orders, scratch
from flyte_temporal.storage.blobs import open_store


class _NotOurs(Exception):
    """Another container has claimed the attempt, or nobody may run it any more."""


def main() -> int:
    """Run the attempt that the arguments name.

    Returns:
        Exit code: that of the task process. If the order cannot be read or was run before: `NO_MANIFEST` for a stored
        order, whose launcher sees no more of it than this code (`NOT_CLAIMED` if another container had claimed it); else 2.
    """
    parser = argparse.ArgumentParser(prog="python -m flyte_temporal.runtime", description="Run one attempt.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--order", metavar="FILE", help="order as JSON; - for stdin")
    what.add_argument(
        "--attempt", type=Path, metavar="PATH", help="a claimed attempt: its journal without suffix"
    )
    what.add_argument("--stored", metavar="KEY", help="key of the order in the blob store")
    parser.add_argument("--journal", type=int, metavar="FD", help="descriptor that holds the attempt's lock")
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR", help="folder for journals and files of attempts"
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="folder for unpacked code bundles")
    arguments = parser.parse_args()
    try:
        return supervise(_assignment(arguments))
    except _NotOurs as error:
        sys.stderr.write(f"flyte-temporal: {error}\n")
        return NOT_CLAIMED
    except FlyteTemporalError as error:
        sys.stderr.write(f"flyte-temporal: {error}\n")
        return NO_MANIFEST if arguments.stored else 2


def _assignment(arguments: argparse.Namespace) -> Assignment:
    if arguments.attempt is not None:
        if arguments.journal is None:
            raise LauncherError("--attempt needs --journal, the descriptor that holds its lock.")
        os.set_inheritable(arguments.journal, False)  # noqa: FBT003 - positional by signature
        found = scratch.read_journal(arguments.attempt)
        if found is None:
            raise LauncherError(f"There is no claimed attempt {arguments.attempt}.")
        where = arguments.attempt.absolute()
        return _assigned(AttemptOrder.read(found.order), where, arguments, arguments.journal)
    if arguments.stored:
        order = _stored(arguments.stored)
    else:
        data = sys.stdin.buffer.read() if arguments.order == "-" else Path(arguments.order).read_bytes()
        order = AttemptOrder.read(data)
    # Absolute, because the task gets a working directory of its own.
    root = (arguments.scratch or Path(tempfile.mkdtemp(prefix="flyte-temporal-"))).absolute()
    root.mkdir(parents=True, exist_ok=True)
    name = scratch.attempt_name(order.attempt)
    claimed = scratch.claim(root, name, order.model_dump_json().encode())
    if claimed is None:
        raise LauncherError(
            f"Attempt {order.attempt.label} has been run below {root} before; it is not run again."
        )
    return _assigned(order, root / name, arguments, claimed)


def _stored(key: str) -> AttemptOrder:
    storage = orders.storage_of(os.environ)
    order = orders.read(key, storage)
    store = open_store(storage)
    if orders.stop_reason(store, order.attempt):
        raise LauncherError(f"Attempt {order.attempt.label} was stopped before it began.")
    if refusal := orders.begin(store, order.attempt):
        raise _NotOurs(refusal)
    return order


def _assigned(order: AttemptOrder, where: Path, arguments: argparse.Namespace, journal: int) -> Assignment:
    cache = (arguments.cache or where.parent / "bundles").absolute()
    desk = Desk(where, scratch.own_folder(where), cache)
    return Assignment(order, desk, journal, asks_store=bool(arguments.stored))


if __name__ == "__main__":
    sys.exit(main())
