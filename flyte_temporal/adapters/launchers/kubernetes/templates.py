"""What users may say of a pod: templates merged into one, each field of which is on a list. Pure.

A field that is not on the list is refused by its place, never dropped: somebody who writes it means something by it.
That is only half of it; `checking` looks at the finished pod, because what is harmless alone may not be together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flyte_temporal.adapters.launchers.kubernetes.refusals import PodRefused
from flyte_temporal.spec.policies import PodTemplate

Json = dict[str, Any]

POD_FIELDS = frozenset(
    {
        "affinity",
        "containers",
        "dnsConfig",
        "hostAliases",
        "imagePullSecrets",
        "initContainers",
        "nodeSelector",
        "priorityClassName",
        "restartPolicy",
        "runtimeClassName",
        "securityContext",
        "serviceAccountName",
        "terminationGracePeriodSeconds",
        "tolerations",
        "topologySpreadConstraints",
        "volumes",
    }
)
_PRIMARY_FIELDS = frozenset(
    {
        "env",
        "envFrom",
        "image",
        "imagePullPolicy",
        "name",
        "ports",
        "resources",
        "securityContext",
        "volumeMounts",
    }
)
_OTHER_FIELDS = _PRIMARY_FIELDS | {
    "args",
    "command",
    "livenessProbe",
    "readinessProbe",
    "restartPolicy",
    "startupProbe",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "workingDir",
}
_POD_SECURITY = frozenset(
    {
        "fsGroup",
        "fsGroupChangePolicy",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "seccompProfile",
        "supplementalGroups",
    }
)
_CONTAINER_SECURITY = frozenset(
    {
        "allowPrivilegeEscalation",
        "capabilities",
        "privileged",
        "readOnlyRootFilesystem",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "seccompProfile",
    }
)
_BY_NAME = {"containers", "initContainers", "volumes", "imagePullSecrets", "env"}
_BY_PATH = {"volumeMounts"}


def merged(named: Json | None, own: PodTemplate | None) -> PodTemplate:
    """Return what a named template of the cluster and the task's own say together; the task's own wins.

    Args:
        named: A `PodTemplate` of the cluster, as the API server gives it.
        own: The task's own.

    Raises:
        PodRefused: If a field is not one that a task may set.
    """
    result = own or PodTemplate()
    if named is not None:
        base = named.get("template") or {}
        meta = base.get("metadata") or {}
        shared = _without_nulls(base.get("spec") or {})
        if "containers" in shared:
            # Kubernetes asks for an image in every template, so that of the task's container says little: see `image_of`.
            shared["containers"] = [
                {k: v for k, v in one.items() if k != "image" or one["name"] != result.primary_container}
                for one in shared["containers"]
            ]
        result = PodTemplate(
            pod_spec=overlaid(shared, result.pod_spec),
            primary_container=result.primary_container,
            labels={**(meta.get("labels") or {}), **result.labels},
            annotations={**(meta.get("annotations") or {}), **result.annotations},
        )
    check_fields(result)
    return result


def image_of(named: Json | None, primary: str) -> str:
    """Return the image that a named template of the cluster has for the container that runs the task, if it has one."""
    spec = ((named or {}).get("template") or {}).get("spec") or {}
    return next(
        (str(one.get("image") or "") for one in listed(spec, "containers") if one["name"] == primary), ""
    )


def overlaid(base: Mapping[str, Any], top: Mapping[str, Any]) -> Json:
    """Return one object laid over another: maps key by key, lists of named things by name, other lists one after the other."""
    result = dict(base)
    for key, value in top.items():
        before = result.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            result[key] = overlaid(before, value)
        elif isinstance(before, list) and isinstance(value, list | tuple):
            result[key] = _joined(key, before, value)
        else:
            result[key] = value
    return result


def check_fields(template: PodTemplate) -> None:
    """See that a template has fields only that a task may set.

    Raises:
        PodRefused: If it has others; the message has the place.
    """
    spec = template.pod_spec
    _only(spec, POD_FIELDS, "pod_spec")
    _only(_map(spec, "securityContext", "pod_spec"), _POD_SECURITY, "pod_spec.securityContext")
    if spec.get("restartPolicy", "Never") != "Never":
        raise PodRefused(
            "pod_spec.restartPolicy must be Never: a new attempt is a new pod. Use the task's `retries`."
        )
    for group in ("containers", "initContainers"):
        for number, container in enumerate(listed(spec, group)):
            place = f"pod_spec.{group}[{number}]"
            if not isinstance(container, Mapping) or not container.get("name"):
                raise PodRefused(f"{place} needs a name.")
            primary = group == "containers" and container["name"] == template.primary_container
            _only(container, _PRIMARY_FIELDS if primary else _OTHER_FIELDS, f"{place} ({container['name']})")
            security = _map(container, "securityContext", place)
            _only(security, _CONTAINER_SECURITY, f"{place}.securityContext")


def listed(spec: Mapping[str, Any], key: str) -> list[Any]:
    """Return a list of an object; an empty one if there is none.

    Raises:
        PodRefused: If it is something else.
    """
    found = spec.get(key) or []
    if not isinstance(found, list | tuple):
        raise PodRefused(f"{key} of a pod must be a list.")
    return list(found)


def _map(spec: Mapping[str, Any], key: str, place: str) -> Mapping[str, Any]:
    found = spec.get(key) or {}
    if not isinstance(found, Mapping):
        raise PodRefused(f"{place}.{key} must be an object.")
    return found


def _only(given: Mapping[str, Any], allowed: frozenset[str], place: str) -> None:
    unknown = sorted(set(given) - allowed)
    if unknown:
        raise PodRefused(
            f"{place}: {', '.join(unknown)} cannot be set by a task. Allowed are: {', '.join(sorted(allowed))}."
        )


def _joined(key: str, before: Sequence[Any], after: Sequence[Any]) -> list[Any]:
    field = "name" if key in _BY_NAME else "mountPath" if key in _BY_PATH else ""
    if not field:
        return [*before, *(one for one in after if one not in before)]
    result = {one.get(field): one for one in before if isinstance(one, Mapping)}
    for one in after:
        if isinstance(one, Mapping):
            known = result.get(one.get(field))
            # A volume, and a variable, is of one kind: two laid over each other would be of two.
            laid = known and key not in {"volumes", "env"}
            result[one.get(field)] = overlaid(known or {}, one) if laid else dict(one)
        else:
            raise PodRefused(f"{key} of a pod must hold objects.")
    return list(result.values())


def _without_nulls(value: Any) -> Any:
    """Return an object of the API server without what the server itself has filled in as defaults."""
    defaults: Json = {
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "restartPolicy": "Always",
    }
    kept = {k: v for k, v in value.items() if v not in (None, {}, []) and defaults.get(k) != v}
    for group in ("containers", "initContainers"):
        for container in kept.get(group, ()):
            for field, default in (
                ("terminationMessagePath", "/dev/termination-log"),
                ("terminationMessagePolicy", "File"),
                ("imagePullPolicy", _pull_policy(container.get("image") or "")),
            ):
                if container.get(field) == default:
                    del container[field]
    # The old name of serviceAccountName, which the server writes beside it.
    kept.pop("serviceAccount", None)
    return kept


def _pull_policy(image: str) -> str:
    """Return what the API server fills in for an image where nothing is said."""
    name = image.rpartition("/")[2]
    return "IfNotPresent" if "@" in name or (":" in name and not name.endswith(":latest")) else "Always"
