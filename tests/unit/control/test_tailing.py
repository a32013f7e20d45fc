"""Following logs: what is followed, what is waited for, and when it is over."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from flyte_temporal.config.settings import Settings
from flyte_temporal.control import tailing
from flyte_temporal.control.documents import LogNews, StartRequest
from flyte_temporal.control.tailing import Wanted
from flyte_temporal.control.usecases import Control, Ports
from flyte_temporal.errors import NotFound
from flyte_temporal.ports.clock import SystemClock
from flyte_temporal.spec import keys
from flyte_temporal.spec.calls import RecordRequest
from flyte_temporal.spec.entities import Closure, Root, TaskSpec
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase, NodeRecord
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.spec.listing import ALL, NodeFilter
from flyte_temporal.spec.runs import SHARDED_ORDER
from flyte_temporal.testing.blobs import MemoryBlobStore
from flyte_temporal.testing.catalog import MemoryCatalog
from flyte_temporal.testing.engine import FakeEngine
from flyte_temporal.testing.metadata import MemoryMetadataStore

RUN = ExecutionId(project="default", domain="development", name="run-1")
CLOSURE = Closure(root=Root(kind="task", name="m.double"), tasks={"m.double": TaskSpec(name="m.double")})


class CountingStore(MemoryMetadataStore):
    """Counts how often nodes are asked for, and items of maps in shards."""

    looks = 0
    paged = 0

    def nodes(self, execution: ExecutionId, wanted: NodeFilter = ALL) -> list[NodeRecord]:
        self.looks += wanted.in_shards is False
        self.paged += bool(wanted.in_shards)
        return super().nodes(execution, wanted)


@dataclass
class Desk:
    store: CountingStore = field(default_factory=CountingStore)
    blobs: MemoryBlobStore = field(default_factory=MemoryBlobStore)
    news: asyncio.Queue[LogNews] = field(default_factory=asyncio.Queue)

    async def follow(self, node: str | None = None, attempt: int | None = None) -> asyncio.Task[None]:
        """Start an execution, and follow it in the background."""
        control = Control(
            Ports(FakeEngine(), self.store, self.blobs, SystemClock(), MemoryCatalog()), Settings()
        )
        await control.start(StartRequest(closure=CLOSURE, execution_id=RUN.name))

        async def following() -> None:
            async for each in control.follow_logs(Wanted(RUN, node, attempt)):
                await self.news.put(each)

        return asyncio.create_task(following())

    async def text(self) -> list[str]:
        news = await asyncio.wait_for(self.news.get(), 5)
        return [line.text for line in news.lines] or [news.waits]

    def print(self, text: str, chunk: int = 0, node: str = "n0") -> None:
        self.blobs.put(keys.log_chunk(key(node), chunk), text.encode())

    def record(self, phase: NodePhase, node: str = "n0", order: int = 0) -> None:
        made = NodeRecord(
            id=node,
            name="double",
            kind="task",
            phase=phase,
            attempts=1,
            attempt_key=key(node),
            order=order,
        )
        self.store.record_nodes(RUN, [made])

    def end(self) -> None:
        end = RecordRequest(execution=RUN, phase=ExecutionPhase.FAILED, at=datetime.now(UTC))
        self.store.record(end)


def key(node: str) -> str:
    return AttemptId(execution=RUN, node=node, number=1, token="t").key


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailing, "INTERVAL_S", 0.01)
    monkeypatch.setattr(tailing, "_LONGEST_S", 0.01)


async def test_lines_come_as_they_are_stored_until_the_execution_has_ended() -> None:
    desk = Desk()
    following = await desk.follow()
    desk.print("prog 4")
    desk.record(NodePhase.RUNNING)
    desk.print("2%\nnext\nla", 1)
    assert await desk.text() == ["prog 42%", "next"]
    desk.print("st", 2)
    desk.end()
    assert await desk.text() == ["last"]
    await asyncio.wait_for(following, 5)


async def test_the_end_of_the_node_that_is_asked_for_is_enough() -> None:
    desk = Desk()
    following = await desk.follow("double")
    desk.print("a\n")
    desk.record(NodePhase.SUCCEEDED)
    assert await desk.text() == ["a"]
    await asyncio.wait_for(following, 5)


@pytest.mark.parametrize(("node", "attempt"), [("typo", None), ("n0", 2)])
async def test_what_is_not_there_yet_is_told_once_with_what_there_is(node: str, attempt: int | None) -> None:
    desk = Desk()
    desk.record(NodePhase.RUNNING)
    following = await desk.follow(node, attempt)
    (said,) = await desk.text()
    assert ("n0 (double)" if attempt is None else "last one has the number 1") in said
    assert "waiting for it" in said
    before = desk.store.looks
    async with asyncio.timeout(5):
        while desk.store.looks < before + 3:  # noqa: ASYNC110 - what the follower does is seen, not signalled
            await asyncio.sleep(0.01)
    desk.end()
    with pytest.raises(NotFound):
        await asyncio.wait_for(following, 5)
    assert desk.news.empty()


async def test_a_node_that_comes_later_is_followed() -> None:
    desk = Desk()
    following = await desk.follow("n0[3]")
    assert "waiting" in (await desk.text())[0]
    desk.print("at last\n", node="n0[3]")
    desk.record(NodePhase.SUCCEEDED, "n0[3]", SHARDED_ORDER + 3)
    assert await desk.text() == ["at last"]
    await asyncio.wait_for(following, 5)


async def test_the_items_of_a_map_that_has_ended_are_not_gone_through_again() -> None:
    desk = Desk()
    for i in range(3):
        desk.print(f"item {i}\n", node=f"n0[{i}]")
        desk.record(NodePhase.SUCCEEDED, f"n0[{i}]", SHARDED_ORDER + i)
    array = NodeRecord(id="n0", name="double", kind="array", phase=NodePhase.SUCCEEDED, items=3)
    desk.store.record_nodes(RUN, [array])
    following = await desk.follow()
    assert await desk.text() == ["item 0", "item 1", "item 2"]
    read = desk.store.paged
    desk.print("later\n", node="n1")
    desk.record(NodePhase.RUNNING, "n1", 1)
    assert await desk.text() == ["later"]
    assert desk.store.paged == read
    desk.end()
    await asyncio.wait_for(following, 5)
