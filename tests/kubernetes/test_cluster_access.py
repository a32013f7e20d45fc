"""A worker needs all that deploy/k8s grants it, and nothing else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flyte_temporal.adapters.launchers.kubernetes.api import OWNERS
from flyte_temporal.adapters.launchers.kubernetes.client import KubernetesApi
from flyte_temporal.adapters.launchers.kubernetes.reaping import Known, Reaper
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.policies import TaskPolicy
from tests.kubernetes.api_proxy import api_proxy
from tests.kubernetes.bench import container_order
from tests.kubernetes.ground import DEPLOY, WORKER, Ground, ground, witness
from tests.kubernetes.kubectl import Kubectl

ROLE = "flyte-temporal-launcher"


@pytest.fixture(scope="module")
def place(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(kubectl, tmp_path_factory.mktemp("ground")) as made:
        yield made


def granted() -> set[tuple[str, str]]:
    documents = yaml.safe_load_all((DEPLOY / "domain" / "access.yaml").read_text(encoding="utf-8"))
    role = next(document for document in documents if document["kind"] == "Role")
    return {
        (verb, resource) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }


def may(place: Ground, verb: str, resource: str, namespace: str) -> bool:
    who = f"--as=system:serviceaccount:{place.accounts}:{WORKER}"
    plural, _, part = resource.partition("/")
    asked = ["auth", "can-i", verb, plural, "--namespace", namespace, who]
    # As pods/exec it would be a pod named exec.
    said = place.kubectl.said(*asked, *([f"--subresource={part}"] if part else []))
    return said.stdout.strip() == "yes"


def test_it_may_do_there_what_is_granted_and_nothing_else(place: Ground) -> None:
    for verb, resource in granted():
        assert may(place, verb, resource, place.namespace), (verb, resource)
        assert not may(place, verb, resource, "kube-system"), (verb, resource)
        assert not may(place, verb, resource, place.accounts), "not even where it runs itself"
    for verb, resource in (
        ("get", "secrets"),
        ("list", "secrets"),
        ("create", "pods/exec"),
        ("patch", "pods"),
        ("update", "pods"),
        ("deletecollection", "pods"),
        ("create", "pods/eviction"),
        ("update", "configmaps"),
        ("create", "serviceaccounts/token"),
        ("create", "rolebindings"),
        ("create", "namespaces"),
        ("delete", "nodes"),
    ):
        assert not may(place, verb, resource, place.namespace), (verb, resource)


@pytest.mark.timeout(300)
async def test_what_is_granted_is_needed_and_suffices(place: Ground, tmp_path: Path) -> None:
    """A launcher with that account's token runs, adopts, stops and removes pods; what it asked for is what it was granted."""
    template = {
        "metadata": {"name": "named", "namespace": place.namespace},
        "template": {"spec": {"containers": [{"name": "primary", "image": place.task}]}},
    }
    place.kubectl.apply({"apiVersion": "v1", "kind": "PodTemplate", **template})
    bench = place.bench
    done = bench.order("work.add", {"n": 41}, policy=TaskPolicy(pod_template="named"))
    stopped, adopted = (bench.order("work.hold") for _ in range(2))
    next_try = done.attempt.model_copy(update={"number": 2, "token": "next"})
    again = done.model_copy(update={"attempt": next_try})
    # What a container without our runtime prints, the launcher itself stores.
    printed = container_order(bench.order("work.add", {"n": 1}), "echo a word")

    async def closed(_: ExecutionId) -> Known:
        return Known.CLOSED

    with api_proxy(place.kubectl.kubeconfig, place.token()) as proxy, witness(place):
        kubeconfig = proxy.written(tmp_path)
        async with place.launcher(kubeconfig) as first:
            for order in (done, stopped, adopted, printed):
                await first.start(order)
            states = await place.finished(first, [done, printed], 120)
            assert [state.exit_code for state in states.values()] == [0, 0]
            assert bench.log(printed) == "a word\n"
        async with place.launcher(kubeconfig, owner_ttl_s=0.0) as second:
            for order in (stopped, adopted, again):
                await second.start(order)
            assert (await second.stop(stopped.attempt, 2.0)).over
            await asyncio.to_thread(place.let_go, adopted)
            states = await place.finished(second, [adopted, again], 120)
            assert [state.exit_code for state in states.values()] == [0, 0]
            for order in (done, stopped, adopted, again, printed):
                await second.release(order.attempt)
            assert await Reaper(second, closed).sweep([done.attempt.execution]) >= 3
        used = set(proxy.counted())
    await place.emptied()
    assert place.succeeded(done, adopted, again, printed)
    assert used - granted() == set()
    assert granted() - used == set()


async def test_a_role_of_an_earlier_release_costs_the_log_alone(place: Ground, tmp_path: Path) -> None:
    role = place.kubectl.get("role", ROLE, "--namespace", place.namespace)
    older = {**role, "rules": [rule for rule in role["rules"] if rule["resources"] != ["pods/log"]]}
    order = container_order(place.bench.order("work.add", {"n": 1}), "echo a word; exit 6")
    with api_proxy(place.kubectl.kubeconfig, place.token()) as proxy:
        replace(place, older)
        try:
            async with place.launcher(proxy.written(tmp_path)) as launcher:
                await launcher.start(order)
                (state,) = (await place.finished(launcher, [order], 120)).values()
                await launcher.release(order.attempt)
        finally:
            replace(place, role)
    # Its last words are the pod's own.
    assert (state.exit_code, state.message.splitlines()[0]) == (6, "a word")
    said = place.bench.log(order)
    assert "lacks the right to `get` `pods/log`" in said
    assert said.count("\n") == 1
    await place.emptied()


def replace(place: Ground, role: dict[str, Any]) -> None:
    """Have the worker's role as it is here, and wait until the cluster goes by it."""
    wanted = any(rule["resources"] == ["pods/log"] for rule in role["rules"])
    rules = json.dumps([{"op": "replace", "path": "/rules", "value": role["rules"]}])
    place.kubectl.run("patch", "role", ROLE, "--namespace", place.namespace, "--type=json", "--patch", rules)
    end = time.monotonic() + 30
    while may(place, "get", "pods/log", place.namespace) != wanted:
        assert time.monotonic() < end
        time.sleep(0.2)


async def test_long_answers_which_come_compressed_are_read_through_the_proxy(
    place: Ground, tmp_path: Path
) -> None:
    labels = {"long": "answer"}
    place.kubectl.apply(
        *(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"long-{number}", "namespace": place.namespace, "labels": labels},
                "data": {"text": "x" * 100_000},
            }
            for number in range(2)
        )
    )
    with api_proxy(place.kubectl.kubeconfig) as proxy:
        api = KubernetesApi(place.settings(proxy.written(tmp_path)))
        found = await api.page(OWNERS, place.namespace, "long=answer")
        await api.close()
    assert [len(one["data"]["text"]) for one in found["items"]] == [100_000] * 2
