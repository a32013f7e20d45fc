"""Single attempts in pods: a launcher on this machine, pods of the cluster, and an S3 server that both reach."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flyte_temporal.activities.outcome import without_manifest
from flyte_temporal.adapters.launchers.kubernetes import names
from flyte_temporal.adapters.launchers.kubernetes.launcher import KubernetesLauncher
from flyte_temporal.config.clusters import Amounts, ClusterSettings
from flyte_temporal.spec.attempt import AttemptOrder, AttemptState, StorageConfig
from flyte_temporal.spec.entities import ContainerSpec, TaskSpec
from flyte_temporal.spec.execution import ErrorDocument
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.policies import TaskPolicy
from flyte_temporal.testing.attempts import AttemptBench
from tests.kubernetes import images
from tests.kubernetes.installation import HOST, KEYS
from tests.kubernetes.kubectl import Kubectl

DOMAIN = "development"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
LONG_S = 300.0
"""How long a pod may take on a machine that has much else to do."""


@contextmanager
def namespace(kubectl: Kubectl, name: str) -> Iterator[str]:
    """Have a namespace under the restricted pod security, and nothing of it afterwards."""
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}})
    try:
        end = time.monotonic() + 30
        while "default" not in [a["metadata"]["name"] for a in kubectl.get("sa", "-n", name)["items"]]:
            assert time.monotonic() < end, "no service account"
            time.sleep(0.1)
        yield name
    finally:
        kubectl.run("delete", "namespace", name, "--wait=false")


@dataclass
class PodBench:
    """Orders for pods of one namespace, and looks at what became of them.

    Args:
        kubectl: The cluster.
        project: Its namespace is this and the domain.
        image: The task image.
        port: Of the S3 server.
        attempts: Makes orders.
        settings: Changes of the cluster's settings.
    """

    kubectl: Kubectl
    project: str
    image: str
    port: int
    attempts: AttemptBench
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return f"{self.project}-{DOMAIN}"

    def cluster(self, **more: Any) -> ClusterSettings:
        own: dict[str, Any] = {
            "kubeconfig": self.kubectl.kubeconfig,
            "image": self.image,
            "image_pull_policy": "IfNotPresent",
            "storage": storage_of(self.port, HOST),
            "env": KEYS,
            "requests": Amounts(cpu="20m", mem="320Mi"),
            "limits": Amounts(),
            "tmp_size": "64Mi",
            "grace_s": 5,
            "quota_wait_s": 1.0,
        }
        return ClusterSettings(**(own | self.settings | more))

    def launcher(self, **more: Any) -> KubernetesLauncher:
        return KubernetesLauncher({"default": self.cluster(**more)}, self.attempts.store)

    def order(self, task: str, policy: TaskPolicy | None = None, **inputs: Any) -> AttemptOrder:
        made = self.attempts.order(task, inputs, policy=policy)
        name = f"k{secrets.token_hex(5)}"
        execution = ExecutionId(project=self.project, domain=DOMAIN, name=name)
        attempt = made.attempt.model_copy(update={"execution": execution})
        environment = made.environment.model_copy(update={"launcher": "kubernetes", "interpreter": ""})
        return made.model_copy(update={"attempt": attempt, "environment": environment})

    def again(self, order: AttemptOrder, **changes: Any) -> AttemptOrder:
        """Return the order of the node's next attempt."""
        update = {"number": order.attempt.number + 1, "token": secrets.token_hex(8)}
        return order.model_copy(update={"attempt": order.attempt.model_copy(update=update), **changes})

    def pods(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.kubectl.get("pods", "-n", self.namespace)["items"]
        return found

    def pod(self, order: AttemptOrder) -> dict[str, Any] | None:
        name = names.pod_name(order.attempt)
        return next((pod for pod in self.pods() if pod["metadata"]["name"] == name), None)

    def error(self, order: AttemptOrder, state: AttemptState) -> ErrorDocument:
        """Return how the attempt ended, as its activity would say."""
        manifest = self.attempts.manifest(order) or without_manifest(order, state)
        assert manifest.error is not None, manifest
        return manifest.error


def container_order(order: AttemptOrder, script: str) -> AttemptOrder:
    """Return an order for a shell script in an image without anything of ours, in place of another one."""
    container = ContainerSpec(image=images.plain(), command=("sh", "-c", script))
    task = TaskSpec(name="tools.script", type="container", interface=Interface(), container=container)
    return order.model_copy(update={"task": task, "inputs": {}})


def storage_of(port: int, host: str = "127.0.0.1") -> StorageConfig:
    return StorageConfig(root="s3://flyte-temporal/tests", endpoint=f"http://{host}:{port}", path_style=True)


JOBS = """
import os, signal, sys, time
from flyte_temporal import task, current_context

@task
def double(x: int) -> int:
    print("doubling", x, flush=True)
    return 2 * x

@task
def sleep(seconds: float) -> int:
    print("asleep", flush=True)
    time.sleep(seconds)
    return 1

@task
def fails(x: int) -> int:
    print("my last words", flush=True)
    raise ValueError("no luck")

@task
def hog(mib: int) -> int:
    kept = [b"x" * 1024 * 1024 for _ in range(mib)]
    return len(kept)

@task
def stubborn(seconds: float) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)
    return 1

@task
def secret() -> int:
    context = current_context()
    env = context.secrets.get("ours", "word")
    file = context.secrets.get("ours", "file")
    return len(env) * 100 + len(file)
"""


def write(folder: Path) -> Path:
    """Write the tasks, and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "jobs.py").write_text(JOBS)
    return folder


def stored(document: dict[str, Any]) -> str:
    return json.dumps(document)
