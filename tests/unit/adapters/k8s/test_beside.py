"""Containers without our runtime, in pods."""

from __future__ import annotations

from typing import Any

from flyte_temporal.adapters.launchers.kubernetes.pods import Wanted, pod_of, primary_of
from flyte_temporal.config.clusters import ClusterSettings
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.entities import ContainerSpec, TaskSpec
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.policies import TaskPolicy
from flyte_temporal.spec.types import INTEGER, STRING
from tests.unit.adapters.k8s.made import order_of


def order() -> AttemptOrder:
    container = ContainerSpec(
        image="alpine:3",
        command=("sh", "-c", "echo {{.inputs.x}} $(HOME)"),
        input_dir="/var/inputs",
        output_dir="/var/outputs",
    )
    interface = Interface(
        inputs=(Variable(name="x", type=INTEGER),), outputs=(Variable(name="y", type=STRING),)
    )
    task = TaskSpec(
        name="docs.count",
        type="container",
        interface=interface,
        container=container,
        policy=TaskPolicy(env={"A": "b"}),
    )
    return order_of().model_copy(update={"task": task, "inputs": {"x": Inline(value=7)}})


def by_name(containers: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {container["name"]: container for container in containers}


def test_ours_stand_before_and_beside_the_users() -> None:
    pod = pod_of(Wanted(order(), ClusterSettings(image="ours:1", image_pull_policy="Never")))
    spec = pod["spec"]
    assert primary_of(pod) == "primary"
    (users,) = spec["containers"]
    assert (users["image"], users["command"]) == ("alpine:3", ["sh", "-c", "echo 7 $$(HOME)"])
    # Nothing of the platform's own in its environment.
    assert users["env"] == [{"name": "A", "value": "b"}]
    mounts = {m["mountPath"]: m["name"] for m in users["volumeMounts"]}
    assert {"/var/inputs", "/var/outputs", "/tmp"} == set(mounts)
    ours = by_name(spec["initContainers"])
    before, after = ours["flyte-temporal-before"], ours["flyte-temporal-after"]
    key = f"{order().attempt.key}/order.json"
    assert before["command"][-5:] == ["download", key, "--to", "/inputs", "--claim"]
    assert "restartPolicy" not in before
    assert after["restartPolicy"] == "Always"
    upload = ["upload", key, "--from", "/outputs", "--stage", "--on-sigterm", "--ready"]
    assert after["command"][-8:-1] == upload
    # A command may end at once: its container waits until the end is waited for, and the outputs have time.
    assert after["command"][-1] in after["startupProbe"]["exec"]["command"][-1]
    assert spec["terminationGracePeriodSeconds"] >= 300
    assert {before["image"], after["image"]} == {"ours:1"}
    assert {m["name"] for m in before["volumeMounts"]} <= {v["name"] for v in spec["volumes"]}
    assert {m["name"] for m in users["volumeMounts"]} <= {v["name"] for v in spec["volumes"]}
