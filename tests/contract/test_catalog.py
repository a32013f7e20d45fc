"""What every catalog promises, on the fake, on SQLite and on PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.adapters.store.sql import SqlMetadataStore
from flyte_temporal.ports.catalog import Catalog
from flyte_temporal.spec.cache import (
    FREE_AFTER,
    LEASE_KEPT_S,
    CacheEntry,
    EntryFilter,
    EntryUse,
    Lease,
    LeaseOwner,
    StoredObject,
)
from flyte_temporal.spec.literals import Inline, Offloaded
from flyte_temporal.testing.catalog import MemoryCatalog
from tests.contract.databases import new_database

T0 = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
KEY, OTHER = "a" * 64, "b" * 64
HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    if request.param == "memory":
        yield MemoryCatalog()
        return
    url = f"sqlite:///{tmp_path}/metadata.db"
    if request.param == "postgres":
        url = new_database(request.getfixturevalue("postgres_url"))
    store = SqlMetadataStore(url)
    store.upgrade()
    yield store.catalog
    store.close()


def entry(key: str = KEY, **changes: Any) -> CacheEntry:
    given: dict[str, Any] = {
        "key": key,
        "project": "default",
        "domain": "development",
        "task": "pipeline.fit",
        "version": "1.0",
        "interface": "c" * 64,
        "inputs": "d" * 64,
        "outputs": {"o0": Inline(value="nul \u0000 und ä 🚀"), "o1": Offloaded(key="k", sha256="e", size=9)},
        "outputs_digest": "f" * 64,
        "execution": "run-1",
        "node": "n0",
        "attempt": 2,
        "attempt_key": "attempts/default/development/run-1/n0/2-abc",
        "objects": (StoredObject(key="k", size=9),),
        "size": 40,
        "created_at": T0,
        "last_used_at": T0,
    }
    return CacheEntry(**{**given, **changes})


def owner(execution: str, node: str = "n0") -> LeaseOwner:
    return LeaseOwner(execution=execution, node=node)


def reserve(catalog: Catalog, execution: str, lease_s: float = 60.0) -> Any:
    (got,) = catalog.reserve([KEY], [owner(execution)], lease_s)
    return got


def lease(execution: str, token: int) -> Lease:
    return Lease(key=KEY, owner=owner(execution), token=token)


def test_an_entry_comes_back_as_it_was(catalog: Catalog) -> None:
    big = entry(OTHER, outputs={}, stored=Offloaded(key="blobs/x", sha256="x", size=3))
    assert catalog.put([(entry(), None), (big, None)]) == [True, True]
    assert catalog.find([KEY, OTHER, "z" * 64]) == {KEY: entry(), OTHER: big}
    assert catalog.find([]) == {}


def test_a_later_entry_replaces_an_older_one_and_only_its_own_is_dropped(catalog: Catalog) -> None:
    old, new = entry(), entry(attempt_key="another", created_at=T0 + HOUR)
    catalog.put([(old, None)])
    catalog.put([(new, None)])
    assert catalog.drop([old]) == 0
    assert catalog.find([KEY]) == {KEY: new}
    assert catalog.drop([new]) == 1
    assert catalog.find([KEY]) == {}


def test_entries_are_listed_by_what_is_asked_for(catalog: Catalog) -> None:
    objects = (StoredObject(key="blobs/one", size=1), StoredObject(key="blobs/two", size=22))
    entries = [
        entry("1" * 64, task="a.fit", last_used_at=T0),
        entry("2" * 64, task="b.fit", last_used_at=T0 + HOUR, execution="run-2"),
        entry("3" * 64, task="a.outfit", last_used_at=T0 + 2 * HOUR, objects=objects),
        entry("4" * 64, project="other"),
    ]
    catalog.put([(each, None) for each in entries])

    def listed(**wanted: Any) -> str:
        found = catalog.entries(EntryFilter(project="default", domain="development", **wanted))
        return "".join(each.key[0] for each in found)

    assert listed() == "321"
    assert listed(limit=2) == "32"
    assert listed(task="fit") == "21"
    assert listed(task="a.fit") == "1"
    assert listed(task="f_t") == ""
    assert listed(execution="run-2") == "2"
    assert listed(key="3") == "3"
    assert listed(object="blobs/two") == listed(object="blobs/one") == "3"
    assert listed(object="blobs/tw") == listed(object="lobs/two") == listed(object="blobs/t_o") == ""
    assert listed(unused_since=T0 + HOUR) == "1"
    catalog.used(["1" * 64], T0 + 3 * HOUR)
    assert listed() == "132"


def test_all_entries_are_gone_through_in_pages_in_order_of_use(catalog: Catalog) -> None:
    # Three and four of the same moment, so that pages end between them.
    used = {f"{i:064x}": T0 + HOUR * (i % 2) for i in range(7)}
    catalog.put([(entry(key, last_used_at=at, size=int(key, 16)), None) for key, at in used.items()])
    catalog.put([(entry(OTHER, project="other"), None)])
    wanted = EntryFilter(project="default", domain="development", limit=2)
    first = catalog.uses(wanted)
    assert first[0] == EntryUse(
        key=f"{1:064x}", attempt_key=entry().attempt_key, size=1, created_at=T0, last_used_at=T0 + HOUR
    )
    # What moves to the front or goes while the pages are turned disturbs none of the rest.
    catalog.used([first[0].key], T0 + 2 * HOUR)
    assert catalog.drop(first[1:]) == 1
    sizes, page = [], first
    while page:
        assert len(page) <= 2
        sizes += [use.size for use in page]
        page = catalog.uses(wanted, page[-1])
    assert sizes == [1, 3, 5, 0, 2, 4, 6]
    everything = wanted.model_copy(update={"limit": 0})
    assert [use.key for use in catalog.uses(everything)] == [each.key for each in catalog.entries(everything)]


def test_what_a_page_says_is_enough_to_drop_an_entry(catalog: Catalog) -> None:
    catalog.put([(entry(), None)])
    wanted = EntryFilter(project="default", domain="development", task="fit")
    assert catalog.uses(wanted.model_copy(update={"task": "other"})) == []
    (use,) = catalog.uses(wanted)
    catalog.put([(entry(attempt_key="another"), None)])
    assert catalog.drop([use]) == 0
    assert catalog.drop(catalog.uses(wanted)) == 1
    assert catalog.find([KEY]) == {}


def test_leases_that_ended_long_ago_are_forgotten_with_who_waited(catalog: Catalog) -> None:
    ended, waited, recent, *others = [f"{i:064x}" for i in range(600)]
    catalog.reserve([ended, *others], [owner("run-1")] * (1 + len(others)), -LEASE_KEPT_S - 60)
    catalog.reserve([recent], [owner("run-1")], -LEASE_KEPT_S + 60)
    held = reserve(catalog, "run-1").token
    reserve(catalog, "waits")
    token = catalog.reserve([waited], [owner("run-1")], 60)[0].token
    catalog.reserve([waited], [owner("waits")], 60)
    assert catalog.extend(Lease(key=waited, owner=owner("run-1"), token=token), -LEASE_KEPT_S - 60)

    assert catalog.forget_leases() == 2 + len(others)
    assert catalog.forget_leases() == 0
    assert catalog.extend(lease("run-1", held), 60)
    assert catalog.take_waiting([KEY, waited]) == {"waits": [KEY]}
    again = catalog.reserve([ended, waited, recent], [owner("run-2")] * 3, 60)
    assert [each.token for each in again] == [1, 1, 2]


def test_many_entries_are_found_at_once(catalog: Catalog) -> None:
    keys = [f"{i:064x}" for i in range(1_200)]
    catalog.put([(entry(key), None) for key in keys])
    assert set(catalog.find(keys)) == set(keys)


@pytest.mark.row(40, 9)
def test_one_of_many_that_ask_at_once_gets_the_lease(catalog: Catalog) -> None:
    names = [f"run-{i}" for i in range(40)]
    with ThreadPoolExecutor(20) as pool:
        got = list(pool.map(lambda name: reserve(catalog, name), names))
    (winner,) = [name for name, each in zip(names, got, strict=True) if each.token]
    assert {each.holder for each in got if not each.token} == {owner(winner)}
    assert all(50 < each.again_s <= 60 for each in got if not each.token)
    waiting = catalog.take_waiting([KEY])
    assert waiting == {name: [KEY] for name in names if name != winner}
    assert catalog.take_waiting([KEY]) == {}


def test_a_stored_result_ends_the_lease(catalog: Catalog) -> None:
    token = reserve(catalog, "run-1").token
    assert catalog.put([(entry(), lease("run-1", token))]) == [True]
    assert reserve(catalog, "run-2").token == token + 1


@pytest.mark.row(32)
def test_a_lease_is_extended_and_otherwise_ends_by_the_stores_clock(catalog: Catalog) -> None:
    token = reserve(catalog, "run-1", 0.4).token
    assert catalog.extend(lease("run-1", token), 60)
    assert not reserve(catalog, "run-2").token
    assert catalog.extend(lease("run-1", token), 0.05)
    time.sleep(0.1)
    assert reserve(catalog, "run-2").token == token + 1
    assert not catalog.extend(lease("run-1", token), 60)


def test_a_lease_that_has_run_out_holds_again_if_nobody_has_taken_it(catalog: Catalog) -> None:
    """More nodes may be given leases than may be at work: what waits long for its turn need not be looked up anew."""
    token = reserve(catalog, "run-1", 0.01).token
    time.sleep(0.05)
    assert catalog.extend(lease("run-1", token), 60)
    assert not reserve(catalog, "run-2").token


def test_who_lost_the_lease_stores_nothing_and_frees_nobody(catalog: Catalog) -> None:
    old = lease("run-1", reserve(catalog, "run-1", 0.01).token)
    time.sleep(0.05)
    new = lease("run-2", reserve(catalog, "run-2").token)
    assert catalog.put([(entry(), old), (entry(OTHER), None)]) == [False, True]
    assert catalog.find([KEY]) == {}
    catalog.release([old], failed=True)
    assert reserve(catalog, "run-3").holder == owner("run-2")
    assert catalog.put([(entry(execution="run-2"), new)]) == [True]


def test_an_owner_that_asks_again_fences_off_its_older_self(catalog: Catalog) -> None:
    first, second = reserve(catalog, "run-1").token, reserve(catalog, "run-1").token
    assert second == first + 1
    assert not catalog.extend(lease("run-1", first), 60)
    assert catalog.extend(lease("run-1", second), 60)


def test_after_a_failure_one_is_promoted_and_after_some_all_are_free(catalog: Catalog) -> None:
    for number in range(FREE_AFTER):
        token = reserve(catalog, f"run-{number}").token
        assert token == number + 1
        assert reserve(catalog, "waits").holder == owner(f"run-{number}")
        catalog.release([lease(f"run-{number}", token)], failed=True)
    token = reserve(catalog, "next").token
    assert token
    free = reserve(catalog, "waits")
    assert (free.token, free.holder) == (0, None)
    catalog.put([(entry(), lease("next", token))])
    reserve(catalog, "later")
    assert reserve(catalog, "waits").holder == owner("later")


@pytest.mark.row(9)
def test_writers_of_the_same_keys_in_other_orders_do_not_block_each_other(catalog: Catalog) -> None:
    keys = [f"{i:064x}" for i in range(12)]

    def work(number: int) -> int:
        mine = keys if number % 2 else keys[::-1]
        name = f"run-{number}"
        got = catalog.reserve(mine, [owner(name)] * len(mine), 60)
        held = [(k, each.token) for k, each in zip(mine, got, strict=True) if each.token]
        puts = [(entry(k), Lease(key=k, owner=owner(name), token=token)) for k, token in held]
        return sum(catalog.put(puts))

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(8))) >= len(keys)
    assert set(catalog.find(keys)) == set(keys)
