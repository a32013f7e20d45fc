"""Row 8 of the fault matrix: PostgreSQL commits, and nobody hears of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from flyte_temporal.adapters.store import connection, upgrade
from flyte_temporal.adapters.store.sql import SqlMetadataStore
from flyte_temporal.adapters.store.transactions import reading
from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.spec.calls import RecordRequest
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase
from tests.contract.databases import new_database
from tests.contract.test_catalog import KEY, entry, lease, owner
from tests.contract.test_metadata_store import T0, a_node, a_request, eid
from tests.proxies import LossyPipe, lossy_pipe

pytestmark = pytest.mark.postgres

SOCKET = ".s.PGSQL.5432"


@pytest.fixture
def pipe(postgres_url: str) -> Iterator[LossyPipe]:
    server = postgres_url.partition("host=")[2]
    with (
        tempfile.TemporaryDirectory(prefix="ft-pipe-") as folder,
        lossy_pipe(f"{folder}/{SOCKET}", f"{server}/{SOCKET}") as pipe,
    ):
        yield pipe


@pytest.fixture
def store(postgres_url: str, pipe: LossyPipe) -> Iterator[SqlMetadataStore]:
    address = new_database(postgres_url).partition("host=")[0]
    store = SqlMetadataStore(f"{address}host={Path(str(pipe.server_address)).parent}")
    store.upgrade()
    yield store
    store.close()


@pytest.mark.row(8)
def test_the_same_request_again_changes_nothing(store: SqlMetadataStore, pipe: LossyPipe) -> None:
    pipe.lose = 1
    with pytest.raises(PlatformUnavailable, match="did not answer"):
        store.create_execution(a_request(), T0)
    assert pipe.lost == 1
    made = store.create_execution(a_request(), T0.replace(year=2030))
    assert made.created_at == T0, "the first one was committed"
    assert len(store.executions("default", "development")) == 1


@pytest.mark.row(8)
def test_records_written_twice_are_written_once(store: SqlMetadataStore, pipe: LossyPipe) -> None:
    store.create_execution(a_request(), T0)
    ended = a_node(NodePhase.SUCCEEDED, finished_at=T0)
    change = RecordRequest(execution=eid(), nodes=(ended,), phase=ExecutionPhase.SUCCEEDED, at=T0)
    pipe.lose = 1
    with pytest.raises(PlatformUnavailable):
        store.record(change)
    once = store.execution(eid()), store.nodes(eid())
    store.record(change)
    assert (store.execution(eid()), store.nodes(eid())) == once
    assert [node.phase for node in once[1]] == [NodePhase.SUCCEEDED]


@pytest.mark.row(8)
def test_a_lease_whose_grant_was_not_heard_of_is_its_owners(store: SqlMetadataStore, pipe: LossyPipe) -> None:
    catalog = store.catalog
    pipe.lose = 1
    with pytest.raises(PlatformUnavailable):
        catalog.reserve([KEY], [owner("run-1")], 60)
    (mine,) = catalog.reserve([KEY], [owner("run-1")], 60)
    (theirs,) = catalog.reserve([KEY], [owner("run-2")], 60)
    assert (mine.token > 0, theirs.token) == (True, 0)
    pipe.lose = 1
    held = lease("run-1", mine.token)
    with pytest.raises(PlatformUnavailable):
        catalog.put([(entry(execution="run-1"), held)])
    # Its lease ended with the commit that it did not hear of; what is there is its own.
    catalog.put([(entry(execution="run-1"), held)])
    assert catalog.find([KEY])[KEY].execution == "run-1"


@pytest.mark.row(8)
def test_a_statement_that_takes_too_long_or_waits_for_a_lock_too_long_is_given_up(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_STATEMENTS", {"statement_timeout": "30s", "lock_timeout": "100ms"})
    store = SqlMetadataStore(new_database(postgres_url))
    store.upgrade()
    store.create_execution(a_request(), T0)
    change = RecordRequest(execution=eid(), phase=ExecutionPhase.RUNNING, at=T0)
    with store._engine.connect() as other, other.begin():
        other.exec_driver_sql("SELECT 1 FROM executions FOR UPDATE")
        with pytest.raises(PlatformUnavailable, match="lock timeout"):
            store.record(change)
        assert other.exec_driver_sql("SHOW statement_timeout").scalar_one() == "30s"
    assert store.record(change)
    store.close()


def test_what_the_address_or_the_role_says_of_time_outs_wins(postgres_url: str) -> None:
    address = new_database(postgres_url)
    store = SqlMetadataStore(f"{address}&options=-c%20lock_timeout%3D1234")
    with store._engine.begin() as other:
        assert other.exec_driver_sql("SHOW lock_timeout").scalar_one() == "1234ms"
        assert other.exec_driver_sql("SHOW statement_timeout").scalar_one() == "30s"
    store.close()


def test_migrations_take_as_long_as_they_take(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_STATEMENTS", {"statement_timeout": "100ms", "lock_timeout": "50ms"})
    store = SqlMetadataStore(new_database(postgres_url))
    plain = upgrade.migrate

    def slow(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT pg_sleep(0.3)")
        plain(connection)

    monkeypatch.setattr(upgrade, "migrate", slow)
    store.upgrade()
    with pytest.raises(PlatformUnavailable, match="statement timeout"), reading(store._engine) as after:
        after.exec_driver_sql("SELECT pg_sleep(0.3)")
    store.close()
