"""What tasks printed, line by line, from the blob store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from flyte_temporal.control.documents import LogLine
from flyte_temporal.errors import NotFound
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.execution import NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.storage.logs import read_log


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


def lines(
    blobs: BlobStore, execution: ExecutionId, nodes: Iterable[NodeRecord], attempt: int | None = None
) -> Iterator[LogLine]:
    """Yield what the attempts of some nodes printed, node by node, attempt by attempt.

    Args:
        blobs: The blob store.
        execution: The execution.
        nodes: The nodes, in order.
        attempt: Number of the one attempt that is wanted; None = all.
    """
    for node in nodes:
        for number, key in _attempts(blobs, execution, node):
            if attempt not in {None, number}:
                continue
            for text in _lines(read_log(blobs, key)):
                yield LogLine(node=node.id, attempt=number, text=text)


def _attempts(blobs: BlobStore, execution: ExecutionId, node: NodeRecord) -> list[tuple[int, str]]:
    """Return number and key of each attempt that left something, in order."""
    if not node.attempts and not node.attempt_key:
        return []
    prefix = keys.attempts_prefix(execution, node.id)
    found = {f"{prefix}/{info.key[len(prefix) + 1 :].split('/', 1)[0]}" for info in blobs.list(f"{prefix}/")}
    if node.attempt_key:
        found.add(node.attempt_key)
    numbered = [
        (int(number), key) for key in found if (number := key.rpartition("/")[2].split("-")[0]).isdigit()
    ]
    return sorted(numbered)


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    # Chunks end anywhere, also within a character: lines are cut from bytes.
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in whole)
    if rest:
        yield rest.decode("utf-8", "replace")
