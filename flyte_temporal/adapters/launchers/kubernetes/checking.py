"""Looks at a finished pod: whatever it was merged from, it keeps the restricted pod security and our own rules. Pure.

The last step before the pod is sent, over every container: a template, a named template, an override or a mistake of ours
pass the same gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flyte_temporal.adapters.launchers.kubernetes.amounts import check_amounts
from flyte_temporal.adapters.launchers.kubernetes.refusals import PodRefused
from flyte_temporal.config.clusters import ClusterSettings

_NEVER = (
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "hostUsers",
    "nodeName",
    "ephemeralContainers",
    "serviceAccount",
)
_PROFILES = (
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
)
"""What begins the names of annotations that set the security of containers, as the fields that came after them do."""
_SECCOMP = {"RuntimeDefault", "Localhost"}


def check_pod(pod: Mapping[str, Any], cluster: ClusterSettings, accounts: tuple[str, ...]) -> None:
    """See that a pod may be sent.

    Args:
        pod: The whole document.
        cluster: What its cluster allows.
        accounts: Service accounts that its project and domain may use.

    Raises:
        PodRefused: If it may not; the message has the place.
    """
    spec = pod["spec"]
    for name in pod["metadata"].get("annotations") or ():
        if name.startswith(_PROFILES):
            raise PodRefused(
                f"A task's pod must not have the annotation {name}: it sets the security of its containers."
            )
    for field in _NEVER:
        if field in spec:
            raise PodRefused(f"A task's pod must not have {field}.")
    if spec.get("automountServiceAccountToken") is not False:
        raise PodRefused("A task's pod gets no token of the Kubernetes API.")
    account = spec.get("serviceAccountName")
    if account not in accounts:
        raise PodRefused(
            f"The service account {account!r} is not one that this project and domain may use: {', '.join(accounts)}. "
            "An operator can add it to `service_accounts` of the cluster.",
            "ServiceAccountNotAllowed",
        )
    _listed(spec.get("priorityClassName"), cluster.priority_classes, "priority class", "priority_classes")
    _listed(spec.get("runtimeClassName"), cluster.runtime_classes, "runtime class", "runtime_classes")
    _check_pod_security(spec.get("securityContext") or {})
    for volume in spec.get("volumes") or ():
        _check_volume(volume, cluster)
    for place, container in _containers(spec):
        _check_container(container, place)
        check_amounts(container.get("resources") or {}, cluster, place)


def _listed(value: str | None, allowed: tuple[str, ...], what: str, setting: str) -> None:
    if value and value not in allowed:
        known = ", ".join(allowed) or "none"
        raise PodRefused(
            f"The {what} {value!r} is not allowed on this cluster; allowed: {known}. An operator can add it to `{setting}`."
        )


def _check_pod_security(security: Mapping[str, Any]) -> None:
    if security.get("runAsNonRoot") is not True:
        raise PodRefused("securityContext.runAsNonRoot of a task's pod must be true.")
    if (security.get("seccompProfile") or {}).get("type") not in _SECCOMP:
        raise PodRefused(
            "securityContext.seccompProfile of a task's pod must be RuntimeDefault or Localhost."
        )
    for field in ("runAsUser", "runAsGroup", "fsGroup"):
        _not_root(security.get(field), f"securityContext.{field}")
    for group in security.get("supplementalGroups") or ():
        _not_root(group, "securityContext.supplementalGroups")


def _check_container(container: Mapping[str, Any], place: str) -> None:
    security = container.get("securityContext") or {}
    if security.get("privileged"):
        raise PodRefused(f"{place} must not be privileged.")
    if security.get("allowPrivilegeEscalation") is not False:
        raise PodRefused(f"{place}: securityContext.allowPrivilegeEscalation must be false.")
    capabilities = security.get("capabilities") or {}
    if capabilities.get("add") or capabilities.get("drop") != ["ALL"]:
        raise PodRefused(f"{place}: its capabilities must be drop: [ALL], and none may be added.")
    if security.get("runAsNonRoot") is False:
        raise PodRefused(f"{place}: securityContext.runAsNonRoot must not be false.")
    if "seccompProfile" in security and (security["seccompProfile"] or {}).get("type") not in _SECCOMP:
        raise PodRefused(f"{place}: securityContext.seccompProfile must be RuntimeDefault or Localhost.")
    if security.get("procMount", "Default") != "Default":
        raise PodRefused(f"{place}: securityContext.procMount must be Default.")
    for field in ("runAsUser", "runAsGroup"):
        _not_root(security.get(field), f"{place}: securityContext.{field}")
    for port in container.get("ports") or ():
        if port.get("hostPort") or port.get("hostIP"):
            raise PodRefused(f"{place} must not have a port of its node.")


def _check_volume(volume: Mapping[str, Any], cluster: ClusterSettings) -> None:
    name = volume.get("name", "?")
    kinds = sorted(set(volume) - {"name"})
    if len(kinds) != 1 or kinds[0] not in cluster.volume_kinds or kinds[0] == "hostPath":
        raise PodRefused(
            f"The volume {name!r} is of a kind that is not allowed here ({', '.join(kinds) or 'none'}); allowed: "
            f"{', '.join(cluster.volume_kinds)}."
        )
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "serviceAccountToken" in source or "clusterTrustBundle" in source:
            raise PodRefused(f"The volume {name!r} must not hold a token of the Kubernetes API.")


def _not_root(value: Any, place: str) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise PodRefused(f"{place} must be a number above 0: no process of a task is root.")


def _containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for group in ("initContainers", "containers"):
        for container in spec.get(group) or ():
            yield f"The container {container.get('name')!r}", container
