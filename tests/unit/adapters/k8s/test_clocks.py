"""When an attempt began is told by the worker's clock: the nodes' may be minutes off, and time-outs count from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flyte_temporal.activities.limits import Limits
from flyte_temporal.adapters.launchers.kubernetes import names
from flyte_temporal.adapters.launchers.kubernetes.launcher import KubernetesLauncher
from flyte_temporal.spec.attempt import AttemptOrder, AttemptState
from flyte_temporal.spec.policies import Timeouts
from flyte_temporal.testing.blobs import MemoryBlobStore
from tests.unit.adapters.k8s.made import SOON_S, order_of, until
from tests.unit.adapters.k8s.server import FakeServer, settings_of

BEHIND = timedelta(minutes=-2)
AHEAD = timedelta(minutes=2)


@pytest.fixture
async def launcher(server: FakeServer, tmp_path: Path) -> AsyncIterator[KubernetesLauncher]:
    one = KubernetesLauncher({"default": settings_of(server, tmp_path)}, MemoryBlobStore())
    yield one
    await one.close()


async def running(launcher: KubernetesLauncher, order: AttemptOrder) -> AttemptState:
    state = await launcher.observe(order.attempt)
    while state.started_at is None:
        state = await launcher.observe(order.attempt, 0.02)
    return state


def by_node(skew: timedelta) -> str:
    return (datetime.now(UTC) + skew).isoformat()


@pytest.mark.row(32)
@pytest.mark.parametrize("lost_answers", [0, 1])
@pytest.mark.parametrize("skew", [BEHIND, AHEAD])
async def test_a_pod_that_was_created_here_began_when_it_did_here(
    server: FakeServer, launcher: KubernetesLauncher, skew: timedelta, lost_answers: int
) -> None:
    server.lose_answers = lost_answers
    order, before = order_of(), datetime.now(UTC)
    await launcher.start(order)
    await until(lambda: bool(server.pods()))
    server.running(names.pod_name(order.attempt), by_node(skew))
    state = await running(launcher, order)
    assert state.started_at is not None
    assert before <= state.started_at <= datetime.now(UTC)
    assert not Limits(Timeouts(run_s=60), None, 0).passed(state)


@pytest.mark.row(32)
async def test_a_pod_began_after_the_last_word_that_it_waits(
    server: FakeServer, launcher: KubernetesLauncher
) -> None:
    order = order_of()
    await launcher.start(order)
    await until(lambda: bool(server.pods()))
    waits = {"waiting": {"reason": "ContainerCreating"}}
    before = datetime.now(UTC)
    server.status(names.pod_name(order.attempt), containerStatuses=[{"name": "primary", "state": waits}])
    while "is being made" not in (await launcher.observe(order.attempt, 0.02)).message:
        pass
    server.running(names.pod_name(order.attempt), by_node(BEHIND))
    began = (await running(launcher, order)).started_at
    assert began is not None
    assert began >= before


@pytest.mark.row(32)
async def test_a_pod_that_is_over_when_it_is_first_seen(
    server: FakeServer, launcher: KubernetesLauncher
) -> None:
    order, before = order_of(), datetime.now(UTC)
    await launcher.start(order)
    await until(lambda: bool(server.pods()))
    server.ended(names.pod_name(order.attempt), 1, startedAt=by_node(BEHIND))
    state = await launcher.observe(order.attempt, SOON_S)
    assert state.over
    assert state.started_at is not None
    assert before <= state.started_at <= datetime.now(UTC)


@pytest.mark.row(32)
@pytest.mark.parametrize("skew", [BEHIND, AHEAD])
async def test_of_a_pod_that_was_at_work_before_its_nodes_word_counts(
    server: FakeServer, launcher: KubernetesLauncher, tmp_path: Path, skew: timedelta
) -> None:
    order, said = order_of(), by_node(skew)
    await launcher.start(order)
    await until(lambda: bool(server.pods()))
    server.running(names.pod_name(order.attempt), said)
    later = KubernetesLauncher({"default": settings_of(server, tmp_path)}, launcher.claims._blobs)
    state = await running(later, order)
    assert state.started_at is not None
    # Though not what lies ahead of the first look at it.
    assert (
        state.started_at == datetime.fromisoformat(said)
        if skew is BEHIND
        else state.started_at < datetime.now(UTC)
    )
    await later.close()
