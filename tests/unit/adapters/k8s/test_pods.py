"""Pods as documents: what a task asks for, what the platform adds, and what nobody may ask for."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_temporal.adapters.launchers.kubernetes import names
from flyte_temporal.adapters.launchers.kubernetes.pods import Wanted, pod_of
from flyte_temporal.adapters.launchers.kubernetes.refusals import PodRefused
from flyte_temporal.config.clusters import Amounts, ClusterSettings, Placement
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.policies import (
    PodTemplate,
    Resources,
    ResourceValues,
    SecretRequest,
    TaskPolicy,
    Timeouts,
)
from tests.unit.adapters.k8s.made import attempt_of, expanded, order_of

CLUSTER = ClusterSettings(image="reg/task:1", limits=Amounts())
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?")


def made(policy: TaskPolicy | None = None, cluster: ClusterSettings = CLUSTER, **more: Any) -> dict[str, Any]:
    order = {k: more.pop(k) for k in ("image", "interruptible", "grace_s") if k in more}
    return pod_of(Wanted(order_of(policy=policy, **order), cluster, **more))


def primary(pod: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pod["spec"]["containers"][0]
    return found


def template(**spec: Any) -> TaskPolicy:
    return TaskPolicy(pod=PodTemplate(pod_spec=spec))


# ---- names


@given(
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,90}(\.[A-Za-z0-9_-]{1,20})?", fullmatch=True),
    node=st.from_regex(
        r"[a-z][A-Za-z0-9_-]{0,60}(\[[0-9]{1,6}\])?(\.[a-z][a-z0-9]{0,9}){0,3}", fullmatch=True
    ),
    number=st.integers(1, 9999),
)
def test_names_and_labels_are_ones_that_kubernetes_takes(name: str, node: str, number: int) -> None:
    attempt = attempt_of(node, number, name=name)
    pod = names.pod_name(attempt)
    assert NAME.fullmatch(pod)
    assert len(pod) <= 63
    assert pod == names.pod_name(attempt)
    assert NAME.fullmatch(names.owner_name(attempt.execution))
    for value in names.pod_labels(attempt, 4).values():
        assert LABEL.fullmatch(value), value
        assert len(value) <= 63


def test_attempts_that_differ_have_pods_that_differ() -> None:
    ids = [attempt_of(), attempt_of(number=2), attempt_of(token="t2"), attempt_of("n1"), attempt_of("n0[1]")]
    ids += [attempt_of("n0[10]"), attempt_of("n-0"), attempt_of("n_0"), attempt_of(name="exec-10")]
    assert len({names.pod_name(one) for one in ids}) == len(ids)
    assert names.pod_name(attempt_of()).startswith("exec-1-n0-")
    assert names.pod_name(attempt_of(number=3)).endswith("-3")


def test_texts_that_are_cut_for_a_label_stay_two() -> None:
    assert names.label("a" * 70) != names.label("a" * 71)
    assert names.label("fine-1.x") == "fine-1.x"


# ---- what is always there


def test_the_least_pod() -> None:
    pod = made()
    spec, container = pod["spec"], primary(pod)
    assert pod["metadata"]["namespace"] == "pro-j-dev"
    assert pod["metadata"]["annotations"][names.KEY] == attempt_of().key
    assert pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert (spec["restartPolicy"], spec["automountServiceAccountToken"]) == ("Never", False)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["command"][1:] == [
        "-P",
        "-m",
        "flyte_temporal.runtime",
        "--stored",
        f"{attempt_of().key}/order.json",
    ]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert container["resources"] == {
        "requests": {"cpu": "500m", "memory": "512Mi", "ephemeral-storage": "1Gi"},
        "limits": {"memory": "512Mi"},
    }
    mounts = [m["mountPath"] for m in container["volumeMounts"]]
    assert mounts == ["/tmp"]
    assert spec["volumes"] == [{"name": "flyte-temporal-tmp", "emptyDir": {"sizeLimit": "5Gi"}}]
    storage = next(e["value"] for e in container["env"] if e["name"] == "FLYTE_TEMPORAL_STORAGE")
    assert json.loads(storage)["root"] == "s3://bucket/root"
    assert "activeDeadlineSeconds" not in spec


def test_equal_orders_have_equal_pods() -> None:
    assert made() == made()
    other = made(TaskPolicy(resources=Resources(limits=ResourceValues(mem="1Gi"))))
    assert (
        other["metadata"]["annotations"][names.SPEC_HASH]
        != made()["metadata"]["annotations"][names.SPEC_HASH]
    )


def test_the_image_is_the_tasks_then_the_templates_then_the_requests_then_the_clusters() -> None:
    inline = PodTemplate(pod_spec={"containers": [{"name": "primary", "image": "template"}]})
    assert primary(made())["image"] == "reg/task:1"
    assert primary(made(image="request"))["image"] == "request"
    assert primary(made(TaskPolicy(pod=inline), image="request"))["image"] == "template"
    assert primary(made(TaskPolicy(pod=inline, image="task"), image="request"))["image"] == "task"
    # The cluster asks for an image in every template that it keeps, whether it is meant or not.
    kept = {"template": {"spec": {"containers": [{"name": "primary", "image": "kept"}]}}}
    assert primary(made(named=kept, image="request"))["image"] == "request"
    assert primary(made(named=kept))["image"] == "reg/task:1"
    for _ in range(2):
        assert primary(made(cluster=ClusterSettings(), named=kept))["image"] == "kept"
    assert primary(made(TaskPolicy(pod=inline), named=kept))["image"] == "template"
    with pytest.raises(PodRefused, match="names no image") as refused:
        made(cluster=ClusterSettings())
    assert refused.value.document().recoverable is False


def test_the_cluster_ends_what_we_have_forgotten() -> None:
    """Its clock runs while images are pulled, too: who waited for one must not be ended by it."""
    cluster = CLUSTER.model_copy(update={"image_grace_s": 100.0})
    limited = TaskPolicy(timeouts=Timeouts(run_s=90.5))
    assert made(limited, cluster)["spec"]["activeDeadlineSeconds"] == 91 + 200 + 60
    assert made(None, cluster, run_s=3600.0)["spec"]["activeDeadlineSeconds"] == 3600 + 200 + 60


def test_a_pod_belongs_to_its_execution() -> None:
    owner = made(owner=("exec-1-abc", "uid-1"))["metadata"]["ownerReferences"]
    assert owner == [{"apiVersion": "v1", "kind": "ConfigMap", "name": "exec-1-abc", "uid": "uid-1"}]


def test_pods_reach_the_store_by_their_own_address() -> None:
    inside = StorageConfig(root="s3://bucket/root", options={"endpoint_url": "http://10.0.0.1"})
    cluster = CLUSTER.model_copy(
        update={"storage": inside, "secret_env": {"AWS_SECRET_ACCESS_KEY": "s3/key"}}
    )
    env = {e["name"]: e for e in primary(made(cluster=cluster))["env"]}
    assert "10.0.0.1" in env["FLYTE_TEMPORAL_STORAGE"]["value"]
    assert env["AWS_SECRET_ACCESS_KEY"]["valueFrom"] == {"secretKeyRef": {"name": "s3", "key": "key"}}


def test_kubernetes_does_not_replace_what_looks_like_its_variables() -> None:
    text = "$(HOME) $x $$ $$(HOME) a$"
    cluster = CLUSTER.model_copy(update={"env": {"TEXT": text}})
    env = {e["name"]: e.get("value") for e in primary(made(cluster=cluster))["env"]}
    assert expanded(env["TEXT"] or "", {"HOME": "/root"}) == text
    assert expanded("$(HOME) $(NONE) $$(HOME) $$", {"HOME": "/root"}) == "/root $(NONE) $(HOME) $"


# ---- what a task asks for


def test_resources() -> None:
    both = Resources(requests=ResourceValues(cpu="1", mem="1Gi"), limits=ResourceValues(cpu="2", mem="2Gi"))
    assert primary(made(TaskPolicy(resources=both)))["resources"] == {
        "requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"},
        "limits": {"cpu": "2", "memory": "2Gi"},
    }
    only = Resources(limits=ResourceValues(mem="64Mi", gpu="2"))
    assert primary(made(TaskPolicy(resources=only)))["resources"] == {
        "requests": {"cpu": "500m", "memory": "64Mi", "ephemeral-storage": "1Gi", "nvidia.com/gpu": "2"},
        "limits": {"memory": "64Mi", "nvidia.com/gpu": "2"},
    }


def test_of_what_is_limited_by_default_less_is_reserved() -> None:
    """Of what has a limit and no request the API server reserves the limit: ten gigabytes of a node's disk for each pod."""
    found = primary(made(cluster=ClusterSettings(image="i")))["resources"]
    assert found["limits"]["ephemeral-storage"] == "10Gi"
    assert found["requests"]["ephemeral-storage"] == "1Gi"


@pytest.mark.parametrize(
    ("written", "requests", "limits"),
    [
        ({"requests": {"mem": "2Gi"}}, {"cpu": "500m", "memory": "2Gi", "ephemeral-storage": "1Gi"}, "10Gi"),
        ({"limits": {"cpu": "4"}}, {"cpu": "500m", "memory": "512Mi", "ephemeral-storage": "1Gi"}, "10Gi"),
        (
            {"limits": {"ephemeral_storage": "256Mi"}},
            {"cpu": "500m", "memory": "512Mi", "ephemeral-storage": "256Mi"},
            "256Mi",
        ),
        (
            {"requests": {"cpu": ""}, "limits": {"ephemeral_storage": ""}},
            {"memory": "512Mi", "ephemeral-storage": "1Gi"},
            None,
        ),
    ],
)
def test_what_a_clusters_settings_do_not_write_is_as_by_default(
    written: dict[str, Any], requests: dict[str, str], limits: str | None
) -> None:
    found = primary(made(cluster=ClusterSettings.model_validate({"image": "i"} | written)))["resources"]
    assert found["requests"] == requests
    assert found["limits"].get("ephemeral-storage") == limits


def test_what_stands_beside_a_task_keeps_to_the_maxima_too() -> None:
    cluster = CLUSTER.model_copy(update={"most": Amounts(mem="8Gi")})
    made(sidecar(resources={"limits": {"memory": "8Gi"}}), cluster)
    with pytest.raises(PodRefused, match="'beside': the request of memory, 9Gi, is more"):
        made(sidecar(resources={"requests": {"memory": "9Gi"}}), cluster)
    with pytest.raises(PodRefused, match="'beside': the limit of cpu, 'much', is no quantity"):
        made(sidecar(resources={"limits": {"cpu": "much"}}), cluster)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            Resources(requests=ResourceValues(mem="2Gi"), limits=ResourceValues(mem="1Gi")),
            "asks for 2Gi of memory",
        ),
        (Resources(limits=ResourceValues(mem="9Gi")), "more than this cluster allows"),
        (Resources(requests=ResourceValues(gpu="3")), "nvidia.com/gpu, 3, is more"),
        (Resources(requests=ResourceValues(cpu="many")), "is no quantity"),
    ],
)
def test_resources_that_cannot_be(asked: Resources, words: str) -> None:
    cluster = CLUSTER.model_copy(update={"most": Amounts(mem="8Gi", gpu="2")})
    with pytest.raises(PodRefused, match=words):
        made(TaskPolicy(resources=asked), cluster)


def test_an_accelerator_and_shared_memory() -> None:
    asked = Resources(
        limits=ResourceValues(gpu="1"),
        accelerator="nvidia-a100",
        accelerator_partition="2g.10gb",
        shared_memory="1Gi",
    )
    spec = made(TaskPolicy(resources=asked), CLUSTER.model_copy(update={"partition_label": "part"}))["spec"]
    assert spec["nodeSelector"] == {"k8s.amazonaws.com/accelerator": "nvidia-a100", "part": "2g.10gb"}
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]
    shm = {"name": "flyte-temporal-shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}
    assert shm in spec["volumes"]
    assert {"name": "flyte-temporal-shm", "mountPath": "/dev/shm"} in spec["containers"][0]["volumeMounts"]


def test_a_part_of_an_accelerator_needs_the_label_of_the_nodes() -> None:
    with pytest.raises(PodRefused, match="partition_label"):
        made(TaskPolicy(resources=Resources(limits=ResourceValues(gpu="1"), accelerator_partition="2g.10gb")))


def test_spot_and_on_demand() -> None:
    taint = {"key": "spot", "operator": "Exists"}
    cluster = CLUSTER.model_copy(
        update={
            "spot": Placement(node_selector={"pool": "spot"}, tolerations=(taint,)),
            "on_demand": Placement(node_selector={"pool": "stays"}),
        }
    )
    spot, stays = made(cluster=cluster, interruptible=True), made(cluster=cluster)
    assert (spot["spec"]["nodeSelector"], spot["spec"]["tolerations"]) == ({"pool": "spot"}, [taint])
    assert spot["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "true"
    assert stays["spec"]["nodeSelector"] == {"pool": "stays"}
    assert "tolerations" not in stays["spec"]


def test_secrets() -> None:
    asked = (
        SecretRequest(group="db", key="password"),
        SecretRequest(group="certs", key="ca.pem", mount="file"),
        SecretRequest(group="whole", key=""),
    )
    pod = made(TaskPolicy(secrets=asked))
    env = {e["name"]: e for e in primary(pod)["env"]}
    assert env["_FSEC_DB_PASSWORD"]["valueFrom"] == {"secretKeyRef": {"name": "db", "key": "password"}}
    mounts = {m["mountPath"] for m in primary(pod)["volumeMounts"]}
    assert mounts == {"/tmp", "/etc/flyte/secrets/certs/ca.pem", "/etc/flyte/secrets/whole"}
    with pytest.raises(PodRefused, match="has no group"):
        made(TaskPolicy(secrets=(SecretRequest(group="", key="k"),)))


def test_a_secret_that_is_asked_for_twice_as_a_file_is_mounted_once() -> None:
    """Kubernetes refuses a pod that mounts two things in one place."""
    asked = SecretRequest(group="db", key="password", mount="file")
    named = asked.model_copy(update={"env_var": "PGPASSFILE"})
    pod = made(TaskPolicy(secrets=(asked, named)))
    mounts = [m["mountPath"] for m in primary(pod)["volumeMounts"]]
    assert mounts == ["/tmp", "/etc/flyte/secrets/db/password"]
    env = {e["name"]: e.get("value") for e in primary(pod)["env"]}
    assert env["PGPASSFILE"] == "/etc/flyte/secrets/db/password"


def test_a_variable_of_a_task_replaces_that_of_a_named_template() -> None:
    """Of both together it would be one with a value from two places, which Kubernetes refuses."""
    secret = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
    kept = {"template": {"spec": {"containers": [{"name": "primary", "env": [{"name": "X", "value": "a"}]}]}}}
    env = {e["name"]: e for e in primary(made(container(env=[secret]), named=kept))["env"]}
    assert env["X"] == secret


def test_files_of_secrets_are_where_the_task_looks_for_them() -> None:
    asked = (SecretRequest(group="certs", key="ca.pem", mount="file"), SecretRequest(group="whole", key=""))
    env = {"FLYTE_SECRETS_DEFAULT_DIR": "/mine/", "FLYTE_SECRETS_ENV_PREFIX": "MINE_"}
    pod = made(TaskPolicy(secrets=asked, env=env))
    mounts = {m["mountPath"] for m in primary(pod)["volumeMounts"]}
    assert mounts == {"/tmp", "/mine/certs/ca.pem", "/mine/whole"}
    for wrong in ("relative", "/a/../b", "/a:b"):
        with pytest.raises(PodRefused, match="FLYTE_SECRETS_DEFAULT_DIR in its environment"):
            made(TaskPolicy(secrets=asked, env={"FLYTE_SECRETS_DEFAULT_DIR": wrong}))


def test_a_template_a_named_one_and_labels_come_together() -> None:
    own = PodTemplate(
        pod_spec={
            "containers": [
                {
                    "name": "main",
                    "env": [{"name": "A", "value": "own"}],
                    "volumeMounts": [{"name": "data", "mountPath": "/d"}],
                },
                {"name": "proxy", "image": "proxy:1", "command": ["serve"]},
            ],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "nodeSelector": {"b": "2"},
        },
        primary_container="main",
        labels={"team": "own", names.ATTEMPT: "forged"},
        annotations={"note": "own", names.KEY: "forged"},
    )
    named = {
        "template": {
            "metadata": {"labels": {"team": "named", "cost": "1"}},
            "spec": {
                "containers": [
                    {"name": "main", "env": [{"name": "A", "value": "named"}, {"name": "B", "value": "b"}]}
                ],
                "nodeSelector": {"a": "1"},
                "restartPolicy": "Always",
                "dnsPolicy": "ClusterFirst",
            },
        }
    }
    pod = made(TaskPolicy(pod=own, labels={"x": "y"}), named=named)
    assert pod["spec"]["nodeSelector"] == {"a": "1", "b": "2"}
    assert [c["name"] for c in pod["spec"]["containers"]] == ["main", "proxy"]
    env = {e["name"]: e["value"] for e in primary(pod)["env"] if "value" in e}
    assert (env["A"], env["B"]) == ("own", "b")
    assert pod["spec"]["containers"][1]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["spec"]["containers"][1]["terminationMessagePolicy"] == "FallbackToLogsOnError"
    labels = pod["metadata"]["labels"]
    assert (labels["team"], labels["cost"], labels["x"]) == ("own", "1", "y")
    assert labels[names.ATTEMPT] != "forged"
    assert pod["metadata"]["annotations"][names.KEY] == attempt_of().key
    assert pod["metadata"]["annotations"]["note"] == "own"


# ---- what nobody may ask for


def container(**fields: Any) -> TaskPolicy:
    return template(containers=[{"name": "primary", **fields}])


def sidecar(**fields: Any) -> TaskPolicy:
    return template(containers=[{"name": "beside", "image": "i", **fields}])


REFUSED = {
    "host network": (template(hostNetwork=True), "hostNetwork cannot be set"),
    "host pids": (template(hostPID=True), "hostPID cannot be set"),
    "a node": (template(nodeName="n"), "nodeName cannot be set"),
    "a token": (template(automountServiceAccountToken=True), "automountServiceAccountToken cannot"),
    "a new field": (template(somethingNew=1), "somethingNew cannot be set"),
    "restarts": (template(restartPolicy="Always"), "restartPolicy must be Never"),
    "the host's disk": (
        template(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
        "kind that is not allowed",
    ),
    "two kinds": (
        template(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {}}]),
        "kind that is not allowed",
    ),
    "our volume": (template(volumes=[{"name": "flyte-temporal-tmp", "emptyDir": {}}]), "is there twice"),
    "a projected token": (
        template(volumes=[{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
        "must not hold a token",
    ),
    "privileged": (container(securityContext={"privileged": True}), "must not be privileged"),
    "privileged beside": (sidecar(securityContext={"privileged": True}), "must not be privileged"),
    "escalation": (sidecar(securityContext={"allowPrivilegeEscalation": True}), "must be false"),
    "capabilities": (sidecar(securityContext={"capabilities": {"add": ["NET_ADMIN"]}}), "drop: \\[ALL\\]"),
    "fewer dropped": (sidecar(securityContext={"capabilities": {"drop": []}}), "drop: \\[ALL\\]"),
    "root": (container(securityContext={"runAsUser": 0}), "above 0"),
    "root as a bool": (container(securityContext={"runAsUser": False}), "above 0"),
    "root pod": (template(securityContext={"runAsUser": 0}), "above 0"),
    "may be root": (template(securityContext={"runAsNonRoot": False}), "runAsNonRoot"),
    "may be root beside": (sidecar(securityContext={"runAsNonRoot": False}), "runAsNonRoot"),
    "unconfined": (template(securityContext={"seccompProfile": {"type": "Unconfined"}}), "seccompProfile"),
    "no seccomp": (template(securityContext={"seccompProfile": None}), "seccompProfile"),
    "unconfined beside": (sidecar(securityContext={"seccompProfile": {"type": "Unconfined"}}), "seccomp"),
    "a port of the host": (sidecar(ports=[{"containerPort": 1, "hostPort": 1}]), "port of its node"),
    "our command": (container(command=["sh"]), "command cannot be set"),
    "hooks": (sidecar(lifecycle={}), "lifecycle cannot be set"),
    "an init container's privilege": (
        template(initContainers=[{"name": "i", "image": "i", "securityContext": {"privileged": True}}]),
        "must not be privileged",
    ),
    "no name": (template(containers=[{"image": "i"}]), "needs a name"),
    "no list": (template(containers={"name": "x"}), "must be a list"),
    "another account": (template(serviceAccountName="admin"), "'admin' is not one"),
    "a priority": (template(priorityClassName="system-node-critical"), "priority class"),
    "a runtime class": (template(runtimeClassName="none"), "runtime class"),
    "an annotation that sets a profile": (
        TaskPolicy(annotations={"container.apparmor.security.beta.kubernetes.io/primary": "unconfined"}),
        "must not have the annotation container.apparmor",
    ),
    "sysctls": (template(securityContext={"sysctls": []}), "sysctls cannot be set"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_task_may_not_ask_for_is_refused_by_its_place(case: str) -> None:
    policy, words = REFUSED[case]
    with pytest.raises(PodRefused, match=words):
        made(policy)


MALFORMED = {
    "a variable without a name": container(env=[{"value": "1"}]),
    "a volume that is a text": template(volumes=["data"]),
    "a selector that is a text": template(nodeSelector="pool=cpu"),
    "a toleration that is a number": template(tolerations=7),
    "resources that are a list": sidecar(resources=["1Gi"]),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_pod_is_refused_in_words(case: str) -> None:
    """Otherwise it would wait for ever: no other attempt makes a pod of it."""
    with pytest.raises(PodRefused, match="pod") as refused:
        made(MALFORMED[case])
    assert refused.value.document().recoverable is False


def test_what_the_server_adds_to_a_named_template_is_nobodys_wish() -> None:
    spec = {
        "serviceAccountName": "reader",
        "serviceAccount": "reader",
        "containers": [{"name": "primary", "image": "i:1", "imagePullPolicy": "IfNotPresent"}],
    }
    cluster = CLUSTER.model_copy(
        update={"service_accounts": {"*": ("task", "reader")}, "image_pull_policy": "Always"}
    )
    pod = made(None, cluster, named={"template": {"spec": spec}})
    assert pod["spec"]["serviceAccountName"] == "reader"
    assert primary(pod)["imagePullPolicy"] == "Always"


@pytest.mark.parametrize("case", ["host network", "privileged", "another account", "the host's disk"])
def test_a_named_template_passes_the_same_gate(case: str) -> None:
    policy, words = REFUSED[case]
    assert policy.pod is not None
    with pytest.raises(PodRefused, match=words):
        made(named={"template": {"spec": dict(policy.pod.pod_spec)}})


def test_what_an_operator_allows() -> None:
    cluster = CLUSTER.model_copy(
        update={
            "service_accounts": {"pro_j/dev": ("reader", "writer"), "*": ("nobody",)},
            "priority_classes": ("high",),
        }
    )
    assert made(cluster=cluster)["spec"]["serviceAccountName"] == "reader"
    asked = template(serviceAccountName="writer", priorityClassName="high")
    spec = made(asked, cluster)["spec"]
    assert (spec["serviceAccountName"], spec["priorityClassName"]) == ("writer", "high")
    with pytest.raises(PodRefused) as refused:
        made(template(serviceAccountName="nobody"), cluster)
    assert refused.value.code == "ServiceAccountNotAllowed"
