"""Row 11 of the fault matrix: the store is out when an attempt ends. What was computed is not computed again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from flyte_temporal.adapters.launchers.moving import move
from flyte_temporal.spec.attempt import NO_MANIFEST, NO_STORE, OUTAGE_S, AttemptOrder, AttemptPhase
from flyte_temporal.spec.entities import ContainerSpec, TaskSpec
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.keys import order as key_of_order
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.types import INTEGER, BlobType
from flyte_temporal.storage.orders import leave
from flyte_temporal.testing.attempts import AttemptBench
from tests.contract.launching import TIMEOUT_S, Make, alive, eventually, lines, pool, real
from tests.contract.test_blob_faults import through
from tests.proxies import Fault, FaultyProxy, Request, proxied

from .stores import s3_config, s3_port

__all__ = ["s3_port"]

pytestmark = pytest.mark.s3

ORDINARY_S = 3.0
"""After so long any other call of a store has been given up whose connections are reset: five tries, four short pauses."""


@pytest.fixture
def bench(source: Path, tmp_path: Path, s3_port: int, request: pytest.FixtureRequest) -> AttemptBench:
    return AttemptBench(source, tmp_path, s3_config(s3_port, f"outage-{abs(hash(request.node.nodeid))}"))


class Outage:
    """A store that is out for a while from the moment on at which a task has computed."""

    def __init__(self, computed: Path, for_s: float) -> None:
        self._computed = computed
        self._for_s = for_s

    def __call__(self, request: Request) -> Fault | None:
        del request
        begun = self._computed.exists()
        return (
            Fault("reset") if begun and time.time() < self._computed.stat().st_mtime + self._for_s else None
        )


def ordered(
    bench: AttemptBench, proxy: FaultyProxy, computed: Path, outage_s: float = OUTAGE_S
) -> AttemptOrder:
    order = bench.order("jobs.compute", {"path": str(computed)}, BlobType())
    storage = through(proxy, bench.storage, retries={"max_attempts": 0})
    return order.model_copy(update={"storage": storage, "outage_s": outage_s})


@real
@pytest.mark.row(11)
async def test_row_11_what_is_computed_outlasts_an_outage_of_the_store(
    new: Make, bench: AttemptBench, s3_port: int, tmp_path: Path
) -> None:
    computed = tmp_path / "computed"
    with proxied(s3_port, Outage(computed, 2.5 * ORDINARY_S)) as proxy:
        order = ordered(bench, proxy, computed)
        launcher = new()
        await launcher.start(order)
        await eventually(lambda: len(lines(computed)) == 1)
        state = await launcher.observe(order.attempt, 1.5 * ORDINARY_S)
        assert state.phase is AttemptPhase.RUNNING, "it gives up as soon as any other call does"
        state = await launcher.observe(order.attempt, TIMEOUT_S)
        assert (state.phase, state.exit_code) == (AttemptPhase.EXITED, 0)
        assert proxy.faults
    manifest = bench.manifest(order)
    assert manifest is not None
    assert manifest.error is None
    (output,) = (manifest.outputs or {}).values()
    assert isinstance(output, Inline)
    assert isinstance(output.value, dict)
    key = bench.store.key(str(output.value["uri"]))
    assert key is not None
    assert bench.store.get(key) == b"computed"
    assert len(lines(computed)) == 1


@pool
@pytest.mark.row(11)
async def test_row_11_an_outage_that_does_not_end_is_given_up(
    new: Make, bench: AttemptBench, s3_port: int, tmp_path: Path
) -> None:
    computed = tmp_path / "computed"
    with proxied(s3_port, Outage(computed, 3600)) as proxy:
        order = ordered(bench, proxy, computed, outage_s=1.0)
        launcher = new()
        await launcher.start(order)
        state = await launcher.observe(order.attempt, TIMEOUT_S)
        assert (state.phase, state.exit_code) == (AttemptPhase.EXITED, NO_MANIFEST)
        assert "No manifest was written" in state.message
    assert bench.manifest(order) is None


@pool
@pytest.mark.row(12)
async def test_row_12_who_waits_for_the_store_can_be_stopped(
    new: Make, bench: AttemptBench, s3_port: int, tmp_path: Path
) -> None:
    computed = tmp_path / "computed"
    with proxied(s3_port, Outage(computed, 3600)) as proxy:
        order = ordered(bench, proxy, computed)
        launcher = new()
        await launcher.start(order)
        await eventually(lambda: len(lines(computed)) == 1)
        began = time.monotonic()
        assert (await launcher.stop(order.attempt, 10.0)).over
        assert time.monotonic() - began < 20
        assert not alive(int(lines(computed)[0]))


def of_a_container(bench: AttemptBench, proxy: FaultyProxy, outage_s: float = OUTAGE_S) -> AttemptOrder:
    """Return an order without our runtime, as it is left in the store for who moves its data."""
    order = ordered(bench, proxy, Path("/none"), outage_s)
    interface = Interface(outputs=(Variable(name="o0", type=INTEGER),))
    container = ContainerSpec(image="i", command=("true",), output_dir="/out")
    task = TaskSpec(name="t", type="container", interface=interface, container=container)
    order = order.model_copy(update={"task": task, "inputs": {}})
    leave(bench.store, order)
    return order


@pytest.mark.row(11)
async def test_row_11_what_a_container_left_outlasts_an_outage_of_the_store(
    bench: AttemptBench, s3_port: int, tmp_path: Path
) -> None:
    """Who stores it, and who makes it count, waits as long as an attempt of our own; so does who gets it its inputs."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "o0").write_text("42")
    began: list[float] = []

    def at_first(request: Request) -> Fault | None:
        del request
        began.append(time.monotonic())
        return Fault("reset") if began[-1] < began[0] + 2.5 * ORDINARY_S else None

    with proxied(s3_port, at_first) as proxy:
        order = of_a_container(bench, proxy)
        words = [key_of_order(order.attempt), "--exit-code", "0"]
        assert await move(order, "download", words[0], "--to", str(tmp_path / "in")) == (0, "")
        assert len(began) > 2
        for what in (["upload", *words, "--stage", "--from", str(tmp_path / "out")], ["commit", *words]):
            assert bench.manifest(order) is None
            began.clear()
            assert await move(order, *what) == (0, "")
            assert len(began) > 2
    manifest = bench.manifest(order)
    assert manifest is not None
    assert manifest.outputs == {"o0": Inline(value=42)}


@pytest.mark.row(11)
async def test_row_11_what_a_container_left_can_be_stored_later(
    bench: AttemptBench, s3_port: int, tmp_path: Path
) -> None:
    """An outage that outlasts all patience is told apart from what can never be stored: its launcher tries again."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "o0").write_text("42")

    def nothing_is_written(request: Request) -> Fault | None:
        return Fault("reset") if request.method == "PUT" else None

    with proxied(s3_port, nothing_is_written) as proxy:
        order = of_a_container(bench, proxy, outage_s=0.5)
        words = ("upload", key_of_order(order.attempt), "--exit-code", "0", "--from", str(tmp_path / "out"))
        code, said = await move(order, *words)
        assert code == NO_STORE, said
    assert bench.manifest(order) is None
    order = order.model_copy(update={"storage": bench.storage})
    assert await move(order, *words) == (0, "")
    assert bench.manifest(order) is not None
