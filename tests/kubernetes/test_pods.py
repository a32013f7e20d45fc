"""Attempts in real pods: how they end, how they are stopped and found again, and what the cluster does to them meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from flyte_temporal.adapters.launchers.kubernetes import names
from flyte_temporal.adapters.launchers.kubernetes.launcher import KubernetesLauncher
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Intent
from flyte_temporal.spec.execution import ErrorKind
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.policies import (
    PodTemplate,
    Resources,
    ResourceValues,
    SecretRequest,
    TaskPolicy,
    Timeouts,
)
from flyte_temporal.storage.logs import read_log
from flyte_temporal.testing.attempts import AttemptBench
from tests.kubernetes import images
from tests.kubernetes.bench import LONG_S, PodBench, container_order, namespace, storage_of, write
from tests.kubernetes.installation import KEYS, s3_server
from tests.kubernetes.kubectl import Kubectl

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def bench(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodBench]:
    folder = tmp_path_factory.mktemp("pods")
    with pytest.MonkeyPatch.context() as patch, s3_server() as port, namespace(kubectl, "pods-development"):
        for name, value in KEYS.items():
            patch.setenv(name, value)
        attempts = AttemptBench(write(folder / "source"), folder, storage_of(port))
        yield PodBench(kubectl, "pods", images.provide(images.TASK), port, attempts)


@pytest.fixture
async def new(bench: PodBench) -> AsyncIterator[Callable[..., KubernetesLauncher]]:
    made: list[KubernetesLauncher] = []

    def one(**settings: Any) -> KubernetesLauncher:
        made.append(bench.launcher(**settings))
        return made[-1]

    yield one
    for launcher in made:
        await launcher.close()


@pytest.fixture
async def launcher(new: Callable[..., KubernetesLauncher]) -> KubernetesLauncher:
    return new()


async def finish(launcher: KubernetesLauncher, order: AttemptOrder) -> AttemptState:
    await launcher.start(order)
    state = await launcher.observe(order.attempt, LONG_S)
    assert state.over, state
    return state


async def until(
    launcher: KubernetesLauncher, order: AttemptOrder, wanted: Callable[[AttemptState], bool]
) -> AttemptState:
    end = time.monotonic() + LONG_S
    while not wanted(state := await launcher.observe(order.attempt)):
        assert time.monotonic() < end, state
        assert not state.over, state
        await asyncio.sleep(0.1)
    return state


async def began(bench: PodBench, launcher: KubernetesLauncher, order: AttemptOrder) -> AttemptState:
    """Wait until user code of an attempt is at work: until its runtime has claimed it."""
    end = time.monotonic() + LONG_S
    while await launcher.claims.claim(order.attempt) is None:
        assert time.monotonic() < end
        await asyncio.sleep(0.1)
    await asyncio.sleep(1.5)  # the task's own first line, after the claim
    return await launcher.observe(order.attempt)


async def no_pod(bench: PodBench, order: AttemptOrder) -> None:
    end = time.monotonic() + LONG_S
    while await asyncio.to_thread(bench.pod, order) is not None:
        assert time.monotonic() < end, "a pod of a closed attempt lives on"
        await asyncio.sleep(0.2)


async def test_a_task_runs_in_a_pod_and_leaves_nothing_behind(
    bench: PodBench, launcher: KubernetesLauncher
) -> None:
    order = bench.order("jobs.double", x=21)
    state = await finish(launcher, order)
    assert (state.phase, state.exit_code) == (AttemptPhase.EXITED, 0)
    assert bench.attempts.manifest(order).outputs == {"o0": Inline(value=42)}  # type: ignore[union-attr]
    assert "doubling 21" in bench.attempts.log(order)
    await launcher.release(order.attempt)
    await no_pod(bench, order)
    # The owner of the execution, the pod, and its deletion.
    assert launcher.cluster().api.calls - len(launcher.cluster().reflectors) * 2 <= 4


async def test_an_exception_has_its_words_in_the_error(bench: PodBench, launcher: KubernetesLauncher) -> None:
    order = bench.order("jobs.fails", x=1)
    error = bench.error(order, await finish(launcher, order))
    assert (error.kind, error.code) == (ErrorKind.USER, "UserCodeError")
    assert "no luck" in error.message


@pytest.mark.row(6)
async def test_starting_twice_and_from_two_workers_makes_one_pod(
    bench: PodBench, new: Callable[..., KubernetesLauncher]
) -> None:
    one, two = new(), new()
    orders = [bench.order("jobs.double", x=number) for number in range(4)]
    await asyncio.gather(*(launcher.start(order) for order in orders for launcher in (one, two)))
    for order in orders:
        for launcher in (one, two):
            assert (await launcher.observe(order.attempt, LONG_S)).exit_code == 0
        assert bench.attempts.log(order).count("doubling") == 1
        await one.release(order.attempt)
        # It is over, and it stays so for whoever is asked to start it again.
        late = new()
        await late.start(order)
        assert (await late.observe(order.attempt, LONG_S)).over
        await no_pod(bench, order)


@pytest.mark.row(1)
@pytest.mark.long
async def test_a_worker_that_comes_later_adopts_all_twenty(
    bench: PodBench, new: Callable[..., KubernetesLauncher]
) -> None:
    first = new()
    orders = [bench.order("jobs.sleep", seconds=20.0) for _ in range(20)]
    await asyncio.gather(*(first.start(order) for order in orders))
    for order in orders:
        await until(first, order, lambda state: state.message != "its pod is about to be created")
    uids = {pod["metadata"]["uid"] for pod in await asyncio.to_thread(bench.pods)}
    await first.close()
    second = new()
    await asyncio.gather(*(second.start(order) for order in orders))
    for order in orders:
        assert (await second.observe(order.attempt, LONG_S)).exit_code == 0
        assert bench.attempts.log(order).count("asleep") == 1
    after = {p["metadata"]["uid"] for p in await asyncio.to_thread(bench.pods)}
    assert {u for u in after if u in uids} == after
    await asyncio.gather(*(second.release(order.attempt) for order in orders))
    for order in orders:
        await no_pod(bench, order)


async def said(bench: PodBench, order: AttemptOrder, words: str) -> None:
    """Wait until a log that is stored has some words."""
    end = time.monotonic() + LONG_S
    while words not in await asyncio.to_thread(bench.attempts.log, order):
        assert time.monotonic() < end
        await asyncio.sleep(0.2)


async def test_the_log_of_a_container_without_our_runtime(
    bench: PodBench, launcher: KubernetesLauncher
) -> None:
    """Of a short one, whatever it writes; by four requests for the pod as a whole."""
    script = r"printf '\377\376 one\n'; head -c 20000 /dev/zero | tr '\0' x; printf 'no end' >&2"
    order = container_order(bench.order("jobs.double", x=1), script)
    assert (await finish(launcher, order)).exit_code == 0
    chunks = list(read_log(bench.attempts.store, order.attempt.key))
    stored = b"".join(chunks)
    # How the cluster puts two streams together is its own business.
    assert stored.count(b"\xff\xfe one\n") == 1
    assert (stored.count(b"x"), stored.count(b"no end")) == (20_000, 1)
    manifest = bench.attempts.manifest(order)
    assert manifest is not None
    assert manifest.log_chunks == len(chunks)
    await launcher.release(order.attempt)
    await no_pod(bench, order)
    assert launcher.cluster().api.calls - len(launcher.cluster().reflectors) * 2 <= 4


async def test_workers_that_are_replaced_leave_one_log(
    bench: PodBench, new: Callable[..., KubernetesLauncher]
) -> None:
    script = "n=0; while test $n -lt 300; do echo line $n; n=$((n+1)); sleep 0.1; done; exit 5"
    order = container_order(bench.order("jobs.double", x=1), script)
    one = new()
    await one.start(order)
    await said(bench, order, "line 0\n")
    # This one is cut off, and does not know that another one has its place.
    other = new()
    await other.start(order)
    await said(bench, order, "line 80\n")
    await one.close()
    await said(bench, order, "line 150\n")
    await other.close()
    last = new()
    state = await finish(last, order)
    lines = [f"line {number}" for number in range(300)]
    assert (await asyncio.to_thread(bench.attempts.log, order)).splitlines() == lines
    error = bench.error(order, state)
    assert (error.kind, "line 299" in error.message) == (ErrorKind.USER, True)
    await last.release(order.attempt)
    await no_pod(bench, order)


async def test_the_log_of_a_pod_that_is_deleted_stays(bench: PodBench, launcher: KubernetesLauncher) -> None:
    script = "trap 'echo the last word; exit 1' TERM; echo at work; while :; do sleep 0.1; done"
    order = container_order(bench.order("jobs.double", x=1), script)
    await launcher.start(order)
    await said(bench, order, "at work\n")
    await launcher.stop(order.attempt, 20)
    assert await asyncio.to_thread(bench.attempts.log, order) == "at work\nthe last word\n"
    await launcher.release(order.attempt)
    await no_pod(bench, order)


@pytest.mark.row(22)
async def test_an_image_that_is_not_there(bench: PodBench, new: Callable[..., KubernetesLauncher]) -> None:
    launcher = new(image_grace_s=15)
    order = bench.order("jobs.double", policy=TaskPolicy(image="kube.local/missing:1"), x=1)
    await launcher.start(order)
    seen = await until(launcher, order, lambda state: "Pull" in state.message)
    assert seen.phase is AttemptPhase.QUEUED
    error = bench.error(order, await launcher.observe(order.attempt, LONG_S))
    assert error.code in {"ImagePull", "RegistryUnavailable"}
    assert "kube.local/missing:1" in error.message
    await no_pod(bench, order)


@pytest.mark.row(22)
async def test_an_image_that_may_not_be_pulled_at_all(
    bench: PodBench, new: Callable[..., KubernetesLauncher]
) -> None:
    launcher = new(image_pull_policy="Never")
    order = bench.order("jobs.double", policy=TaskPolicy(image="kube.local/missing:1"), x=1)
    error = bench.error(order, await finish(launcher, order))
    assert (error.kind, error.code, error.recoverable) == (ErrorKind.USER, "BadImage", False)
    await no_pod(bench, order)


@pytest.mark.row(23)
async def test_an_image_without_our_python(bench: PodBench, new: Callable[..., KubernetesLauncher]) -> None:
    launcher = new(python="no-such-python")
    order = bench.order("jobs.double", x=1)
    error = bench.error(order, await finish(launcher, order))
    assert (error.kind, error.code, error.recoverable) == (ErrorKind.USER, "BadCommand", False)
    assert "no-such-python" in error.message


async def test_a_container_before_the_tasks_tells_why_it_failed(
    bench: PodBench, launcher: KubernetesLauncher
) -> None:
    """The pod, and its log with it, is gone when somebody reads the error."""
    said = "import sys; sys.exit('no such table: users')"
    before = {"name": "migrate", "image": bench.image, "command": ["python3", "-c", said]}
    policy = TaskPolicy(pod=PodTemplate(pod_spec={"initContainers": [before]}))
    order = bench.order("jobs.double", policy=policy, x=1)
    error = bench.error(order, await finish(launcher, order))
    assert (error.kind, error.code) == (ErrorKind.USER, "InitFailed")
    assert "migrate: exit code 1: no such table: users" in error.message


@pytest.mark.row(17)
async def test_out_of_memory_and_more_of_it_the_next_time(
    bench: PodBench, launcher: KubernetesLauncher
) -> None:
    def limited(mem: str) -> TaskPolicy:
        side = ResourceValues(mem=mem)
        return TaskPolicy(resources=Resources(requests=side, limits=side))

    order = bench.order("jobs.hog", policy=limited("200Mi"), mib=300)
    error = bench.error(order, await finish(launcher, order))
    assert (error.kind, error.code) == (ErrorKind.USER, "OutOfMemory")
    more = bench.again(order, task=order.task.model_copy(update={"policy": limited("600Mi")}))
    assert (await finish(launcher, more)).exit_code == 0
    pod = await asyncio.to_thread(bench.pod, more)
    assert pod is not None
    assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "600Mi"


@pytest.mark.row(19)
async def test_an_eviction_is_the_platforms_failure(bench: PodBench, launcher: KubernetesLauncher) -> None:
    order = bench.order("jobs.sleep", seconds=60.0)
    await launcher.start(order)
    await began(bench, launcher, order)
    name = names.pod_name(order.attempt)
    where = {"name": name, "namespace": bench.namespace}
    body = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": where})
    path = f"/api/v1/namespaces/{bench.namespace}/pods/{name}/eviction"
    await asyncio.to_thread(bench.kubectl.run, "create", "--raw", path, "--filename=-", given=body)
    state = await launcher.observe(order.attempt, LONG_S)
    error = bench.error(order, state)
    assert (error.kind, error.code, error.recoverable) == (ErrorKind.SYSTEM, "Preempted", True)
    await no_pod(bench, order)


@pytest.mark.parametrize("force", [False, True])
async def test_a_pod_that_somebody_deletes_is_not_started_again(
    bench: PodBench, new: Callable[..., KubernetesLauncher], force: bool
) -> None:
    launcher, order = new(), bench.order("jobs.sleep", seconds=60.0)
    await launcher.start(order)
    await began(bench, launcher, order)
    how = ["--force", "--grace-period=0"] if force else []
    name = names.pod_name(order.attempt)
    await asyncio.to_thread(bench.kubectl.run, "delete", "pod", "-n", bench.namespace, name, *how)
    error = bench.error(order, await launcher.observe(order.attempt, LONG_S))
    assert error.kind is ErrorKind.SYSTEM
    assert error.code in {"Preempted", "PodDeletedExternally"}
    later = new()
    await later.start(order)
    assert (await later.observe(order.attempt, LONG_S)).over
    await no_pod(bench, order)


@pytest.mark.parametrize("intent", [Intent.CANCEL, Intent.TIMEOUT])
async def test_a_stop_ends_the_pod_and_says_why(
    bench: PodBench, launcher: KubernetesLauncher, intent: Intent
) -> None:
    order = bench.order("jobs.sleep", policy=TaskPolicy(timeouts=Timeouts(run_s=9)), seconds=60.0)
    await launcher.start(order)
    await began(bench, launcher, order)
    state = await launcher.stop(order.attempt, 5, intent)
    assert (state.over, state.intent) == (True, intent)
    assert bench.error(order, state).code == {"request": "Stopped", "timeout": "TimedOut"}[intent.value]
    await launcher.release(order.attempt)
    await no_pod(bench, order)


@pytest.mark.row(30)
async def test_a_task_that_ignores_sigterm_is_killed(bench: PodBench, launcher: KubernetesLauncher) -> None:
    order = bench.order("jobs.stubborn", seconds=60.0)
    await launcher.start(order)
    await began(bench, launcher, order)
    since = time.monotonic()
    state = await launcher.stop(order.attempt, 2)
    assert state.over
    assert time.monotonic() - since < 30
    assert bench.error(order, state).code == "Stopped"
    await launcher.release(order.attempt)
    await no_pod(bench, order)


@pytest.mark.row(28)
async def test_a_stop_before_during_and_after_the_creation(
    bench: PodBench, new: Callable[..., KubernetesLauncher]
) -> None:
    before, launcher = bench.order("jobs.double", x=1), new()
    # Nobody has started it here; a worker that hung wakes up afterwards.
    assert not (await launcher.stop(before.attempt, 1)).ran
    late = new()
    await late.start(before)
    assert not (await late.observe(before.attempt, LONG_S)).ran
    during = [bench.order("jobs.sleep", seconds=60.0) for _ in range(6)]
    for number, order in enumerate(during):
        await launcher.start(order)
        await asyncio.sleep(0.05 * number)
        state = await launcher.stop(order.attempt, 1)
        assert (state.over, state.intent) == (True, Intent.CANCEL), number
    after = bench.order("jobs.double", x=1)
    await finish(launcher, after)
    assert (await launcher.stop(after.attempt, 1)).exit_code == 0
    for order in (before, *during):
        assert "asleep" not in bench.attempts.log(order)
        await no_pod(bench, order)


async def test_an_account_that_is_not_the_projects(bench: PodBench, launcher: KubernetesLauncher) -> None:
    policy = TaskPolicy(pod=PodTemplate(pod_spec={"serviceAccountName": "admin"}))
    order = bench.order("jobs.double", policy=policy, x=1)
    error = bench.error(order, await finish(launcher, order))
    assert (error.code, error.recoverable) == ("ServiceAccountNotAllowed", False)
    assert await asyncio.to_thread(bench.pod, order) is None


@pytest.mark.row(26)
async def test_a_quota_is_waited_for(bench: PodBench, launcher: KubernetesLauncher) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": bench.namespace},
        "spec": {"hard": {"requests.memory": "1Mi", "pods": "100"}},
    }
    await asyncio.to_thread(bench.kubectl.apply, quota)
    try:
        too_much = bench.order("jobs.double", x=1)
        await asyncio.sleep(1)
        error = bench.error(too_much, await finish(launcher, too_much))
        assert (error.code, error.recoverable) == ("QuotaTooSmall", False)
        quota["spec"] = {"hard": {"pods": "1"}}
        await asyncio.to_thread(bench.kubectl.apply, quota)
        await asyncio.sleep(1)
        first, order = bench.order("jobs.sleep", seconds=60.0), bench.order("jobs.double", x=4)
        await launcher.start(first)
        await began(bench, launcher, first)
        await launcher.start(order)
        state = await until(launcher, order, lambda state: "waiting for quota" in state.message)
        assert state.phase is AttemptPhase.QUEUED
        await launcher.stop(first.attempt, 1)
    finally:
        await asyncio.to_thread(bench.kubectl.run, "delete", "resourcequota", "none", "-n", bench.namespace)
    assert (await launcher.observe(order.attempt, LONG_S)).exit_code == 0


async def test_no_place_is_told(bench: PodBench, new: Callable[..., KubernetesLauncher]) -> None:
    launcher = new(scheduling_timeout_s=15)
    policy = TaskPolicy(pod=PodTemplate(pod_spec={"nodeSelector": {"no": "such-node"}}))
    order = bench.order("jobs.double", policy=policy, x=1)
    since = time.monotonic()
    await launcher.start(order)
    state = await until(launcher, order, lambda state: "Unschedulable" in state.message)
    assert time.monotonic() - since < 15
    assert "selector" in state.message
    error = bench.error(order, await launcher.observe(order.attempt, LONG_S))
    assert (error.kind, error.code) == (ErrorKind.SYSTEM, "Unschedulable")
    await no_pod(bench, order)


async def test_secrets_reach_the_task(bench: PodBench, launcher: KubernetesLauncher) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "ours", "namespace": bench.namespace},
        "stringData": {"word": "abc", "file": "hello"},
    }
    await asyncio.to_thread(bench.kubectl.apply, secret)
    asked = (
        SecretRequest(group="ours", key="word", mount="env"),
        SecretRequest(group="ours", key="file", mount="file"),
    )
    order = bench.order("jobs.secret", policy=TaskPolicy(secrets=asked))
    await finish(launcher, order)
    assert bench.attempts.manifest(order).outputs == {"o0": Inline(value=305)}  # type: ignore[union-attr]
