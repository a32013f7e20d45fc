"""Checkpoints: what a running task has saved, for the attempts that come after it.

A save is a *generation*: its parts, then one small document, `COMPLETE`, that names them all (docs/decisions/0043).
Written and read by `storage.checkpoints`; `SavedCheckpoint` is what is told of one to people and in records.
"""

from __future__ import annotations

from datetime import datetime

from flyte_temporal.spec.document import Document, Stored
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.spec.trees import Tree


class SavedCheckpoint(Document):
    """A checkpoint that is stored for good.

    Args:
        execution: Name of the execution that saved it: another one than the task's own after a recovery.
        attempt: Number of the attempt that saved it.
        generation: Number of the save among those of its node; they grow.
        step: How far the task was, if it said so.
        tag: The task's own word for the shape of what it saves; empty if it has none.
        size: Bytes of all files together.
        saved_at: When it was saved, UTC.
    """

    execution: str
    attempt: int
    generation: int
    step: int | None = None
    tag: str = ""
    size: int = 0
    saved_at: datetime

    def newer_than(self, other: SavedCheckpoint | None) -> bool:
        """Return whether it was saved after another one of the same node: by a later attempt, or later by the same."""
        return other is None or (self.attempt, self.generation) > (other.attempt, other.generation)


class Generation(Stored):
    """The document `COMPLETE`: the last thing that a save writes; without it, nothing was saved.

    Args:
        number: Number of the save among those of the node.
        attempt: Who saved it; its token keeps a writer that was given up from being believed.
        parts: The files, in the order in which they are stored.
        step: How far the task was, if it said so.
        tag: The task's own word for the shape of it.
        saved_at: When it was saved, UTC.
    """

    number: int
    attempt: AttemptId
    parts: Tree
    step: int | None = None
    tag: str = ""
    saved_at: datetime

    @property
    def summary(self) -> SavedCheckpoint:
        """Return what is told of it."""
        return SavedCheckpoint(
            execution=self.attempt.execution.name,
            attempt=self.attempt.number,
            generation=self.number,
            step=self.step,
            tag=self.tag,
            size=self.parts.size,
            saved_at=self.saved_at,
        )
