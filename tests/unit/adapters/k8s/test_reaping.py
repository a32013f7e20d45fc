"""What the reaper removes, and what it leaves alone."""

# ruff: noqa: ASYNC110
# The server tells nobody when it has a pod.
from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from flyte_temporal.adapters.launchers.kubernetes import names, reaping
from flyte_temporal.adapters.launchers.kubernetes.launcher import KubernetesLauncher
from flyte_temporal.adapters.launchers.kubernetes.reaping import Known, Reaper
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.testing.blobs import MemoryBlobStore
from tests.unit.adapters.k8s.made import attempt_of, order_of, until
from tests.unit.adapters.k8s.server import FakeServer, settings_of


@pytest.mark.parametrize("wide", [False, True])
async def test_only_what_nobody_needs_is_removed(server: FakeServer, tmp_path: Path, wide: bool) -> None:
    blobs = MemoryBlobStore()
    cluster = settings_of(server, tmp_path, reap_closed_s=0, owner_ttl_s=0, cluster_wide=wide)
    before = KubernetesLauncher({"default": cluster}, blobs)
    said = {"open": Known.OPEN, "over": Known.CLOSED, "unknown": Known.ABSENT, "mine": Known.CLOSED}
    orders = {name: order_of(attempt_of(name=name)) for name in said}
    orders["committed"] = order_of(attempt_of("n1", name="open"))
    for order in orders.values():
        await before.start(order)
    while len(server.pods()) < len(orders):
        await asyncio.sleep(0.01)
    await before.close()
    blobs.put_new(keys.manifest(orders["committed"].attempt), b"{}")

    launcher = KubernetesLauncher({"default": cluster}, blobs)

    async def known(execution: ExecutionId) -> Known:
        return said[execution.name]

    await launcher.start(orders["mine"])
    reaper = Reaper(launcher, known)
    await reaper.sweep([orders["open"].attempt.execution])
    left = {pod["metadata"]["name"] for pod in server.pods()}
    assert left == {names.pod_name(orders[name].attempt) for name in ("open", "unknown", "mine")}
    owners = {key[2] for key in server.objects if key[0] == "configmaps"}
    assert owners == {names.owner_name(orders[name].attempt.execution) for name in ("open", "unknown")}
    await launcher.close()


async def test_what_somebody_has_written_into_an_object_keeps_nothing_else(
    server: FakeServer, tmp_path: Path
) -> None:
    cluster = settings_of(server, tmp_path, reap_closed_s=0, owner_ttl_s=0)
    before = KubernetesLauncher({"default": cluster}, MemoryBlobStore())
    for name in ("odd", "usual"):
        await before.start(order_of(attempt_of(name=name)))
    while len(server.pods()) < 2:
        await asyncio.sleep(0.01)
    await before.close()
    for (kind, _, name), thing in server.objects.items():
        if kind == "configmaps" and name == names.owner_name(attempt_of(name="odd").execution):
            thing["metadata"]["annotations"][names.EXECUTION] = "oops"
    launcher = KubernetesLauncher({"default": cluster}, MemoryBlobStore())

    async def known(_: ExecutionId) -> Known:
        return Known.CLOSED

    assert await Reaper(launcher, known).sweep([attempt_of().execution]) == 3
    assert [key[2] for key in server.objects if key[0] == "configmaps"] == [
        names.owner_name(attempt_of(name="odd").execution)
    ]
    await launcher.close()


async def test_what_is_closed_stays_for_a_while(server: FakeServer, tmp_path: Path) -> None:
    launcher = KubernetesLauncher({"default": settings_of(server, tmp_path)}, MemoryBlobStore())
    order = order_of()
    await launcher.start(order)
    while not server.pods():
        await asyncio.sleep(0.01)
    await launcher.close()
    later = KubernetesLauncher({"default": settings_of(server, tmp_path)}, MemoryBlobStore())

    async def known(_: ExecutionId) -> Known:
        return Known.CLOSED

    assert await Reaper(later, known).sweep([order.attempt.execution]) == 0
    assert len(server.pods()) == 1
    await later.close()


async def test_pods_of_another_installation_in_the_namespace_are_left_alone(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaping, "_ABSENT_S", 0.0)
    cluster = settings_of(server, tmp_path, reap_closed_s=0, owner_ttl_s=0)
    said = {"same": Known.CLOSED}

    async def known(execution: ExecutionId) -> Known:
        return said.get(execution.name, Known.ABSENT)

    def there(count: int) -> bool:
        return len(server.pods()) == count

    # Each has an execution of the same name, and one that the other one has not; an older release marked nothing.
    made = [("s3://ours/root", "same"), ("s3://ours/root/", "ours"), ("s3://theirs/root", "same")]
    made += [("s3://theirs/root", "theirs"), ("", "old"), ("", "same")]
    orders = [order_of(attempt_of(token=f"t{number}", name=name)) for number, (_, name) in enumerate(made)]
    for number, (root, _) in enumerate(made):
        storage = StorageConfig(root=root) if root else None
        before = KubernetesLauncher({"default": cluster}, MemoryBlobStore(), storage=storage)
        await before.start(orders[number])
        await until(partial(there, number + 1))
        await before.close()

    ours = KubernetesLauncher(
        {"default": cluster}, MemoryBlobStore(), storage=StorageConfig(root="s3://ours/root")
    )
    assert await Reaper(ours, known).sweep([orders[0].attempt.execution]) == 6
    left = {pod["metadata"]["name"] for pod in server.pods()}
    assert left == {names.pod_name(orders[number].attempt) for number in (2, 3, 4)}
    theirs = names.installation_of("s3://theirs/root")
    owners = {key[2] for key in server.objects if key[0] == "configmaps"}
    assert owners == {
        names.owner_name(orders[2].attempt.execution, theirs),
        names.owner_name(orders[3].attempt.execution, theirs),
        names.owner_name(orders[4].attempt.execution),
    }
    await ours.close()


async def test_a_cluster_that_is_never_to_be_swept_is_not_swept_with_another(
    server: FakeServer, tmp_path: Path
) -> None:
    clusters = {
        name: settings_of(server, tmp_path, namespace=name, reap_s=every, reap_closed_s=0, owner_ttl_s=0)
        for name, every in (("default", 60.0), ("kept", 0.0))
    }
    before = KubernetesLauncher(clusters, MemoryBlobStore())
    for number, name in enumerate(clusters):
        order = order_of(attempt_of(f"n{number}"))
        environment = order.environment.model_copy(update={"cluster": name})
        await before.start(order.model_copy(update={"environment": environment}))
    await until(lambda: len(server.pods()) == len(clusters))
    await before.close()

    async def known(_: ExecutionId) -> Known:
        return Known.CLOSED

    later = KubernetesLauncher(clusters, MemoryBlobStore())
    await Reaper(later, known).sweep([attempt_of().execution])
    assert {namespace for _, namespace, _ in server.objects} == {"kept"}
    await later.close()
