"""Containers without our runtime, in pods."""

from __future__ import annotations

from typing import Any

import pytest

from flyte_temporal.adapters.launchers.kubernetes.pods import Wanted, pod_of, primary_of
from flyte_temporal.adapters.launchers.kubernetes.refusals import PodRefused
from flyte_temporal.config.clusters import ClusterSettings
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.entities import ContainerSpec, TaskSpec
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.policies import PodTemplate, SecretRequest, TaskPolicy
from flyte_temporal.spec.types import INTEGER, STRING
from tests.unit.adapters.k8s.made import expanded, order_of


def order() -> AttemptOrder:
    container = ContainerSpec(
        image="alpine:3",
        command=("sh", "-c", "echo {{.inputs.x}} $(HOME) $$ $$(HOME)"),
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
        policy=TaskPolicy(env={"A": "b", "FLYTE_SECRETS_ENV_PREFIX": "MINE_"}),
    )
    return order_of().model_copy(update={"task": task, "inputs": {"x": Inline(value=7)}})


def by_name(containers: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {container["name"]: container for container in containers}


def test_ours_stand_before_and_beside_the_users() -> None:
    pod = pod_of(Wanted(order(), ClusterSettings(image="ours:1", image_pull_policy="Never")))
    spec = pod["spec"]
    assert primary_of(pod) == "primary"
    (users,) = spec["containers"]
    assert users["image"] == "alpine:3"
    words = [expanded(word, {"HOME": "/root"}) for word in users["command"]]
    assert words == ["sh", "-c", "echo 7 $(HOME) $$ $$(HOME)"]
    # Nothing of the platform's own in its environment.
    assert users["env"] == [{"name": "A", "value": "b"}]
    assert all("A" not in {e["name"] for e in ours["env"]} for ours in spec["initContainers"])
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


def test_secrets_and_variables_are_the_tasks_and_the_stores_keys_are_ours() -> None:
    secret = SecretRequest(group="db", key="password", env_var="DB_PASSWORD")
    inline = PodTemplate(pod_spec={"containers": [{"name": "primary", "env": [{"name": "T", "value": "t"}]}]})
    policy = TaskPolicy(env={"A": "b"}, secrets=(secret,), pod=inline)
    given = order()
    environment = given.environment.model_copy(update={"env": {"R": "r"}})
    given = given.model_copy(
        update={"task": given.task.model_copy(update={"policy": policy}), "environment": environment}
    )
    cluster = ClusterSettings(image="ours:1", env={"C": "c"}, secret_env={"AWS_SECRET_ACCESS_KEY": "s3/key"})
    spec = pod_of(Wanted(given, cluster))["spec"]
    env = {e["name"]: e for e in spec["containers"][0]["env"]}
    assert {name: e["value"] for name, e in env.items() if "value" in e} == {
        "A": "b",
        "C": "c",
        "R": "r",
        "T": "t",
    }
    reference = {"secretKeyRef": {"name": "db", "key": "password"}}
    assert env["_FSEC_DB_PASSWORD"]["valueFrom"] == env["DB_PASSWORD"]["valueFrom"] == reference
    assert "AWS_SECRET_ACCESS_KEY" not in env
    for ours in spec["initContainers"]:
        names = {e["name"] for e in ours["env"]}
        assert {"AWS_SECRET_ACCESS_KEY", "FLYTE_TEMPORAL_STORAGE", "C"} <= names
        assert names.isdisjoint({"_FSEC_DB_PASSWORD", "DB_PASSWORD", "A", "R", "T"})


def test_what_never_ends_by_itself_does_not_stand_beside_it() -> None:
    native = {"name": "proxy", "image": "p:1", "restartPolicy": "Always"}
    plain = PodTemplate(pod_spec={"containers": [{"name": "proxy", "image": "p:1"}]})
    given = order()

    def pod(template: PodTemplate) -> dict[str, Any]:
        task = given.task.model_copy(update={"policy": TaskPolicy(pod=template)})
        return pod_of(Wanted(given.model_copy(update={"task": task}), ClusterSettings(image="ours:1")))

    with pytest.raises(PodRefused, match="'proxy' would stand beside a ContainerTask"):
        pod(plain)
    assert "proxy" in by_name(
        pod(PodTemplate(pod_spec={"initContainers": [native]}))["spec"]["initContainers"]
    )


def test_inputs_cannot_be_written_to() -> None:
    (users,) = pod_of(Wanted(order(), ClusterSettings(image="ours:1")))["spec"]["containers"]
    mounts = {m["mountPath"]: m.get("readOnly", False) for m in users["volumeMounts"]}
    assert mounts == {"/tmp": False, "/var/inputs": True, "/var/outputs": False}
