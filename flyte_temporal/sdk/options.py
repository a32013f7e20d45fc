"""`Options`: what a workflow's default launch plan says besides the workflow itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flyte_temporal.sdk.notifications import Notification


@dataclass(frozen=True)
class Options:
    """Options of a launch plan that a workflow sets for its default one (`@workflow(default_options=...)`).

    Args:
        labels: Labels of the executions.
        annotations: Annotations of the executions.
        max_parallelism: Largest number of tasks of one execution that run at once; 0 = the platform's default.
        notifications: Whom to tell how an execution ended.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    max_parallelism: int = 0
    notifications: tuple[Notification, ...] = ()
