"""The torn-safe protocol of checkpoints on a blob store: generations, each complete or not there (decision 0043).

A save writes its parts below `gen-<number>-<token>/`, then `COMPLETE`, which names them with their digests. Nothing points
to "the latest": whoever restores lists the generations and takes the newest that is whole. Older ones are deleted only
after a newer one is confirmed. So at whatever instant a writer dies, the last save that it reported is there.

Used by `sdk.checkpoints`, which is what tasks see. Apart from it because it knows keys and no user's files.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from flyte_temporal.errors import CorruptBlob, StorageError, UnsupportedSpec
from flyte_temporal.faults import buggify
from flyte_temporal.ports.blob_store import BlobStore, Put
from flyte_temporal.spec import keys
from flyte_temporal.spec.checkpoints import Generation
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.spec.trees import Tree

T = TypeVar("T")

KEPT = 2
"""Generations that are kept: the newest, and the one before in case the newest turns out damaged."""

COMPLETE = "COMPLETE"
_NAME = re.compile(r"gen-(\d{8,})-([A-Za-z0-9_-]+)")
_MAX_COMPLETE_BYTES = 64 * 1024**2
_TRIES = 3
_PAUSE_S = 0.2


class Contents(Protocol):
    """What is to be stored."""

    @property
    def tree(self) -> Tree:
        """The files by name, size and digest."""

    @property
    def data(self) -> Sequence[bytes | Path]:
        """For each file of the tree, its bytes or where they are."""

    def check(self) -> None:
        """Refuse, by raising, if what was stored may not be what the tree says."""


@dataclass(frozen=True)
class Place:
    """Where the checkpoints of an attempt's node are, and whose it believes.

    Args:
        attempt: The attempt.
        earlier: Tokens of the earlier attempts of its node, oldest first.
        sources: Folders of the same node in the executions that this one recovers, the nearest first.
    """

    attempt: AttemptId
    earlier: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Return the folder of the node's checkpoints."""
        return keys.checkpoints(self.attempt.execution, self.attempt.node)


@dataclass(frozen=True)
class Saved:
    """A complete generation in the store."""

    folder: str
    generation: Generation

    @property
    def parts(self) -> list[str]:
        """Return the keys of its files, in the order of its tree."""
        return [_part(self.folder, number) for number in range(len(self.generation.parts.files))]


@dataclass
class _Listed:
    """A generation as a listing shows it."""

    folder: str
    number: int
    token: str
    objects: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return f"{self.folder}/{COMPLETE}" in self.objects


class Generations:
    """The checkpoints of one node, as one attempt sees them. Not for several threads at once.

    Args:
        blobs: The store.
        place: Where they are.
    """

    def __init__(self, blobs: BlobStore, place: Place) -> None:
        self._blobs = blobs
        self._place = place
        self._ranks = {token: i for i, token in enumerate((*place.earlier, place.attempt.token))}
        self._mine: list[Saved] = []
        self._listed: list[_Listed] | None = None
        self._last = 0

    def found(self) -> list[Saved]:
        """Return what may be restored, best first: the node's own, newest first, then those of the sources.

        What was saved by this object is not among it: that is not what its attempt began with. A later attempt goes before
        an earlier one, whatever the numbers: an attempt that was given up and lives on may save further, and its numbers
        grow too. Attempts that are not of this node's line are not believed.

        Raises:
            StorageError: If the store did not answer.
        """
        mine = {saved.folder for saved in self._mine}
        own = [each for each in self._line() if each.folder not in mine]
        found = [saved for each in own if (saved := self._read(each)) is not None]
        for source in self._place.sources:
            theirs = [saved for each in self._list(source) if each.complete and (saved := self._read(each))]
            found += sorted(
                theirs, key=lambda s: (s.generation.attempt.number, s.generation.number), reverse=True
            )
        return found

    def save(self, contents: Contents, step: int | None = None, tag: str = "") -> Saved:
        """Store a new generation; when this returns it is there for good, and old ones have been deleted.

        Args:
            contents: What is to be stored.
            step: How far the task is.
            tag: The task's own word for the shape of it.

        Raises:
            StorageError: If the store did not take it, after some tries; what was saved before is still there.
            UserCodeError: What the check of the contents says.
        """
        if self._listed is None:
            self._look()
        self._last += 1
        attempt = self._place.attempt
        folder = f"{self._place.folder}/gen-{self._last:08d}-{attempt.token}"
        generation = Generation(
            number=self._last,
            attempt=attempt,
            parts=contents.tree,
            step=step,
            tag=tag,
            saved_at=datetime.now(UTC),
        )
        try:
            self._store(folder, contents, generation)
        except Exception:
            # A full disk must not become fuller with each try.
            parts = [_part(folder, number) for number in range(len(contents.data))]
            self._delete(_Listed(folder, 0, "", [f"{folder}/{COMPLETE}", *parts]))
            raise
        saved = Saved(folder, generation)
        self._mine.append(saved)
        buggify("checkpoint.confirmed")
        self._delete_older()
        return saved

    def _store(self, folder: str, contents: Contents, generation: Generation) -> None:
        buggify("checkpoint.begin")
        for number, data in enumerate(contents.data):
            buggify("checkpoint.part")
            _tried(partial(self._blobs.put, _part(folder, number), data))
        contents.check()
        buggify("checkpoint.parts")
        # Its bytes are this attempt's alone. So SAME is an answer that was lost, and CONFLICT cannot be.
        outcome = _tried(lambda: self._blobs.put_new(f"{folder}/{COMPLETE}", canonical_bytes(generation)))
        buggify("checkpoint.complete")
        if outcome is Put.CONFLICT:
            raise StorageError(
                f"{folder}/{COMPLETE} was written by somebody else; nobody else has its token."
            )

    def fetch(self, saved: Saved, target: Path) -> None:
        """Copy the files of a generation into a folder, which is made.

        Raises:
            CorruptBlob: If it is not whole any more.
            StorageError: If the store did not answer.
        """
        target.mkdir(parents=True, exist_ok=True)
        tree = saved.generation.parts
        for folder in tree.folders:
            (target / folder).mkdir(parents=True, exist_ok=True)
        for key, file in zip(saved.parts, tree.files, strict=True):
            path = target / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            if not _tried(partial(self._blobs.fetch, key, path, file.sha256)):
                raise CorruptBlob(f"{key}, a part of a checkpoint, is gone.")
            path.chmod(0o755 if file.executable else 0o644)

    def is_whole(self, saved: Saved) -> bool:
        """Return whether all files of a generation are there, with their sizes; their bytes are not read."""
        found = {info.key: info.size for info in _tried(lambda: list(self._blobs.list(saved.folder)))}
        files = saved.generation.parts.files
        return all(found.get(key) == file.size for key, file in zip(saved.parts, files, strict=True))

    def tidy(self, kept: int) -> None:
        """Delete all generations of this node but the newest ones, once the node has succeeded.

        Args:
            kept: How many stay.

        Raises:
            StorageError: If the store did not answer.
        """
        newest = {each.folder for each in self._line()[:kept]}
        for each in self._listed or []:
            if each.folder not in newest:
                self._delete(each)

    def _line(self) -> list[_Listed]:
        """List anew, and return the complete generations of this node's line of attempts, newest first."""
        found = [each for each in self._look() if each.complete and each.token in self._ranks]
        return sorted(found, key=lambda each: (self._ranks[each.token], each.number), reverse=True)

    def _look(self) -> list[_Listed]:
        self._listed = self._list(self._place.folder)
        self._last = max([self._last, *(each.number for each in self._listed)])
        return self._listed

    def _list(self, folder: str) -> list[_Listed]:
        found: dict[str, _Listed] = {}
        for info in _tried(lambda: list(self._blobs.list(folder))):
            name, _, _ = info.key[len(folder) + 1 :].partition("/")
            matched = _NAME.fullmatch(name)
            if matched is not None:
                listed = found.setdefault(name, _Listed(f"{folder}/{name}", int(matched[1]), matched[2]))
                listed.objects.append(info.key)
        return list(found.values())

    def _read(self, listed: _Listed) -> Saved | None:
        """Return a generation, or None if it was deleted meanwhile or its document is damaged."""
        key = f"{listed.folder}/{COMPLETE}"
        data = _tried(lambda: self._blobs.get(key, max_bytes=_MAX_COMPLETE_BYTES))
        try:
            generation = Generation.read(data) if data is not None else None
        except UnsupportedSpec:
            return None
        if generation is None or (generation.number, generation.attempt.token) != (
            listed.number,
            listed.token,
        ):
            return None
        return Saved(listed.folder, generation)

    def _delete_older(self) -> None:
        """Delete what newer generations of this attempt replace; what cannot be deleted now is tried the next time.

        Only what is of this attempt or an earlier one: a later one, if this attempt was given up without knowing it, goes
        its own way. What this attempt began with stays while it may still be asked for.
        """
        while len(self._mine) > KEPT:
            saved = self._mine.pop(0)
            self._delete(_Listed(saved.folder, 0, "", [f"{saved.folder}/{COMPLETE}", *saved.parts]))
        mine = {saved.folder for saved in self._mine}
        before = [e for e in self._listed or [] if e.token in self._ranks and e.folder not in mine]
        before.sort(key=lambda each: (each.complete, self._ranks[each.token], each.number), reverse=True)
        for each in before[1:] if len(self._mine) >= KEPT else []:
            if self._delete(each) and self._listed is not None:
                self._listed.remove(each)

    def _delete(self, listed: _Listed) -> bool:
        # COMPLETE first: from then on it is no generation any more, only rubbish.
        try:
            for key in sorted(listed.objects, key=lambda key: not key.endswith(COMPLETE)):
                self._blobs.delete(key)
                buggify("checkpoint.delete")
        except StorageError:
            return False
        return True


def _part(folder: str, number: int) -> str:
    return f"{folder}/part-{number:06d}"


def _tried(action: Callable[[], T]) -> T:
    """Do something with the store, again if it fails; damage is not a failure, and stays."""
    for number in range(_TRIES):
        if number:
            time.sleep(_PAUSE_S * 4 ** (number - 1))
        try:
            return action()
        except CorruptBlob:
            raise
        except StorageError:
            if number == _TRIES - 1:
                raise
    raise AssertionError("unreachable")  # pragma: no cover
