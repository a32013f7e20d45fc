"""The pod of an attempt, as a plain document: our template, and what the task's policy and its templates add to it. Pure.

Models of the client library are not used: they cost a hundred times as much to read and change with every release.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flyte_temporal.adapters.launchers.backstop import Backstop
from flyte_temporal.adapters.launchers.kubernetes import beside, names
from flyte_temporal.adapters.launchers.kubernetes.amounts import resources
from flyte_temporal.adapters.launchers.kubernetes.checking import check_pod
from flyte_temporal.adapters.launchers.kubernetes.refusals import PodRefused
from flyte_temporal.adapters.launchers.kubernetes.secrets import SecretParts, secret_parts
from flyte_temporal.adapters.launchers.kubernetes.templates import image_of, listed, merged
from flyte_temporal.config.clusters import ClusterSettings
from flyte_temporal.sdk.secrets import FOLDER_VARIABLE, PREFIXES
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.document import sha256_hex
from flyte_temporal.spec.policies import PodTemplate
from flyte_temporal.storage.orders import ECHO, STORAGE

Json = dict[str, Any]

TMP = "/tmp"  # noqa: S108 - of the container, which nobody else has
_OURS_TMP = "flyte-temporal-tmp"
_OURS_SHM = "flyte-temporal-shm"
_SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"


@dataclass(frozen=True)
class Wanted:
    """What a pod is made of.

    Args:
        order: The attempt.
        cluster: Its cluster.
        named: The template of the cluster that the task names, as the API server gives it.
        owner: Name and uid of the object to which it belongs.
        run_s: Longest run of an attempt whose task sets no time-out; 0 = none.
        installation: Mark of whose it is; empty = none.
    """

    order: AttemptOrder
    cluster: ClusterSettings
    named: Json | None = None
    owner: tuple[str, str] | None = None
    run_s: float = 0.0
    installation: str = ""


def pod_of(wanted: Wanted) -> Json:
    """Return the pod of an attempt, ready to be sent.

    Raises:
        PodRefused: If what the task asks for is not allowed or is no pod, or there is no image.
    """
    try:
        return _made(wanted)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Kubernetes' own words about it cannot be asked for: what is not shaped like a pod is not sent.
        template = wanted.order.task.policy.pod_template
        raise PodRefused(
            f"The pod template of task {wanted.order.task.name!r}{f' or {template!r}' if template else ''} is not shaped like "
            f"a pod of Kubernetes ({type(error).__name__}: {error}). Compare it with `kubectl explain pod.spec`."
        ) from error


def _made(wanted: Wanted) -> Json:
    order, cluster = wanted.order, wanted.cluster
    attempt, policy = order.attempt, order.task.policy
    where = attempt.execution
    template = merged(wanted.named, policy.pod)
    accounts = cluster.accounts_of(where.project, where.domain)
    spec = _pod_spec(wanted, template, accounts)
    annotations = {
        _SAFE_TO_EVICT: "true" if order.interruptible else "false",
        **cluster.annotations,
        **template.annotations,
        **policy.annotations,
        names.KEY: attempt.key,
        f"{names.PREFIX}node": attempt.node,
        f"{names.PREFIX}task": order.task.name,
        names.SPOT: "true" if order.interruptible else "false",
    }
    annotations[names.SPEC_HASH] = sha256_hex(json.dumps(spec, sort_keys=True).encode())[:16]
    asked = {**cluster.labels, **template.labels, **policy.labels}
    metadata: Json = {
        "name": names.pod_name(attempt),
        "namespace": cluster.namespace_of(where.project, where.domain),
        "labels": {**asked, **names.pod_labels(attempt, cluster.shards, wanted.installation)},
        "annotations": annotations,
    }
    if wanted.owner is not None:
        name, uid = wanted.owner
        metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid}]
    pod: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    check_pod(pod, cluster, accounts)
    return pod


def primary_of(pod: Mapping[str, Any]) -> str:
    """Return the name of the container of a pod of ours that runs the task."""
    name: str = pod["spec"]["containers"][0]["name"]
    return name


def _pod_spec(wanted: Wanted, template: PodTemplate, accounts: tuple[str, ...]) -> Json:
    order, cluster = wanted.order, wanted.cluster
    given: Json = dict(template.pod_spec)
    place = cluster.spot if order.interruptible else cluster.on_demand
    containers = listed(given, "containers")
    mine: Json = next((c for c in containers if c["name"] == template.primary_container), {})
    others = [_hardened(c) for c in containers if c["name"] != template.primary_container]
    said = {**order.environment.env, **order.task.policy.env}
    secret = secret_parts(order.task.policy.secrets, said.get(FOLDER_VARIABLE, ""))
    primary, volumes = _primary(wanted, template.primary_container, mine, secret)
    own: list[Json] = []
    if order.task.container is not None:
        if others:
            raise PodRefused(
                f"The container {others[0]['name']!r} would stand beside a ContainerTask, whose outputs are stored once all "
                "others have ended. Move it to initContainers with restartPolicy: Always, which Kubernetes ends by itself."
            )
        platforms = [_variable(name, value) for name, value in _platforms(wanted).items()]
        primary, own = beside.around(order, primary, _image(wanted, mine, of_task=False), platforms)
        volumes += beside.volumes()
    # The cluster's clock starts when a node has taken the pod, before images are pulled; ours when the task begins. What
    # lies between is added, and as much again for containers before it.
    longest = Backstop(wanted.run_s, 2 * cluster.image_grace_s).after_s(order.task.policy.timeouts)
    spec: Json = {
        **{k: v for k, v in given.items() if k in _TAKEN_AS_THEY_ARE},
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "serviceAccountName": given.get("serviceAccountName") or accounts[0],
        "terminationGracePeriodSeconds": _grace_s(given, order, cluster),
        "securityContext": _security(given.get("securityContext") or {}, cluster),
        "containers": [primary, *others],
        "volumes": [*listed(given, "volumes"), *volumes],
        "nodeSelector": {
            **cluster.placement.node_selector,
            **place.node_selector,
            **(given.get("nodeSelector") or {}),
            **_accelerator(wanted),
        },
        "tolerations": _unique(
            [
                *cluster.placement.tolerations,
                *place.tolerations,
                *listed(given, "tolerations"),
                *_gpu_tolerations(wanted),
            ]
        ),
        "imagePullSecrets": _unique(
            [*({"name": name} for name in cluster.image_pull_secrets), *listed(given, "imagePullSecrets")]
        ),
        "initContainers": [_hardened(c) for c in (*listed(given, "initContainers"), *own)],
    }
    if longest:
        spec["activeDeadlineSeconds"] = longest
    _check_volume_names(spec["volumes"])
    return {k: v for k, v in spec.items() if v not in ([], {})}


_TAKEN_AS_THEY_ARE = frozenset(
    {
        "affinity",
        "dnsConfig",
        "hostAliases",
        "priorityClassName",
        "runtimeClassName",
        "topologySpreadConstraints",
    }
)


def _platforms(wanted: Wanted) -> Json:
    """Return the variables by which our runtime finds its way: to the blob store above all."""
    order, cluster = wanted.order, wanted.cluster
    found: Json = {
        "HOME": TMP,
        ECHO: "1",
        STORAGE: (cluster.storage or order.storage).model_dump_json(),
        **cluster.env,
    }
    for variable, source in cluster.secret_env.items():
        group, _, key = source.partition("/")
        found[variable] = {"name": variable, "valueFrom": {"secretKeyRef": {"name": group, "key": key}}}
    return found


def _environment(wanted: Wanted, mine: Mapping[str, Any], secret: SecretParts) -> Json:
    """Return the variables of the container that runs the task.

    Our runtime sets those of the request and of the task itself; a container without it must have them from here, and has
    none of the platform's own: least of all the keys of its blob store.
    """
    order, cluster = wanted.order, wanted.cluster
    own: Json = {one["name"]: one for one in listed(mine, "env")}
    secrets: Json = {one["name"]: one for one in secret.env}
    if order.task.container is None:
        platforms = _platforms(wanted)
        stores = {name: platforms[name] for name in cluster.secret_env}
        return {**platforms, **own, **stores, **secrets}
    said = {**cluster.env, **order.environment.env, **own, **order.task.policy.env}
    return {**{name: value for name, value in said.items() if name not in PREFIXES}, **secrets}


def _primary(
    wanted: Wanted, name: str, mine: Mapping[str, Any], secret: SecretParts
) -> tuple[Json, list[Json]]:
    """Return the container that runs the task, and the volumes that it needs."""
    order, cluster, policy = wanted.order, wanted.cluster, wanted.order.task.policy
    image = _image(wanted, mine)
    environment = _environment(wanted, mine, secret)
    command = [cluster.python, "-P", "-m", "flyte_temporal.runtime", "--stored", keys.order(order.attempt)]
    volumes: list[Json] = [
        {"name": _OURS_TMP, "emptyDir": {"sizeLimit": cluster.tmp_size}},
        *secret.volumes,
    ]
    mounts: list[Json] = [
        *(mine.get("volumeMounts") or ()),
        {"name": _OURS_TMP, "mountPath": TMP},
        *secret.mounts,
    ]
    if shared := policy.resources.shared_memory:
        size = {} if shared == "auto" else {"sizeLimit": shared}
        volumes.append({"name": _OURS_SHM, "emptyDir": {"medium": "Memory", **size}})
        mounts.append({"name": _OURS_SHM, "mountPath": "/dev/shm"})  # noqa: S108 - of the container
    container: Json = {
        "name": name,
        "image": image,
        "command": command,
        "env": [_variable(name, value) for name, value in environment.items()],
        "envFrom": list(mine.get("envFrom") or ()),
        "ports": list(mine.get("ports") or ()),
        "resources": resources(policy.resources, mine.get("resources") or {}, cluster),
        "securityContext": {"readOnlyRootFilesystem": True, **(mine.get("securityContext") or {})},
        "volumeMounts": mounts,
        "imagePullPolicy": mine.get("imagePullPolicy") or cluster.image_pull_policy,
    }
    return {k: v for k, v in _hardened(container).items() if v not in ([], "")}, volumes


def _image(wanted: Wanted, mine: Mapping[str, Any], *, of_task: bool = True) -> str:
    """Return the image of the task, or with `of_task` unset that of our own containers beside a task without our runtime."""
    order = wanted.order
    asked = order.task.policy.image or (order.task.container.image if order.task.container else "")
    image = (asked or mine.get("image")) if of_task else ""
    image = image or order.environment.image or wanted.cluster.image
    if not image and of_task:
        image = image_of(wanted.named, (order.task.policy.pod or PodTemplate()).primary_container)
    if not image:
        raise PodRefused(
            f"Task {order.task.name!r} names no image, and there is no default one. Write @task(container_image=...), "
            "give --image, or have an operator set `image` of the cluster.",
            "NoImage",
        )
    return str(image)


def _variable(name: str, value: Any) -> Json:
    if isinstance(value, dict):
        return value
    # Kubernetes replaces $(NAME) in values, and $$ by $; nothing of ours means that.
    return {"name": name, "value": value.replace("$", "$$")}


def _hardened(container: Mapping[str, Any]) -> Json:
    """Return a container as the restricted pod security wants it, where it does not say so itself.

    And with its last lines as what it says of a bad end: its pod is removed soon, and its log with it.
    """
    return {
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **container,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            **(container.get("securityContext") or {}),
        },
    }


def _security(given: Mapping[str, Any], cluster: ClusterSettings) -> Json:
    user = given.get("runAsUser", cluster.run_as_user)
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
        **given,
    }


def _grace_s(given: Mapping[str, Any], order: AttemptOrder, cluster: ClusterSettings) -> int:
    asked = given.get("terminationGracePeriodSeconds")
    least = max(cluster.grace_s, math.ceil(order.grace_s))
    if order.task.container is not None:
        # Who stores its outputs is ended after it within this time, too. A stop brings a grace of its own.
        least = max(least, beside.UPLOAD_S)
    return max(least, asked) if isinstance(asked, int) else least


def _accelerator(wanted: Wanted) -> Json:
    asked, cluster = wanted.order.task.policy.resources, wanted.cluster
    labels: Json = {}
    if asked.accelerator:
        labels[cluster.accelerator_label] = asked.accelerator
    if asked.accelerator_partition:
        if not cluster.partition_label:
            raise PodRefused(
                f"The task asks for a part of an accelerator ({asked.accelerator_partition}), and nobody has said by which "
                "label nodes of this cluster tell how theirs are divided. An operator can set `partition_label` of the "
                "cluster."
            )
        labels[cluster.partition_label] = asked.accelerator_partition
    return labels


def _gpu_tolerations(wanted: Wanted) -> list[Json]:
    asked, name = wanted.order.task.policy.resources, wanted.cluster.gpu_resource
    if not (asked.accelerator or asked.limits.gpu or asked.requests.gpu):
        return []
    return [{"key": name, "operator": "Exists", "effect": "NoSchedule"}]


def _unique(items: list[Any]) -> list[Any]:
    return [one for number, one in enumerate(items) if one not in items[:number]]


def _check_volume_names(volumes: list[Json]) -> None:
    seen: set[str] = set()
    for volume in volumes:
        if volume.get("name") in seen:
            raise PodRefused(
                f"The volume {volume['name']!r} is there twice; its name is one of the platform's own."
            )
        seen.add(str(volume.get("name")))
