"""What tasks printed, line by line, from the blob store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from itertools import islice

from flyte_temporal.control.documents import LogLine, LogNews
from flyte_temporal.errors import NotFound
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.execution import NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.storage.logs import read_log

_BATCH = 200
"""Lines that are read in one go, in a thread."""

Attempts = list[tuple[int, str]]
"""Number and key of each attempt of a node that left something, in order."""


def with_attempt(nodes: Sequence[NodeRecord], attempt: int) -> list[NodeRecord]:
    """Return those of some nodes that have had an attempt of this number.

    Raises:
        NotFound: If none has.
    """
    chosen = [node for node in nodes if 1 <= attempt <= node.attempts]
    if not chosen:
        most = max((node.attempts for node in nodes), default=0)
        raise NotFound(f"There is no attempt {attempt}; the last one has the number {most}.")
    return chosen


async def in_batches(lines: Iterator[LogLine]) -> AsyncGenerator[LogNews, None]:
    """Yield lines that only a thread may ask for, many at a time."""
    while batch := await asyncio.to_thread(lambda: tuple(islice(lines, _BATCH))):
        yield LogNews(lines=batch)


class Tail:
    """What the attempts of an execution have printed since it was last looked.

    A look costs one request for each attempt at work, whatever its length and the number of attempts before it: what was
    read is not read again, and a node whose end was seen is not asked about any more. Synchronous; callers use threads.

    Args:
        blobs: The blob store.
        execution: The execution.
        attempt: Number of the one attempt of each node that is wanted; None = all.
    """

    def __init__(self, blobs: BlobStore, execution: ExecutionId, attempt: int | None = None) -> None:
        self._blobs = blobs
        self._execution = execution
        self._attempt = attempt
        self._readings: dict[str, _Reading] = {}
        self._found: dict[str, tuple[tuple[int, str], Attempts]] = {}
        self._closed: dict[str, int] = {}

    def finished(self, node: NodeRecord) -> bool:
        """Return whether a node has ended, and all that it printed was given."""
        return node.phase.terminal and self._closed.get(node.id, -1) >= node.attempts

    def look(self, nodes: Iterable[NodeRecord], *, over: bool = False) -> Iterator[LogLine]:
        """Yield what was added, node by node, attempt by attempt; a line when its end is there, or its attempt's is.

        Args:
            nodes: The nodes as they are recorded now, in order.
            over: Whether nothing more will come, whatever the records say.
        """
        for node in nodes:
            if not self.finished(node):
                yield from self._of(node, ended=over or node.phase.terminal)

    def _of(self, node: NodeRecord, *, ended: bool) -> Iterator[LogLine]:
        closed = self._closed.get(node.id, -1)
        attempts = [(number, key) for number, key in self._attempts(node) if number > closed]
        for number, key in attempts:
            if self._attempt not in {None, number}:
                continue
            reading = self._readings.setdefault(key, _Reading(self._blobs, key))
            for text in reading.lines(last=ended or number < node.attempts):
                yield LogLine(node=node.id, attempt=number, text=text)
        # The one before the newest is still read: whoever buries an attempt may have its last words to store.
        upto = node.attempts if ended else node.attempts - 2
        for number, key in attempts:
            if ended or number <= upto:
                self._readings.pop(key, None)
        if ended:
            self._found.pop(node.id, None)
        self._closed[node.id] = upto

    def _attempts(self, node: NodeRecord) -> Attempts:
        """Return the attempts of a node; they are listed only when there are others than at the last look."""
        known = (node.attempts, node.attempt_key)
        before, found = self._found.get(node.id, (None, []))
        if known != before or max((number for number, _ in found), default=0) < node.attempts:
            found = _listed(self._blobs, self._execution, node)
            self._found[node.id] = (known, found)
        return found


class _Reading:
    """How far the log of an attempt has been read: by lines, while it is stored in chunks that end anywhere."""

    def __init__(self, blobs: BlobStore, key: str) -> None:
        self._blobs = blobs
        self._key = key
        self._chunks = 0
        self._rest = b""

    def lines(self, *, last: bool) -> Iterator[str]:
        """Yield the lines whose end has come since; with `last`, also what stands after the last one's end."""
        # A chunk may end within a character, too: lines are cut from bytes.
        for chunk in read_log(self._blobs, self._key, self._chunks):
            self._chunks += 1
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in whole)
        if last and self._rest:
            text, self._rest = self._rest.decode("utf-8", "replace"), b""
            yield text


def _listed(blobs: BlobStore, execution: ExecutionId, node: NodeRecord) -> Attempts:
    if not node.attempts and not node.attempt_key:
        return []
    prefix = keys.attempts_prefix(execution, node.id)
    found = {f"{prefix}/{info.key[len(prefix) + 1 :].split('/', 1)[0]}" for info in blobs.list(f"{prefix}/")}
    if node.attempt_key:
        found.add(node.attempt_key)
    return sorted(
        (int(number), key) for key in found if (number := key.rpartition("/")[2].split("-")[0]).isdigit()
    )
