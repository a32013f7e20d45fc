"""What podman's launcher promises beyond the contract: what a container may do, and what happens to it from outside."""

# ruff: noqa: ASYNC240
# Nothing else runs in the event loop of a test while it calls podman.
from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import uvloop

from flyte_temporal.activities.outcome import without_manifest
from flyte_temporal.adapters.launchers.containers.engine import ATTEMPT, ContainerEngine
from flyte_temporal.adapters.launchers.containers.launcher import ContainerLauncher
from flyte_temporal.adapters.launchers.containers.plan import HOME, container_name
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState
from flyte_temporal.spec.execution import ErrorKind
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.policies import Resources, ResourceValues, SecretRequest, TaskPolicy, Timeouts
from flyte_temporal.spec.types import ANY
from flyte_temporal.storage.scratch import start_time
from flyte_temporal.testing.attempts import AttemptBench
from tests.containers import engines
from tests.containers.conftest import Make

TIMEOUT_S = 60.0


def podman(*words: str) -> str:
    return subprocess.run(["podman", *words], capture_output=True, text=True, check=True).stdout.strip()


def held(bench: AttemptBench) -> AttemptOrder:
    """Return an order for a task that says, and waits, below the blob store, which is all that it shares with us."""
    return bench.order("jobs.hold", {"path": str(bench.folder / "store" / "held")})


async def begun(bench: AttemptBench) -> None:
    await eventually(bench.folder / "store" / "held")


async def found_at_work(launcher: ContainerLauncher, order: AttemptOrder) -> None:
    """Wait until a launcher knows that an attempt runs, for which it asks podman."""
    async with asyncio.timeout(TIMEOUT_S):
        while (state := await launcher.observe(order.attempt, 0.3)).phase is AttemptPhase.QUEUED:
            pass
    assert state.phase is AttemptPhase.RUNNING


async def eventually(path: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        await asyncio.sleep(0.01)


async def ended(launcher: object, order: AttemptOrder) -> AttemptState:
    await launcher.start(order)  # type: ignore[attr-defined]
    state = await launcher.observe(order.attempt, TIMEOUT_S)  # type: ignore[attr-defined]
    assert state.over, state
    return state  # type: ignore[no-any-return]


def judged(order: AttemptOrder, state: AttemptState) -> tuple[ErrorKind, str, bool, str]:
    error = without_manifest(order, state).error
    assert error is not None
    return error.kind, error.code, error.recoverable, error.message


def output(bench: AttemptBench, order: AttemptOrder) -> object:
    manifest = bench.manifest(order)
    assert manifest is not None
    assert manifest.outputs is not None, manifest.error
    literal = manifest.outputs["o0"]
    assert isinstance(literal, Inline)
    return literal.value


async def test_what_a_task_sees(new: Make, bench: AttemptBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FSEC_DB_PASSWORD", "s3cret")
    monkeypatch.setenv("_FSEC_OTHER_KEY", "of somebody else")
    monkeypatch.setenv("FLYTE_TEMPORAL_METADATA__URL", "postgresql://user:password@host/db")
    policy = TaskPolicy(secrets=(SecretRequest(group="db", key="password"),))
    order = bench.order("jobs.surroundings", {"path": ""}, ANY, policy)
    await ended(new(), order)
    assert output(bench, order) == {
        "pid 1": "flyte_temporal.runtime",
        "root": "OSError",
        "network": "OSError",
        "tmp": 64 * 1024**2,
        "capabilities": "0000000000000000",
        "privileges": "1",
        "secrets": ["_FSEC_DB_PASSWORD"],
        "metadata": "",
    }
    assert "s3cret" not in podman(
        "inspect", "--format", "{{.Config.CreateCommand}}", container_name(order.attempt)
    )


async def test_secrets_have_the_machines_names_here_and_the_usual_ones_in_the_container(
    new: Make, bench: AttemptBench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = tmp_path / "kept" / "db"
    kept.mkdir(parents=True)
    (kept / "p-user").write_text("ada")
    monkeypatch.setenv("FLYTE_SECRETS_DEFAULT_DIR", str(kept.parent))
    monkeypatch.setenv("FLYTE_SECRETS_FILE_PREFIX", "p-")
    monkeypatch.setenv("FLYTE_SECRETS_ENV_PREFIX", "OURS_")
    monkeypatch.setenv("OURS_DB_PASSWORD", "s3cret")
    said = {"FLYTE_SECRETS_ENV_PREFIX": "MINE_", "FLYTE_SECRETS_FILE_PREFIX": "q-"}
    for policy in (
        TaskPolicy(
            secrets=(SecretRequest(group="db", key="password"), SecretRequest(group="db", key="user"))
        ),
        TaskPolicy(secrets=(SecretRequest(group="db", key=""),), env=said),
    ):
        order = bench.order("jobs.reads_secrets", {"path": ""}, ANY, policy)
        await ended(new(), order)
        assert output(bench, order) == ["s3cret", "ada"]


async def test_limits_and_labels_are_the_engines(new: Make, bench: AttemptBench) -> None:
    limits = ResourceValues(mem="300Mi", cpu="500m", ephemeral_storage="10Mi")
    order = held(bench).model_copy()
    policy = TaskPolicy(
        resources=Resources(limits=limits, shared_memory="8Mi"), timeouts=Timeouts(run_s=600.0)
    )
    order = order.model_copy(update={"task": order.task.model_copy(update={"policy": policy})})
    launcher = new(pids=77)
    await launcher.start(order)
    await begun(bench)
    name = container_name(order.attempt)
    form = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.ShmSize}}"
    assert podman("inspect", "--format", form, name) == f"{300 * 1024**2} 500000000 77 {8 * 1024**2}"
    assert order.attempt.key in podman(
        "inspect", "--format", f'{{{{index .Config.Labels "{ATTEMPT}"}}}}', name
    )
    assert podman("inspect", "--format", f'{{{{index .Config.Labels "{HOME}"}}}}', name)
    assert podman("inspect", "--format", "{{.Config.Timeout}}", name) == "660"
    assert "size=10485760" in podman("inspect", "--format", "{{.HostConfig.Tmpfs}}", name)
    await launcher.stop(order.attempt, 1)


async def test_it_is_kept_until_it_is_released(
    new: Make, bench: AttemptBench, engine: ContainerEngine
) -> None:
    launcher, order = new(), bench.order("jobs.surroundings", {"path": ""}, ANY)
    await ended(launcher, order)
    name = container_name(order.attempt)
    assert (await engine.inspect(name)) is not None
    await launcher.release(order.attempt)
    await launcher.close()
    assert (await engine.inspect(name)) is None
    assert list((bench.folder / "scratch" / "containers").iterdir()) == []


@pytest.mark.row(22)
async def test_an_image_that_is_not_there(new: Make, bench: AttemptBench) -> None:
    order = bench.order("jobs.surroundings", {"path": ""}, ANY)
    state = await ended(new(image="localhost/flyte-temporal-nothing:1"), order)
    kind, code, recoverable, message = judged(order, state)
    assert (kind, code, recoverable) == (ErrorKind.USER, "BadImage", False)
    assert "There is no image localhost/flyte-temporal-nothing:1" in message
    assert "make task-image" in message


@pytest.mark.row(22)
async def test_an_image_without_a_name(new: Make, bench: AttemptBench) -> None:
    order = bench.order("jobs.surroundings", {"path": ""}, ANY)
    state = await ended(new(image="Not A Name"), order)
    assert judged(order, state)[1:3] == ("BadImage", False)


@pytest.mark.row(23)
async def test_a_program_that_is_not_installed(new: Make, bench: AttemptBench) -> None:
    launcher = new(ContainerEngine("/nowhere/podman", podman=True))
    order = bench.order("jobs.surroundings", {"path": ""}, ANY)
    state = await ended(launcher, order)
    kind, _, recoverable, message = judged(order, state)
    assert (kind, recoverable) == (ErrorKind.USER, False)
    assert "'/nowhere/podman' cannot be run on the worker's machine" in message


async def test_a_name_that_somebody_else_has_taken(new: Make, bench: AttemptBench) -> None:
    order = bench.order("jobs.surroundings", {"path": ""}, ANY)
    name = container_name(order.attempt)
    podman("create", "--name", name, engines.image("podman"), "true")
    try:
        _, _, recoverable, message = judged(order, await ended(new(), order))
        assert not recoverable
        assert f"podman rm {name}" in message
    finally:
        podman("rm", name)


async def test_a_container_that_somebody_removes_is_lost_and_does_not_start_again(
    new: Make, bench: AttemptBench, engine: ContainerEngine
) -> None:
    launcher, order = new(), held(bench)
    await launcher.start(order)
    await begun(bench)
    podman("rm", "--force", "--time", "0", container_name(order.attempt))
    assert (await launcher.observe(order.attempt, TIMEOUT_S)).phase is AttemptPhase.LOST
    late = new()
    await late.start(order)
    assert (await late.observe(order.attempt, TIMEOUT_S)).phase is AttemptPhase.LOST
    assert await engine.inspect(container_name(order.attempt)) is None


async def test_a_container_that_somebody_kills(new: Make, bench: AttemptBench) -> None:
    launcher, order = new(), held(bench)
    await launcher.start(order)
    await begun(bench)
    podman("kill", container_name(order.attempt))
    state = await launcher.observe(order.attempt, TIMEOUT_S)
    assert (state.phase, state.exit_code) == (AttemptPhase.EXITED, 137)
    assert judged(order, state)[:2] == (ErrorKind.SYSTEM, "KilledUnseen")


async def test_a_worker_that_died_between_create_and_start(
    new: Make, bench: AttemptBench, engine: ContainerEngine
) -> None:
    """The next one starts what was made: it has never run."""
    reached = asyncio.Event()

    class Dies(ContainerEngine):
        async def start(self, name: str, lock: int, folder: Path) -> None:
            reached.set()
            await asyncio.Event().wait()

    first, order = new(Dies("podman", podman=True)), bench.order("jobs.surroundings", {"path": ""}, ANY)
    await first.start(order)
    async with asyncio.timeout(TIMEOUT_S):
        await reached.wait()
    for entry in first._entries.values():
        assert entry.life is not None
        entry.life.cancel()
    seen = await engine.inspect(container_name(order.attempt))
    assert seen is not None
    assert not seen.begun
    second = new()
    await ended(second, order)
    assert bench.manifest(order) is not None


@pytest.mark.parametrize("then", ["ends", "is killed"])
async def test_a_killed_monitor_costs_the_exit_code_only(
    new: Make, bench: AttemptBench, engine: ContainerEngine, then: str
) -> None:
    """Podman says for ever that such a container runs: its process and its manifest are believed instead."""
    launcher, order = new(), held(bench)
    await launcher.start(order)
    await begun(bench)
    seen = await engine.inspect(container_name(order.attempt))
    assert seen is not None
    os.kill(seen.monitor, signal.SIGKILL)
    other = new()
    await other.start(order)
    await found_at_work(other, order)
    if then == "ends":
        (bench.folder / "store" / "held.go").touch()
    else:
        os.kill(seen.pid, signal.SIGKILL)
    for each in (launcher, other):
        state = await each.observe(order.attempt, TIMEOUT_S)
        assert state.phase is (AttemptPhase.EXITED if then == "ends" else AttemptPhase.LOST)
    if then == "ends":
        assert output(bench, order) == 42
    else:
        assert judged(order, state)[:2] == (ErrorKind.SYSTEM, "AttemptLost")
    await launcher.release(order.attempt)
    await launcher.close()
    assert await engine.inspect(container_name(order.attempt)) is None


async def test_a_stop_without_a_monitor(new: Make, bench: AttemptBench, engine: ContainerEngine) -> None:
    launcher, order = new(), held(bench)
    await launcher.start(order)
    await begun(bench)
    seen = await engine.inspect(container_name(order.attempt))
    assert seen is not None
    os.kill(seen.monitor, signal.SIGKILL)
    assert (await launcher.stop(order.attempt, 5)).over
    assert start_time(seen.pid) is None
    manifest = bench.manifest(order)
    assert manifest is not None
    assert manifest.error is not None
    assert manifest.error.code == "Stopped"


async def test_memory_of_a_tasks_programs_counts_too(
    new: Make, bench: AttemptBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel kills the program; the task decides what follows, as it does without a container."""
    here = bench.folder / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    policy = TaskPolicy(resources=Resources(limits=ResourceValues(mem="200Mi")))
    order = bench.order("jobs.child_hog", {"path": ""}, policy=policy)
    await ended(new(), order)
    assert output(bench, order) == -9
    # Where podman's monitor might leave a file `oom`.
    assert list(here.iterdir()) == []


async def test_a_fork_bomb_ends_at_its_limit(new: Make, bench: AttemptBench) -> None:
    order = bench.order("jobs.bomb", {"path": ""})
    await ended(new(pids=60), order)
    assert 0 < int(str(output(bench, order))) < 60


async def test_a_full_tmp_is_the_tasks_own_failure(new: Make, bench: AttemptBench) -> None:
    order = bench.order("jobs.fills_tmp", {"path": ""})
    await ended(new(), order)
    manifest = bench.manifest(order)
    assert manifest is not None
    assert manifest.error is not None
    assert (manifest.error.kind, manifest.error.code) == (ErrorKind.USER, "UserCodeError")
    assert "No space left on device" in manifest.error.message


def test_a_start_does_not_wait_for_the_end(tmp_path: Path) -> None:
    """In the worker's event loop, whose pipes a container's monitor inherits."""
    engine, name = ContainerEngine("podman", podman=True), f"ft-start-{os.getpid()}"

    async def started() -> str:
        await engine.create(["--name", name, "--network", "none", engines.image("podman"), "sleep", "600"])
        with (tmp_path / "lock").open("w") as lock:
            await engine.start(name, lock.fileno(), tmp_path)
        seen = await engine.inspect(name)
        await engine.remove(name)
        return seen.status if seen else ""

    assert uvloop.run(started()) == "running"


async def test_what_a_dead_worker_left_is_swept(
    new: Make, bench: AttemptBench, engine: ContainerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyte_temporal.adapters.launchers.containers.leftovers.KEPT_S", 0)
    first, order, running = new(), bench.order("jobs.surroundings", {"path": ""}, ANY), held(bench)
    await ended(first, order)
    await first.start(running)
    await begun(bench)
    await first.close()
    second = new()
    await second.start(bench.order("jobs.surroundings", {"path": ""}, ANY))
    deadline = time.monotonic() + TIMEOUT_S
    while await engine.inspect(container_name(order.attempt)) is not None:
        assert time.monotonic() < deadline, "it was not swept"
        await asyncio.sleep(0.1)
    left = await engine.inspect(container_name(running.attempt))
    assert left is not None
    assert not left.over
    (bench.folder / "store" / "held.go").touch()
    assert (await second.observe(running.attempt, TIMEOUT_S)).over


async def test_a_network_must_be_allowed(new: Make, bench: AttemptBench) -> None:
    policy = TaskPolicy(annotations={"flyte-temporal/network": "host"})
    order = bench.order("jobs.surroundings", {"path": ""}, ANY, policy)
    _, _, recoverable, message = judged(order, await ended(new(), order))
    assert not recoverable
    assert "FLYTE_TEMPORAL_CONTAINERS__NETWORKS" in message
    again = bench.order("jobs.surroundings", {"path": ""}, ANY, policy)
    await ended(new(networks=("host",)), again)
    assert (
        podman("inspect", "--format", "{{.HostConfig.NetworkMode}}", container_name(again.attempt)) == "host"
    )
