"""The checkpoint that an attempt's order describes, on the attempt's own store and folder.

Called by `attempt`. What has been saved goes into the journal at once: whoever watches the attempt, or buries it, reads it
there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_temporal.sdk.checkpoints import Checkpoint
from flyte_temporal.sdk.stopping import Stopping
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.storage import scratch
from flyte_temporal.storage.checkpoints import Generations, Place

if TYPE_CHECKING:
    from flyte_temporal.ports.blob_store import BlobStore
    from flyte_temporal.spec.attempt import AttemptOrder


def of(
    order: AttemptOrder, where: Path, folder: Path, stop: Stopping, store: Callable[[], BlobStore]
) -> Checkpoint:
    """Return the checkpoint of an attempt; nothing is opened before the task uses it.

    Args:
        order: What is run.
        where: The attempt's place on this machine.
        folder: For copies; gone after the attempt.
        stop: How it hears that it is to stop.
        store: Gives the blob store.
    """
    place = Place(order.attempt, order.earlier, order.checkpoint_from)

    def note(saved: SavedCheckpoint) -> None:
        try:
            journal = scratch.open_journal(where)
        except FileNotFoundError:
            return  # it has been released: nobody wants to know any more
        try:
            scratch.write_checkpoint(journal, saved.model_dump_json().encode())
        finally:
            os.close(journal)

    return Checkpoint(lambda: Generations(store(), place), folder, stop, note)


@contextmanager
def over(where: Path, stop: Stopping, checkpoint: Checkpoint) -> Iterator[None]:
    """Run a task inside of the block; afterwards wait for what it still saves, and hear of no stop any more.

    Args:
        where: The attempt's place on this machine.
        stop: How it hears that it is to stop.
        checkpoint: Its checkpoint.
    """
    try:
        yield
    finally:
        try:
            checkpoint.close()
        finally:
            stop.close()
            if stop.heard:
                # Also if nobody of ours asked for it, such as a machine that goes down.
                scratch.request_stop(where)
