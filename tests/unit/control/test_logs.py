"""What is read of logs: lines that are whole, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterator

from flyte_temporal.control.logs import Tail
from flyte_temporal.ports.blob_store import BlobInfo
from flyte_temporal.spec import keys
from flyte_temporal.spec.execution import NodePhase, NodeRecord
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.testing.blobs import MemoryBlobStore

RUN = ExecutionId(project="default", domain="development", name="run-1")


class CountingBlobStore(MemoryBlobStore):
    """Notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def get(self, key: str, sha256: str | None = None, max_bytes: int | None = None) -> bytes | None:
        self.asked.append(f"get {key}")
        return super().get(key, sha256, max_bytes)

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        self.asked.append(f"list {prefix}")
        return super().list(prefix)

    def print(self, text: str, chunk: int, node: str = "n0", number: int = 1) -> None:
        self.put(keys.log_chunk(key(node, number), chunk), text.encode())


def key(node: str = "n0", number: int = 1) -> str:
    return AttemptId(execution=RUN, node=node, number=number, token="t").key


def record(phase: NodePhase = NodePhase.RUNNING, node: str = "n0", attempts: int = 1) -> NodeRecord:
    return NodeRecord(
        id=node, name="f", kind="task", phase=phase, attempts=attempts, attempt_key=key(node, attempts)
    )


def looked(tail: Tail, *nodes: NodeRecord, over: bool = False) -> list[str]:
    return [f"{line.node}#{line.attempt} {line.text}" for line in tail.look(nodes, over=over)]


def test_a_line_that_a_chunk_cuts_is_given_once_and_whole() -> None:
    blobs = CountingBlobStore()
    tail = Tail(blobs, RUN)
    blobs.print("start\nprog 4", 0)
    assert looked(tail, record()) == ["n0#1 start"]
    # However often it is looked before the rest of the line comes.
    assert looked(tail, record()) == []
    blobs.print("2%\nnext\n", 1)
    assert looked(tail, record()) == ["n0#1 prog 42%", "n0#1 next"]
    assert looked(tail, record(), over=True) == []


def test_a_last_line_without_an_end_is_given_when_its_attempt_or_node_has_ended() -> None:
    blobs = CountingBlobStore()
    tail = Tail(blobs, RUN)
    blobs.print("Killed", 0)
    assert looked(tail, record()) == []
    blobs.print("again", 0, number=2)
    assert looked(tail, record(attempts=2)) == ["n0#1 Killed"]
    assert looked(tail, record(NodePhase.FAILED, attempts=2)) == ["n0#2 again"]
    assert looked(tail, record(NodePhase.FAILED, attempts=2), over=True) == []


def test_a_look_asks_only_for_what_comes_next_of_what_is_at_work() -> None:
    blobs = CountingBlobStore()
    tail = Tail(blobs, RUN)
    blobs.print("a\n", 0)
    blobs.print("b\n", 1)
    blobs.print("done\n", 0, node="n1")
    ended = [
        record(NodePhase.SUCCEEDED, "n1"),
        NodeRecord(id="n2", name="f", kind="task", phase=NodePhase.QUEUED),
    ]
    assert looked(tail, record(), *ended) == ["n0#1 a", "n0#1 b", "n1#1 done"]
    blobs.asked.clear()
    assert looked(tail, record(), *ended) == []
    assert blobs.asked == [f"get {keys.log_chunk(key(), 2)}"]
    assert [tail.finished(node) for node in ended] == [True, False]


def test_what_an_attempt_leaves_while_the_next_one_begins_is_not_lost() -> None:
    blobs = CountingBlobStore()
    tail = Tail(blobs, RUN)
    blobs.print("one\n", 0)
    looked(tail, record())
    blobs.print("two\n", 0, number=2)
    assert looked(tail, record(attempts=2)) == ["n0#2 two"]
    blobs.print("buried\n", 1)
    assert looked(tail, record(attempts=2)) == ["n0#1 buried"]
    # Of many attempts only the last two are asked about.
    looked(tail, record(attempts=3))
    blobs.asked.clear()
    looked(tail, record(attempts=3))
    assert [asked for asked in blobs.asked if key(number=1) in asked] == []


def test_one_attempt_of_each_node() -> None:
    blobs = CountingBlobStore()
    blobs.print("one\n", 0)
    blobs.print("two\n", 0, number=2)
    assert looked(Tail(blobs, RUN, 1), record(attempts=2), over=True) == ["n0#1 one"]


def test_a_node_that_was_recovered_has_the_log_of_then() -> None:
    blobs = CountingBlobStore()
    blobs.print("then\n", 0, number=2)
    node = record(NodePhase.RECOVERED, attempts=2).model_copy(update={"attempts": 0})
    tail = Tail(blobs, RUN)
    assert looked(tail, node) == ["n0#2 then"]
    assert looked(tail, node) == []
