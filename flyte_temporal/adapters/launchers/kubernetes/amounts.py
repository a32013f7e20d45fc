"""Requests and limits of a task's container: what the task says, else its template, else the cluster's settings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flyte_temporal.adapters.launchers.kubernetes.refusals import PodRefused
from flyte_temporal.config.clusters import ClusterSettings
from flyte_temporal.spec.policies import Resources
from flyte_temporal.spec.quantities import amount

BAD_RESOURCES = "BadResources"
_NAMES = {"cpu": "cpu", "mem": "memory", "ephemeral_storage": "ephemeral-storage"}


def resources(
    asked: Resources, template: Mapping[str, Any], cluster: ClusterSettings
) -> dict[str, dict[str, str]]:
    """Return the `resources` of a container.

    Memory that has no limit is limited to what is asked for, so that a pod never takes what others were promised; a task
    that sets a limit only asks for as much.

    Args:
        asked: What the task says.
        template: `resources` of the template's container.
        cluster: Defaults and maxima.

    Raises:
        PodRefused: If a request is larger than its limit, or one of them than the cluster's maximum.
    """
    requests: dict[str, str] = {k: str(v) for k, v in (template.get("requests") or {}).items()}
    limits: dict[str, str] = {k: str(v) for k, v in (template.get("limits") or {}).items()}
    for ours, name in _NAMES.items():
        request, limit = getattr(asked.requests, ours), getattr(asked.limits, ours)
        if request or limit:
            requests[name] = request or limit
            limits.pop(name, None)
            if limit:
                limits[name] = limit
        if name not in requests and name in limits:
            requests[name] = limits[name]
        if name not in requests and (default := getattr(cluster.requests, ours)):
            requests[name] = _smaller(default, limits.get(name))
        if name not in limits and (default := getattr(cluster.limits, ours)):
            limits[name] = _larger(default, requests.get(name))
    if "memory" in requests:
        limits.setdefault("memory", requests["memory"])
    gpu = asked.limits.gpu or asked.requests.gpu
    if gpu:
        requests[cluster.gpu_resource] = limits[cluster.gpu_resource] = gpu
    check_amounts({"requests": requests, "limits": limits}, cluster)
    return {side: values for side, values in (("requests", requests), ("limits", limits)) if values}


def check_amounts(
    given: Mapping[str, Mapping[str, Any]], cluster: ClusterSettings, place: str = "The task"
) -> None:
    """See that the `resources` of a container make sense and are not more than a cluster allows.

    Args:
        given: Requests and limits.
        cluster: Has the maxima.
        place: What asks for them.

    Raises:
        PodRefused: If they are not.
    """
    requests, limits = given.get("requests") or {}, given.get("limits") or {}
    most = {name: getattr(cluster.most, ours) for ours, name in _NAMES.items()}
    most[cluster.gpu_resource] = cluster.most.gpu
    for side, values in (("request", requests), ("limit", limits)):
        for name, value in values.items():
            if amount(str(value)) is None:
                raise PodRefused(f"{place}: the {side} of {name}, {value!r}, is no quantity.", BAD_RESOURCES)
            if (bound := most.get(name)) and _of(value) > _of(bound):
                raise PodRefused(
                    f"{place}: the {side} of {name}, {value}, is more than this cluster allows for a container: {bound}. "
                    "Ask for less, or have an operator raise `most`.",
                    BAD_RESOURCES,
                )
    for name, value in requests.items():
        if name in limits and _of(value) > _of(limits[name]):
            raise PodRefused(
                f"{place} asks for {value} of {name} and limits itself to {limits[name]}.", BAD_RESOURCES
            )


def _smaller(default: str, bound: str | None) -> str:
    return bound if bound is not None and _of(bound) < _of(default) else default


def _larger(default: str, least: str | None) -> str:
    return least if least is not None and _of(least) > _of(default) else default


def _of(quantity: Any) -> float:
    return amount(str(quantity)) or 0.0
