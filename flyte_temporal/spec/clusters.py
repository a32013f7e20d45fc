"""Clusters of an installation by name, and the task queues by which attempts reach workers that have them. Pure.

Apart from `execution` because the interpreter, workers and the use cases agree on it, whatever an execution is.
"""

from __future__ import annotations

from flyte_temporal.spec.execution import Environment

DEFAULT_CLUSTER = "default"
"""Name of the cluster that is used where nobody names one."""

WITH_CLUSTERS = "kubernetes"
"""Name of the launcher that has clusters."""


def queue_of(base: str, cluster: str) -> str:
    """Return the task queue of the attempts that run on a cluster.

    A named cluster has a queue of its own, which only those workers serve that have it among their settings: a worker that
    cannot reach it is never asked.

    Args:
        base: Queue of the interpreter.
        cluster: Name of the cluster; empty = the default one.
    """
    return base if cluster in {"", DEFAULT_CLUSTER} else f"{base}@{cluster}"


def cluster_of(environment: Environment) -> str:
    """Return the named cluster on which attempts run; empty = the default one, or none."""
    named = environment.launcher == WITH_CLUSTERS and environment.cluster != DEFAULT_CLUSTER
    return environment.cluster if named else ""


UNSERVED = "no worker takes attempts of the cluster"
"""How the reason begins of what waits for a worker that has a cluster."""


def attempts_queue(base: str, environment: Environment) -> str:
    """Return the task queue of attempts; launchers without clusters have the interpreter's.

    Args:
        base: Queue of the interpreter.
        environment: Where they run.
    """
    return queue_of(base, cluster_of(environment))
