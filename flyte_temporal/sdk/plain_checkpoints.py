"""Checkpoints of plain calls: the same protocol in a temporary folder, and never an earlier attempt.

Apart from `checkpoints` because a plain call has no store and no attempt: both are made up here, when a task asks for them.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_temporal.sdk.checkpoints import Checkpoint
from flyte_temporal.sdk.stopping import Stopping

if TYPE_CHECKING:
    from flyte_temporal.storage.checkpoints import Generations


def plain_checkpoint(folder: Path | None = None) -> Checkpoint:
    """Return the checkpoint of one call of a task as plain Python. Nothing is made before it is used.

    Args:
        folder: Where a folder for it may be made; by default among the machine's temporary ones.
    """
    token = secrets.token_hex(6)
    scratch = (folder or Path(tempfile.gettempdir())) / f"flyte-temporal-checkpoint-{token}"
    return Checkpoint(lambda: _generations(scratch, token), scratch, Stopping(), lambda _: None)


@contextmanager
def plainly(checkpoint: Checkpoint) -> Iterator[None]:
    """Run a plain call inside of the block; what it saved is gone afterwards, since there is no next attempt."""
    try:
        yield
    finally:
        checkpoint.close()
        shutil.rmtree(checkpoint.scratch, ignore_errors=True)


def _generations(scratch: Path, token: str) -> Generations:
    from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
    from flyte_temporal.storage.checkpoints import Generations, Place
    from flyte_temporal.storage.local import LocalBlobStore, Sync

    execution = ExecutionId(project="local", domain="local", name="plain")
    attempt = AttemptId(execution=execution, node="plain", number=1, token=token)
    return Generations(LocalBlobStore(scratch / "store", Sync.NONE), Place(attempt))
