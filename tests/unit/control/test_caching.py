"""Making room in the cache, on the catalog in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from flyte_temporal.control.caching import Caching
from flyte_temporal.control.documents import CacheSweep
from flyte_temporal.errors import BadRequest, NotFound
from flyte_temporal.spec.cache import LEASE_KEPT_S, CacheEntry, EntryFilter, EntryUse, LeaseOwner
from flyte_temporal.spec.literals import Inline
from flyte_temporal.testing.catalog import MemoryCatalog

T0 = datetime(2026, 1, 31, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MANY = 1_234
OLD_LEASE, LEASE = "a" * 64, "b" * 64


class FixedClock:
    def now(self) -> datetime:
        return T0


class Watched(MemoryCatalog):
    """Notes how much is asked for at once."""

    def __init__(self) -> None:
        super().__init__()
        self.whole: list[int] = []
        self.at_once: list[int] = []

    def find(self, keys: Collection[str]) -> dict[str, CacheEntry]:
        self.whole.append(len(keys))
        return super().find(keys)

    def entries(self, wanted: EntryFilter) -> list[CacheEntry]:
        found = super().entries(wanted)
        self.whole.append(len(found))
        return found

    def uses(self, wanted: EntryFilter, after: EntryUse | None = None) -> list[EntryUse]:
        found = super().uses(wanted, after)
        self.at_once.append(len(found))
        return found

    def drop(self, entries: Sequence[CacheEntry | EntryUse]) -> int:
        self.at_once.append(len(entries))
        return super().drop(entries)

    def numbers(self, project: str = "default") -> list[int]:
        wanted = EntryFilter(project=project, domain="development")
        return [int(each.key, 16) for each in super().entries(wanted)]

    def next_tokens(self) -> list[int]:
        """Return the tokens of the next leases: 1 for a key of which nothing is known any more."""
        owners = [LeaseOwner(execution="later", node="n0")] * 2
        return [each.token for each in self.reserve([OLD_LEASE, LEASE], owners, 60)]


@pytest.fixture
def catalog() -> Watched:
    """`MANY` entries of 10 bytes, of which the one with number n was hit n minutes ago, and two leases that ended."""
    made = Watched()
    made.put([(entry(n), None) for n in range(MANY)])
    made.put([(entry(MANY, project="other"), None)])
    made.reserve([OLD_LEASE], [LeaseOwner(execution="run-1", node="n0")], -LEASE_KEPT_S - 60)
    made.reserve([LEASE], [LeaseOwner(execution="run-1", node="n0")], 0)
    return made


def entry(number: int, project: str = "default") -> CacheEntry:
    return CacheEntry(
        key=f"{number:064x}",
        project=project,
        domain="development",
        task="pipeline.fit",
        version="1",
        interface="c" * 64,
        inputs="d" * 64,
        outputs={"o0": Inline(value=number)},
        execution="run-1",
        node="n0",
        attempt_key=f"attempts/{number}",
        size=10,
        created_at=T0 - timedelta(days=365),
        last_used_at=T0 - number * MINUTE,
    )


async def collect(
    catalog: Watched, unused: timedelta | None = None, most_bytes: int | None = None, *, dry_run: bool = False
) -> CacheSweep:
    unused_s = None if unused is None else unused.total_seconds()
    return await Caching(catalog, FixedClock()).collect(
        "default", "development", unused_s=unused_s, most_bytes=most_bytes, dry_run=dry_run
    )


@pytest.mark.parametrize(
    ("unused", "most_bytes", "left"),
    [
        (1_000 * MINUTE, None, 1_001),
        (None, 7_005, 700),
        (1_000 * MINUTE, 7_000, 700),
        (600 * MINUTE, 7_000, 601),
        (None, 0, 0),
        (None, MANY * 10, MANY),
    ],
)
async def test_what_was_hit_longest_ago_goes(
    catalog: Watched, unused: timedelta | None, most_bytes: int | None, left: int
) -> None:
    rehearsed = await collect(catalog, unused, most_bytes, dry_run=True)
    assert catalog.numbers() == list(range(MANY))
    swept = await collect(catalog, unused, most_bytes)
    assert swept == rehearsed.model_copy(update={"dry_run": False})
    assert (swept.removed, swept.removed_bytes) == (MANY - left, (MANY - left) * 10)
    assert (swept.left, swept.left_bytes) == (left, left * 10)
    assert swept.entries == tuple(entry(n) for n in range(left, MANY))[:200]
    assert catalog.numbers() == list(range(left))
    assert catalog.numbers("other") == [MANY]


async def test_a_page_is_in_memory_and_whole_entries_only_of_those_that_are_named(catalog: Watched) -> None:
    await collect(catalog, most_bytes=3_000)
    assert max(catalog.at_once) == 500
    assert sum(catalog.whole) == 200


async def test_what_is_left_of_old_leases_goes_also_when_no_entry_does(catalog: Watched) -> None:
    assert (await collect(catalog, MANY * MINUTE)).removed == 0
    assert catalog.next_tokens() == [1, 2]


async def test_a_dry_run_leaves_leases(catalog: Watched) -> None:
    await collect(catalog, MINUTE, dry_run=True)
    assert catalog.next_tokens() == [2, 2]


async def test_a_collection_without_a_bound_is_refused(catalog: Watched) -> None:
    with pytest.raises(BadRequest, match="--max-size"):
        await collect(catalog)


@pytest.mark.parametrize("dry_run", [True, False])
async def test_entries_of_a_task_are_removed_and_the_first_are_named(catalog: Watched, dry_run: bool) -> None:
    wanted = EntryFilter(project="default", domain="development", task="fit")
    swept = await Caching(catalog, FixedClock()).remove(wanted, dry_run=dry_run)
    assert (swept.removed, swept.removed_bytes, swept.dry_run) == (MANY, MANY * 10, dry_run)
    assert swept.entries == tuple(entry(n) for n in range(200))
    assert catalog.numbers() == (list(range(MANY)) if dry_run else [])
    assert catalog.numbers("other") == [MANY]
    assert (max(catalog.at_once), sum(catalog.whole)) == (500, 200)


async def test_what_is_hit_while_the_others_are_removed_is_removed_too(
    catalog: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = catalog.drop

    def hit_meanwhile(entries: Sequence[CacheEntry | EntryUse]) -> int:
        catalog.used([f"{MANY - 1:064x}"], T0 + MINUTE)
        return drop(entries)

    monkeypatch.setattr(catalog, "drop", hit_meanwhile)
    wanted = EntryFilter(project="default", domain="development", task="fit")
    assert (await Caching(catalog, FixedClock()).remove(wanted)).removed == MANY
    assert catalog.numbers() == []


async def test_a_beginning_of_a_key_must_mean_one(catalog: Watched) -> None:
    several = EntryFilter(project="default", domain="development", key="0" * 62)
    with pytest.raises(
        BadRequest, match=r"More than 3 keys begin with 0{62}: 0{64}, 0{63}1, 0{63}2\. Write more"
    ):
        await Caching(catalog, FixedClock()).remove(several)
    two = EntryFilter(project="default", domain="development", key=f"{MANY:064x}"[:-1], task="fit")
    assert len(catalog.entries(two)) == 2
    with pytest.raises(BadRequest, match="2 keys begin with"):
        await Caching(catalog, FixedClock()).remove(two)
    assert max(catalog.at_once) <= 4
    whole = EntryFilter(project="default", domain="development", key=f"{7:064x}")
    assert (await Caching(catalog, FixedClock()).remove(whole)).entries == (entry(7),)
    with pytest.raises(NotFound):
        await Caching(catalog, FixedClock()).remove(whole)
