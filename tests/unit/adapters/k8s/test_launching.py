"""The launcher against a small API server: what it asks of a cluster, and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.activities.outcome import without_manifest
from flyte_temporal.adapters.launchers.kubernetes import beside, names
from flyte_temporal.adapters.launchers.kubernetes.api import ApiFailure
from flyte_temporal.adapters.launchers.kubernetes.entries import Entry
from flyte_temporal.adapters.launchers.kubernetes.launcher import KubernetesLauncher
from flyte_temporal.adapters.launchers.kubernetes.pods import Wanted, pod_of
from flyte_temporal.adapters.launchers.table import KEPT_S
from flyte_temporal.config.clusters import ClusterSettings
from flyte_temporal.errors import UnsupportedSpec
from flyte_temporal.spec.attempt import (
    NO_MANIFEST,
    NO_STORE,
    AttemptOrder,
    AttemptPhase,
    AttemptState,
    Claim,
    Intent,
)
from flyte_temporal.spec.entities import ContainerSpec, TaskSpec
from flyte_temporal.spec.execution import ErrorKind
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.policies import TaskPolicy
from flyte_temporal.spec.types import STRING
from flyte_temporal.storage import orders
from flyte_temporal.testing.blobs import MemoryBlobStore
from tests.unit.adapters.k8s.made import SOON_S, attempt_of, order_of, until
from tests.unit.adapters.k8s.server import FakeServer, settings_of

New = Callable[..., KubernetesLauncher]


@pytest.fixture
def blobs() -> MemoryBlobStore:
    return MemoryBlobStore()


@pytest.fixture
async def new(server: FakeServer, blobs: MemoryBlobStore, tmp_path: Path) -> AsyncIterator[New]:
    made: list[KubernetesLauncher] = []

    def one(**settings: Any) -> KubernetesLauncher:
        cluster = settings_of(server, tmp_path, quota_wait_s=0.2, **settings)
        made.append(KubernetesLauncher({"default": cluster}, blobs))
        return made[-1]

    yield one
    for launcher in made:
        await launcher.close()


async def message(launcher: KubernetesLauncher, order: AttemptOrder, words: str) -> AttemptState:
    end = time.monotonic() + SOON_S
    while words not in (state := await launcher.observe(order.attempt)).message:
        assert time.monotonic() < end, state
        await asyncio.sleep(0.01)
    return state


def name_of(order: AttemptOrder) -> str:
    return names.pod_name(order.attempt)


def begin(blobs: MemoryBlobStore, order: AttemptOrder) -> None:
    """What the runtime in the pod does first."""
    orders.claim(blobs, Claim(attempt=order.attempt, by="pod"))


async def test_a_short_pod_is_never_seen_running(server: FakeServer, new: New) -> None:
    launcher, order = new(), order_of()
    await launcher.start(order)
    await until(lambda: bool(server.pods()))
    server.ended(name_of(order))
    state = await launcher.observe(order.attempt, SOON_S)
    assert (state.phase, state.exit_code) == (AttemptPhase.EXITED, 0)
    await launcher.release(order.attempt)
    assert server.pods() == []
    # Its owner, itself, its deletion; the rest is the list and the watch, once for all.
    assert server.count("POST", "") == 2
    assert server.count("DELETE", "") == 1
    assert server.count("GET", f"/pods/{name_of(order)}") == 0


async def test_an_end_that_comes_before_the_answer_of_the_create(server: FakeServer, new: New) -> None:
    launcher = new()
    made = [order_of(attempt_of(f"n{i}")) for i in range(20)]
    done: set[str] = set()

    async def kubelet() -> None:
        while len(done) < len(made):
            for pod in server.pods():
                if pod["metadata"]["name"] not in done:
                    done.add(pod["metadata"]["name"])
                    server.ended(pod["metadata"]["name"])
            await asyncio.sleep(0)

    playing = asyncio.create_task(kubelet())
    await asyncio.gather(*(launcher.start(order) for order in made))
    for order in made:
        assert (await launcher.observe(order.attempt, SOON_S)).exit_code == 0
    await playing


@pytest.mark.row(27)
async def test_an_answer_that_is_lost_makes_no_second_pod(server: FakeServer, new: New) -> None:
    server.lose_answers = 1
    launcher, order = new(), order_of()
    await launcher.start(order)
    await until(lambda: server.count("POST", "/pods") >= 2)
    await asyncio.sleep(0.1)
    assert len(server.pods()) == 1
    server.ended(name_of(order), 3)
    assert (await launcher.observe(order.attempt, SOON_S)).exit_code == 3


@pytest.mark.row(1)
async def test_a_worker_that_comes_later_adopts(server: FakeServer, new: New, blobs: MemoryBlobStore) -> None:
    one, order = new(), order_of()
    await one.start(order)
    await until(lambda: bool(server.pods()))
    begin(blobs, order)
    server.running(name_of(order))
    await one.close()
    two = new()
    assert not (await two.observe(order.attempt)).over
    await two.start(order)
    await until(lambda: bool(server.open))
    server.ended(name_of(order))
    assert (await two.observe(order.attempt, SOON_S)).exit_code == 0
    assert server.count("POST", "/pods") == 1


async def test_what_another_worker_has_released_is_not_kept_for_ever(
    server: FakeServer, new: New, blobs: MemoryBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, order = new(), new(), order_of()
    await one.start(order)
    await until(lambda: bool(server.pods()))
    begin(blobs, order)
    await two.start(order)
    server.ended(name_of(order))
    for launcher in (one, two):
        assert (await launcher.observe(order.attempt, SOON_S)).exit_code == 0
    await two.release(order.attempt)
    assert one.looks_after(order.attempt.key)
    monkeypatch.setattr(one._entries, "_clock", lambda: time.monotonic() + 2 * KEPT_S)
    assert not one.looks_after(order.attempt.key)
    assert one._by_pod == {}


async def test_what_has_run_and_is_gone_is_lost_and_never_run_again(
    server: FakeServer, new: New, blobs: MemoryBlobStore
) -> None:
    one, order = new(), order_of()
    await one.start(order)
    await until(lambda: bool(server.pods()))
    begin(blobs, order)
    await one.close()
    server.vanish(name_of(order))
    two = new()
    await two.start(order)
    state = await two.observe(order.attempt, SOON_S)
    assert state.phase is AttemptPhase.LOST
    assert state.pod is not None
    assert state.pod.gone
    assert server.count("POST", "/pods") == 1


async def test_what_never_ran_is_created_anew(server: FakeServer, new: New, blobs: MemoryBlobStore) -> None:
    """A worker that died between the order and the pod costs no attempt."""
    order = order_of()
    orders.leave(blobs, order)
    launcher = new()
    await launcher.start(order)
    await until(lambda: bool(server.pods()))


async def test_a_pod_that_vanishes(server: FakeServer, new: New, blobs: MemoryBlobStore) -> None:
    launcher, order = new(), order_of()
    await launcher.start(order)
    await until(lambda: bool(server.pods()))
    begin(blobs, order)
    server.running(name_of(order))
    await until(lambda: launcher._entries[order.attempt.key].state.phase is AttemptPhase.RUNNING)
    launcher._entries[order.attempt.key].sent_at -= 60
    server.vanish(name_of(order))
    state = await launcher.observe(order.attempt, SOON_S)
    assert (state.phase, state.ran) == (AttemptPhase.LOST, True)


@pytest.mark.row(25)
async def test_news_that_were_lost_are_found_by_asking(server: FakeServer, new: New) -> None:
    launcher, order = new(), order_of()
    await launcher.start(order)
    await until(lambda: bool(server.pods()) and bool(server.open))
    server.running(name_of(order))
    entry = launcher._entries[order.attempt.key]
    await until(lambda: entry.state.phase is AttemptPhase.RUNNING)
    server.mute = True
    server.ended(name_of(order))
    assert not (await launcher.observe(order.attempt, 0.3)).over
    entry.ask_at = 0.0
    entry.wake.set()
    await asyncio.sleep(0.05)
    entry.ask_at = 0.0
    assert (await launcher.observe(order.attempt, SOON_S)).exit_code == 0


async def test_somebody_elses_pod_of_that_name(server: FakeServer, new: New) -> None:
    launcher, order = new(), order_of()
    other = {"metadata": {"name": name_of(order), "annotations": {}}, "spec": {"containers": []}}
    await launcher.cluster().api.create(
        "pods", launcher.cluster().namespace_of(order.attempt.execution), other
    )
    await launcher.start(order)
    state = await launcher.observe(order.attempt, SOON_S)
    assert state.error is not None
    assert (state.error.code, state.error.recoverable, state.ran) == ("NameCollision", False, False)
    await launcher.release(order.attempt)
    assert server.count("DELETE", "") == 0
    assert len(server.pods()) == 1


async def test_the_pod_of_another_token_is_a_collision(server: FakeServer, new: New) -> None:
    """The same node and number of the same execution, made for another run: by its annotation, not by its labels."""
    launcher, order = new(), order_of()
    namespace = launcher.cluster().namespace_of(order.attempt.execution)
    other = pod_of(Wanted(order_of(attempt_of(token="other")), ClusterSettings(image="i")))
    other["metadata"] |= {"name": name_of(order), "labels": names.pod_labels(order.attempt, 1)}
    await launcher.cluster().api.create("pods", namespace, other)
    await launcher.start(order)
    state = await launcher.observe(order.attempt, SOON_S)
    assert state.error is not None
    assert state.error.code == "NameCollision"
    # It is left alone, also by who releases the attempt or stops it without having seen its pod.
    await launcher.release(order.attempt)
    await new().stop(order.attempt, 0)
    assert server.count("DELETE", "") == 0


async def test_a_pod_of_another_release_is_adopted(
    server: FakeServer, new: New, blobs: MemoryBlobStore
) -> None:
    """An upgrade changes templates, and with them the hash: what it looks like is not who it is (decision 0061)."""
    one, order = new(annotations={"release": "1"}, tmp_size="1Gi"), order_of()
    await one.start(order)
    await until(lambda: bool(server.pods()))
    begin(blobs, order)
    server.running(name_of(order))
    await one.close()
    two = new(annotations={"release": "2"}, tmp_size="2Gi")
    await two.start(order)
    await until(lambda: bool(server.open))
    server.ended(name_of(order))
    assert (await two.observe(order.attempt, SOON_S)).exit_code == 0
    assert server.count("POST", "/pods") == 1


async def test_an_input_too_large_for_a_command_is_told_as_by_podman(server: FakeServer, new: New) -> None:
    order = order_of()
    interface = Interface(inputs=(Variable(name="text", type=STRING),))
    container = ContainerSpec(image="i", command=("echo", "{{.inputs.text}}"), input_dir="/var/inputs")
    task = TaskSpec(name="m.count", type="container", interface=interface, container=container)
    large = {"text": Inline(value="x" * 200_000)}
    launcher = new()
    await launcher.start(order.model_copy(update={"task": task, "inputs": large}))
    state = await launcher.observe(order.attempt, SOON_S)
    assert state.error is not None
    assert (state.error.code, state.error.recoverable, state.ran) == ("InputTooLarge", False, False)
    assert "The input text of m.count is too large for a command (200,000 bytes" in state.error.message
    assert "read it from /var/inputs/text" in state.error.message
    assert server.pods() == []


async def test_a_pod_that_is_not_made_in_time_says_where_to_look(server: FakeServer, new: New) -> None:
    patient, hasty, order = new(), new(image_grace_s=0), order_of()
    await patient.start(order)
    await until(lambda: bool(server.pods()))
    server.pods()[0]["spec"]["nodeName"] = "n"
    server.status(name_of(order), phase="Pending")
    state = await message(patient, order, "its container is being made")
    assert "describe" not in state.message
    state = await message(hasty, order, f"`kubectl -n pro-j-dev describe pod {name_of(order)}`")
    assert state.phase is AttemptPhase.QUEUED


@pytest.mark.row(26)
async def test_quota_is_waited_for_in_words(server: FakeServer, new: New) -> None:
    text = 'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2'
    server.refusals += [(403, {"reason": "Forbidden", "message": text}, {})] * 2
    launcher, order = new(), order_of()
    await launcher.start(order)
    state = await message(launcher, order, "waiting for quota")
    assert state.phase is AttemptPhase.QUEUED
    await until(lambda: bool(server.pods()))


@pytest.mark.row(24)
async def test_a_busy_server_holds_up_all_creates(server: FakeServer, new: New) -> None:
    server.refusals.append((429, {"message": "busy"}, {"Retry-After": "1"}))
    launcher = new()
    first, second = order_of(), order_of(attempt_of("n1"))
    await launcher.start(first)
    await until(lambda: server.count("POST", "/pods") == 1)
    since = time.monotonic()
    await asyncio.sleep(0.1)
    await launcher.start(second)
    await until(lambda: len(server.pods()) == 2)
    assert time.monotonic() - since >= 0.9
    assert server.count("POST", "/pods") == 3


async def test_a_refusal_is_final(server: FakeServer, new: New) -> None:
    server.refusals.append((422, {"reason": "Invalid", "message": "spec.nodeName: Invalid"}, {}))
    launcher, order = new(), order_of()
    await launcher.start(order)
    state = await launcher.observe(order.attempt, SOON_S)
    assert state.error is not None
    assert (state.error.code, state.error.recoverable) == ("BadPod", False)
    assert "spec.nodeName" in state.error.message


@pytest.mark.parametrize("began", [False, True])
async def test_a_pod_is_given_up_by_the_clusters_word_of_now(
    server: FakeServer, new: New, *, began: bool
) -> None:
    """What the watch has said last may be old, if the cluster was away: meanwhile the image has come."""
    launcher, order = new(image_grace_s=1), order_of()
    await launcher.start(order)
    await until(lambda: bool(server.pods()))
    waits = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    server.status(name_of(order), containerStatuses=[{"name": "primary", "state": waits}])
    await message(launcher, order, "no such image")
    if began:
        (pod,) = server.pods()
        works = {"running": {"startedAt": "2026-11-26T10:00:00Z"}}
        pod["status"] = {"phase": "Running", "containerStatuses": [{"name": "primary", "state": works}]}
        asked = server.count("GET", f"/pods/{name_of(order)}")
        await until(lambda: server.count("GET", f"/pods/{name_of(order)}") > asked)
        server.ended(name_of(order))
    state = await launcher.observe(order.attempt, SOON_S)
    if began:
        assert (state.exit_code, state.error) == (0, None)
        assert server.count("DELETE", "/pods/") == 0
    else:
        assert state.error is not None
        assert state.error.code == "ImagePull"
        assert server.count("DELETE", "/pods/") == 1


async def test_a_stop_while_it_waits_for_quota(server: FakeServer, new: New, blobs: MemoryBlobStore) -> None:
    text = "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
    server.refusals += [(403, {"reason": "Forbidden", "message": text}, {})] * 1000
    launcher, order = new(), order_of()
    await launcher.start(order)
    await message(launcher, order, "waiting for quota")
    state = await launcher.stop(order.attempt, 1, Intent.TIMEOUT)
    assert (state.over, state.ran, state.intent) == (True, False, Intent.TIMEOUT)
    claim = orders.claimed(blobs, order.attempt)
    assert claim is not None
    assert not claim.began


async def test_a_stop_of_what_nobody_has_started(server: FakeServer, new: New) -> None:
    order = order_of()
    state = await new().stop(order.attempt)
    assert (state.over, state.ran) == (True, False)
    late = new()
    await late.start(order)
    assert (await late.observe(order.attempt, SOON_S)).over
    assert server.pods() == []


async def test_a_stop_before_there_is_a_pod_rests_while_the_cluster_is_away(
    new: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What woke it must not keep it awake: it would ask the cluster and the store thousands of times."""
    launcher, order = new(), order_of()
    asked = 0

    async def away(*_: Any, **__: Any) -> Any:
        nonlocal asked
        asked += 1
        raise ApiFailure(0, "", "nobody answers")

    for word in ("get", "create", "delete"):
        monkeypatch.setattr(launcher.cluster("default").api, word, away)
    await launcher.start(order)
    await until(lambda: asked > 0)
    stop = asyncio.create_task(launcher.stop(order.attempt, 1))
    await asyncio.sleep(2)
    stop.cancel()
    await asyncio.gather(stop, return_exceptions=True)
    assert asked < 50


async def test_a_stop_gives_the_pod_its_grace(server: FakeServer, new: New, blobs: MemoryBlobStore) -> None:
    launcher, order = new(), order_of()
    await launcher.start(order)
    await until(lambda: bool(server.pods()))
    begin(blobs, order)
    server.running(name_of(order))
    await message(launcher, order, "")
    stopping = asyncio.create_task(launcher.stop(order.attempt, 7))
    await until(lambda: bool(server.pods()[0]["metadata"].get("deletionTimestamp")))
    assert server.pods()[0]["metadata"]["deletionGracePeriodSeconds"] == 7
    assert not stopping.done()
    server.ended(name_of(order), 143)
    state = await stopping
    assert (state.exit_code, state.intent) == (143, Intent.CANCEL)


async def ending(
    server: FakeServer, new: New, blobs: MemoryBlobStore, order: AttemptOrder
) -> tuple[KubernetesLauncher, Entry]:
    """Return an attempt whose pod somebody has deleted and whose node does not confirm it."""
    launcher = new()
    await launcher.start(order)
    await until(lambda: bool(server.pods()) and bool(server.open))
    begin(blobs, order)
    server.running(name_of(order))
    entry = launcher._entries[order.attempt.key]
    await until(lambda: entry.state.phase is AttemptPhase.RUNNING)
    cluster = launcher.cluster()
    await cluster.api.delete("pods", entry.namespace, entry.name, entry.uid)
    await until(lambda: entry.deleting_since is not None)
    return launcher, entry


async def passes(entry: Entry, seconds: float) -> None:
    assert entry.deleting_since is not None
    entry.deleting_since -= seconds
    entry.wake.set()
    await asyncio.sleep(0.3)


@pytest.mark.row(21)
async def test_a_pod_whose_end_nobody_confirms_is_removed_by_force_if_its_task_says_so(
    server: FakeServer, new: New, blobs: MemoryBlobStore
) -> None:
    order = order_of(policy=TaskPolicy(safe_to_force=True))
    launcher, entry = await ending(server, new, blobs, order)
    # Not before its grace of 30 s, and a minute more.
    await passes(entry, 85)
    assert (len(server.pods()), server.count("DELETE", "/pods/")) == (1, 1)
    await passes(entry, 10)
    state = await launcher.observe(order.attempt, SOON_S)
    assert (state.phase, state.ran) == (AttemptPhase.LOST, True)
    assert "removed by force (safe_to_force)" in state.message
    error = without_manifest(order, state).error
    assert error is not None
    assert (error.kind, error.code) == (ErrorKind.SYSTEM, "PodDeletedExternally")
    assert "removed by force" in error.message
    assert server.pods() == []


@pytest.mark.row(21)
async def test_a_pod_whose_end_nobody_confirms_is_left_if_its_task_says_nothing(
    server: FakeServer, new: New, blobs: MemoryBlobStore
) -> None:
    order = order_of()
    launcher, entry = await ending(server, new, blobs, order)
    await passes(entry, 1000)
    assert not (await launcher.observe(order.attempt)).over
    assert (len(server.pods()), server.count("DELETE", "/pods/")) == (1, 1)


async def test_a_stop_removes_by_force_what_does_not_end(
    server: FakeServer, new: New, blobs: MemoryBlobStore
) -> None:
    order = order_of(policy=TaskPolicy(safe_to_force=True))
    launcher = new()
    await launcher.start(order)
    await until(lambda: bool(server.pods()))
    begin(blobs, order)
    server.running(name_of(order))
    entry = launcher._entries[order.attempt.key]
    stopping = asyncio.create_task(launcher.stop(order.attempt, 7))
    await until(lambda: entry.deleting_since is not None)
    await passes(entry, 60)
    assert not stopping.done()
    await passes(entry, 10)
    state = await stopping
    assert (state.phase, state.intent) == (AttemptPhase.EXITED, Intent.CANCEL)
    assert server.pods() == []


async def test_a_finalizer_outlives_force(server: FakeServer, new: New, blobs: MemoryBlobStore) -> None:
    """A pod that stays nevertheless is asked for once, not thousands of times."""
    order = order_of(policy=TaskPolicy(safe_to_force=True))
    launcher, entry = await ending(server, new, blobs, order)
    server.keeps_pods = True
    await passes(entry, 1000)
    assert not (await launcher.observe(order.attempt, 1)).over
    assert server.count("DELETE", "/pods/") == 2


async def test_an_outage_of_the_store_after_a_commands_end_is_waited_out(
    server: FakeServer, new: New, blobs: MemoryBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the sidecar has stored is there; that it cannot be committed yet is no reason to compute it again."""
    given = order_of()
    container = ContainerSpec(image="i", command=("true",), output_dir="/out")
    order = given.model_copy(update={"task": given.task.model_copy(update={"container": container})})
    answers = [(NO_STORE, "the store does not answer"), (0, "")]
    asked: list[tuple[str, ...]] = []

    async def moved(order: AttemptOrder, *words: str) -> tuple[int, str]:
        del order
        asked.append(words)
        return answers[min(len(asked), len(answers)) - 1]

    monkeypatch.setattr(beside, "move", moved)
    launcher = new()
    await launcher.start(order)
    await until(lambda: bool(server.pods()))
    begin(blobs, order)
    server.running(name_of(order))
    server.ended(name_of(order), 0)
    state = await launcher.observe(order.attempt, SOON_S)
    assert (state.phase, state.exit_code, state.message) == (AttemptPhase.EXITED, 0, "")
    assert [words[0] for words in asked] == ["commit", "commit"]
    assert server.count("POST", "/pods") == 1


async def test_who_could_not_store_the_outputs_tells_why(
    server: FakeServer, new: New, blobs: MemoryBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = order_of()
    container = ContainerSpec(image="i", command=("true",), output_dir="/out")
    order = given.model_copy(update={"task": given.task.model_copy(update={"container": container})})

    async def moved(_order: AttemptOrder, *_words: str) -> tuple[int, str]:
        return NO_MANIFEST, "Nothing is staged."

    monkeypatch.setattr(beside, "move", moved)
    launcher = new()
    await launcher.start(order)
    await until(lambda: bool(server.pods()))
    begin(blobs, order)
    server.running(name_of(order))
    end = {"exitCode": NO_MANIFEST, "message": "flyte-temporal: /outputs/o0 is no number\n"}
    statuses = [{"name": "flyte-temporal-after", "state": {"terminated": end}}]
    server.status(name_of(order), initContainerStatuses=statuses)
    server.ended(name_of(order), 0)
    state = await launcher.observe(order.attempt, SOON_S)
    assert state.message == "Nothing is staged.\nflyte-temporal: /outputs/o0 is no number"


@pytest.mark.row(2)
async def test_a_worker_that_ends_leaves_pods_alone(server: FakeServer, new: New) -> None:
    launcher, order = new(), order_of()
    await launcher.start(order)
    await until(lambda: bool(server.pods()))
    await launcher.close()
    assert server.count("DELETE", "") == 0


async def test_a_cluster_that_is_not_in_the_settings(new: New) -> None:
    order = order_of()
    elsewhere = order.environment.model_copy(update={"cluster": "far"})
    with pytest.raises(UnsupportedSpec, match="no cluster 'far' in its settings; it has: default"):
        await new().start(order.model_copy(update={"environment": elsewhere}))
