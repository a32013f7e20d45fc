"""`PodTemplate`: how the pod of a task looks on Kubernetes, besides what the task's other options say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.spec import policies as spec


@dataclass(frozen=True)
class PodTemplate:
    """A pod's specification, compiled into the task's policy.

    Args:
        pod_spec: A `V1PodSpec` of the Kubernetes client, or the same as a dict with Kubernetes' own names (camelCase).
        primary_container_name: Name of the container in which the task runs.
        labels: Labels of the pod.
        annotations: Annotations of the pod.

    Raises:
        CompileError: If the specification is neither.
    """

    pod_spec: Any = None
    primary_container_name: str = "primary"
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is no specification of a pod."""
        if not isinstance(self.pod_spec, Mapping | None) and not hasattr(self.pod_spec, "attribute_map"):
            raise CompileError(
                f"PodTemplate(pod_spec={shown(self.pod_spec)}) must be a V1PodSpec or a dict.", call_site()
            )
        if not self.primary_container_name:
            raise CompileError("PodTemplate() needs the name of its primary container.", call_site())

    def document(self) -> spec.PodTemplate:
        """Return it as the spec keeps it."""
        return spec.PodTemplate(
            pod_spec=_plain(self.pod_spec or {}),
            primary_container=self.primary_container_name,
            labels=dict(self.labels),
            annotations=dict(self.annotations),
        )


def _plain(value: Any) -> Any:
    """Return an object of the Kubernetes client, or parts of one, as JSON with Kubernetes' own names."""
    names = getattr(value, "attribute_map", None)
    if names is not None:
        return {names[n]: _plain(v) for n in names if (v := getattr(value, n)) is not None}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
