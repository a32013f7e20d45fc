"""The helper that looks at what a fault has left: it has to see what it is there for."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flyte_temporal.adapters.store.sql import SqlMetadataStore
from flyte_temporal.spec.cache import Lease, LeaseOwner
from flyte_temporal.spec.calls import RecordRequest
from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.testing import closures
from flyte_temporal.testing.blobs import MemoryBlobStore
from tests import invariants
from tests.invariants import House

KEY, LEASE_S = "k" * 64, 30.0
OWNER = LeaseOwner(execution="e", node="n0")


@pytest.fixture
def store(tmp_path: Path) -> SqlMetadataStore:
    store = SqlMetadataStore(f"sqlite:///{tmp_path}/metadata.db")
    store.upgrade()
    return store


def broken(store: SqlMetadataStore, phase: ExecutionPhase, tmp_path: Path) -> list[str]:
    """Return what is wrong with an execution that was ended while a node of it had a lease."""
    given = closures.run_input(closures.chain(1), "e", 1)
    store.create_execution(given.request, datetime.now(UTC))
    store.record(RecordRequest(execution=given.request.id, phase=phase, at=datetime.now(UTC)))
    store.catalog.reserve([KEY], [OWNER], LEASE_S)
    record = store.execution(given.request.id)
    assert record is not None
    house = House(tmp_path, f"sqlite:///{tmp_path}/metadata.db", "", MemoryBlobStore(), 3)
    invariants._catalog(house, store, [record])
    store.close()
    return house.broken


def test_who_has_succeeded_holds_no_lease(store: SqlMetadataStore, tmp_path: Path) -> None:
    assert len(broken(store, ExecutionPhase.SUCCEEDED, tmp_path)) == 1


@pytest.mark.parametrize("phase", [ExecutionPhase.FAILED, ExecutionPhase.ABORTED])
@pytest.mark.parametrize("extended", [False, True])
def test_nobody_extends_a_lease_of_an_execution_that_was_stopped(
    store: SqlMetadataStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    phase: ExecutionPhase,
    extended: bool,
) -> None:
    began, slept = time.time(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if extended:
            assert store.catalog.extend(Lease(key=KEY, owner=OWNER, token=1), 3 * LEASE_S)

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "time", lambda: began + sum(slept) + len(slept))
    assert len(broken(store, phase, tmp_path)) == int(extended)
    assert len(slept) == 1
