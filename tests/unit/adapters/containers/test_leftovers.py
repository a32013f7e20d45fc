"""What is removed of dead workers' containers and of the notes about them, by an engine that is a table."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.adapters.launchers.containers.engine import Container, ContainerEngine
from flyte_temporal.adapters.launchers.containers.leftovers import sweep
from flyte_temporal.adapters.launchers.containers.places import SUFFIX, Places, Stage
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.storage.blobs import open_store

DAY_S = 24 * 3600.0
EXECUTION = ExecutionId(project="p", domain="d", name="e")


class Table(ContainerEngine):
    """An engine whose containers stand in a table."""

    def __init__(self, **containers: Container) -> None:
        super().__init__("podman", podman=True)
        self.containers = containers

    async def names(self, label: str) -> list[str]:
        assert label == "of=this"
        return list(self.containers)

    async def inspect(self, name: str) -> Container | None:
        return self.containers.get(name)

    async def remove(self, name: str) -> None:
        self.containers.pop(name, None)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "containers", "podman")


@pytest.fixture
def storage(tmp_path: Path) -> StorageConfig:
    return StorageConfig(root=(tmp_path / "store").as_uri())


@pytest.fixture
def store(storage: StorageConfig) -> BlobStore:
    return open_store(storage)


def attempt(node: str = "n0") -> AttemptId:
    return AttemptId(execution=EXECUTION, node=node, number=1, token="t")


def aged(places: Places, name: str, days: float) -> None:
    then = time.time() - days * DAY_S
    os.utime(places.folder / f"{name}{SUFFIX}", (then, then))


def left(places: Places, storage: StorageConfig, name: str, days: float, stage: Stage = Stage.BEGUN) -> None:
    """Leave all that there may be of an attempt."""
    with places.locked(name, attempt(), storage) as place:
        assert place is not None
        place.write(stage)
    places.data(name).outputs.mkdir(parents=True)
    places.pid_file(name).touch()
    aged(places, name, days)


def ended(days: float, **more: Any) -> Container:
    return Container(
        "exited", finished_at=datetime.now(UTC) - timedelta(days=days), attempt=attempt().key, **more
    )


async def swept(engine: Table, places: Places, store: BlobStore, known: str = "nobody's") -> list[str]:
    """Return the names of which something is left after a sweep."""
    await sweep(engine, places, "of=this", store, known.__eq__)
    return sorted({path.name.split(".")[0] for path in places.folder.iterdir()})


@pytest.mark.parametrize("stage", [Stage.NEVER, Stage.BEGUN])
async def test_old_notes_without_a_container_are_removed(
    places: Places, storage: StorageConfig, store: BlobStore, stage: Stage
) -> None:
    left(places, storage, "old", 31, stage)
    left(places, storage, "young", 29, stage)
    assert await swept(Table(), places, store) == ["young"]


async def test_half_a_note_and_an_empty_one_too(places: Places, store: BlobStore) -> None:
    for name, text in {"half": '{"program": "pod', "empty": ""}.items():
        (places.folder / f"{name}{SUFFIX}").write_text(text)
        aged(places, name, 31)
    assert await swept(Table(), places, store) == []


async def test_a_note_of_what_may_still_be_asked_for_stays(
    places: Places, storage: StorageConfig, store: BlobStore
) -> None:
    left(places, storage, "runs", 31)
    left(Places(places.folder, "docker"), storage, "other", 31)
    assert await swept(Table(runs=Container("running", attempt="a")), places, store) == ["other", "runs"]
    assert await swept(Table(), places, store, known=attempt().key) == ["other", "runs"]
    with held(places, "runs"):
        assert await swept(Table(), places, store) == ["other", "runs"]
    assert await swept(Table(), places, store) == ["other"]


@contextmanager
def held(places: Places, name: str) -> Iterator[None]:
    """Hold a lock, as the monitor of a container does that the engine does not list, for the length of the block."""
    with places.locked(name, attempt(), StorageConfig(root="file:///")) as place:
        assert place is not None
        yield


@pytest.mark.parametrize(("days", "stays"), [(29, ["box"]), (31, [])])
async def test_what_ended_without_a_result_is_kept_for_a_month(
    places: Places, storage: StorageConfig, store: BlobStore, days: float, stays: list[str]
) -> None:
    left(places, storage, "box", days)
    engine = Table(box=ended(days, exit_code=-1))
    assert await swept(engine, places, store) == stays
    assert list(engine.containers) == stays
