"""The overlay `kind` of deploy/k8s, running: workers in the cluster; Temporal, PostgreSQL and an S3 server on this machine.

Just what docs/operations/production.md has people do, with a dev server of Temporal and moto in the places of the real ones.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from flyte_temporal.local.temporal_server import find_program
from tests.contract.databases import postgres
from tests.kubernetes import images
from tests.kubernetes.kubectl import Kubectl

OVERLAY = images.ROOT / "deploy" / "k8s" / "overlays" / "kind"
NAMESPACE = "flyte-temporal"
DOMAIN = "default-development"
WORKER = "deployment/flyte-temporal-worker"
MARK = "flyte-temporal/made-by"
"""Label of namespaces that these tests have made, and may therefore remove: those of an installation have the same names."""
_MARKED = "tests"
_MARKING = {"op": "add", "path": f"/metadata/labels/{MARK.replace('/', '~1')}", "value": _MARKED}
HOST = os.environ.get("TEST_HOST_ADDRESS", "10.87.0.2")
"""Where pods find the servers of this machine."""
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Installation:
    """What runs.

    Args:
        kubectl: The cluster.
        folder: For its files.
        temporal: Port of Temporal.
        database: Port of PostgreSQL.
        store: Port of the S3 server.
        changes: Settings of the worker beside those of the overlay.
    """

    kubectl: Kubectl
    folder: Path
    temporal: int
    database: int
    store: int
    changes: dict[str, str] = field(default_factory=dict)

    def settings(self, host: str) -> dict[str, str]:
        """Return the variables by which a process at that side of the network finds everything."""
        return {
            "FLYTE_TEMPORAL_TEMPORAL__ADDRESS": f"{host}:{self.temporal}",
            "FLYTE_TEMPORAL_TEMPORAL__NAMESPACE": "kind",
            "FLYTE_TEMPORAL_METADATA__URL": f"postgresql+psycopg://ft@{host}:{self.database}/postgres",
            "FLYTE_TEMPORAL_STORAGE__ROOT": "s3://flyte-temporal",
            "FLYTE_TEMPORAL_STORAGE__ENDPOINT": f"http://{host}:{self.store}",
            "FLYTE_TEMPORAL_STORAGE__PATH_STYLE": "true",
            **KEYS,
        }

    def apply(self, worker: str, task: str) -> None:
        """Write an overlay upon `kind` with the addresses and images of the test, and apply it."""
        own = self.settings(HOST) | self.changes
        secret = {name: own.pop(name) for name in ("FLYTE_TEMPORAL_METADATA__URL", *KEYS)}
        self._write("worker.env", "".join(f"{name}={value}\n" for name, value in own.items()))
        self._write("secrets.env", "".join(f"{name}={value}\n" for name, value in secret.items()))
        self._write("clusters.yaml", json.dumps({"default": self.cluster(task)}))
        name, tag = worker.rsplit(":", 1)

        def made(what: str, behavior: str, **files: list[str]) -> dict[str, object]:
            return {"name": f"flyte-temporal-{what}", "namespace": NAMESPACE, "behavior": behavior, **files}

        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(OVERLAY, self.folder.resolve())],
            "patches": [{"target": {"kind": "Namespace"}, "patch": json.dumps([_MARKING])}],
            "images": [{"name": "flyte-temporal/worker", "newName": name, "newTag": tag}],
            "configMapGenerator": [
                made("worker", "merge", envs=["worker.env"]),
                made("clusters", "replace", files=["clusters.yaml"]),
            ],
            "secretGenerator": [made("worker", "replace", envs=["secrets.env"])],
        }
        self._write("kustomization.yaml", json.dumps(overlay))
        self.kubectl.run("apply", "--kustomize", str(self.folder))

    def cluster(self, task: str) -> dict[str, object]:
        """Return what the worker knows of the cluster: the overlay's own words, but for the image."""
        told: dict[str, object] = yaml.safe_load((OVERLAY / "clusters.yaml").read_text(encoding="utf-8"))[
            "default"
        ]
        return told | {"image": task}

    def wait(self) -> None:
        """Wait until the job is done and a worker is well."""
        job = ("wait", "--for=condition=Complete", "--timeout=180s", "job/flyte-temporal-prepare")
        self.kubectl.run("--namespace", NAMESPACE, *job)
        self.kubectl.run("--namespace", NAMESPACE, "rollout", "status", WORKER, "--timeout=180s")

    def command(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `flyte-temporal` on this machine, attached to the installation."""
        environment = {
            **os.environ,
            **self.settings("127.0.0.1"),
            "FLYTE_TEMPORAL_HOME": str(self.folder / "home"),
            "FLYTE_TEMPORAL_LOCAL__ATTACH": f"127.0.0.1:{self.temporal}",
        }
        line = [str(Path(sys.executable).with_name("flyte-temporal")), *words]
        return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, **options)

    def workers(self) -> list[str]:
        """Return the names of the workers' pods that are not ending."""
        pods = self.kubectl.get(
            "pods", "--namespace", NAMESPACE, "--selector=app.kubernetes.io/name=flyte-temporal-worker"
        )
        return [p["metadata"]["name"] for p in pods["items"] if "deletionTimestamp" not in p["metadata"]]

    def remove(self) -> None:
        """Remove everything of these tests from the cluster, and wait until it is gone."""
        chosen: tuple[str, ...] = (f"--selector={MARK}={_MARKED}",)
        if "TEST_CLUSTER" in os.environ:
            # All of it is ours.
            chosen = (NAMESPACE, DOMAIN, "--ignore-not-found")
        self.kubectl.run("delete", "namespace", *chosen, "--timeout=120s")

    def check(self) -> None:
        """Fail if the cluster has an installation that is none of these tests: they would change it, and remove it."""
        known = self.kubectl.get("namespaces")["items"]
        foreign = [
            n["metadata"]["name"] for n in known if n["metadata"].get("labels", {}).get(MARK) != _MARKED
        ]
        taken = [name for name in (NAMESPACE, DOMAIN) if name in foreign]
        if taken and "TEST_CLUSTER" not in os.environ:
            pytest.fail(
                f"The cluster of {self.kubectl.kubeconfig} has the namespaces {taken}, which these tests have not made. "
                "Unset KUBECONFIG, so that `make test-k8s` starts a cluster of its own; or, if they are left of an older test, "
                f"remove them: kubectl delete namespace {' '.join(taken)}"
            )

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")


@contextmanager
def temporal_server(folder: Path) -> Iterator[int]:
    """Run Temporal's dev server, without namespace and search attributes of ours."""
    port = free_port()
    line = [find_program(), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)]
    line += [
        "--log-level",
        "error",
        "--db-filename",
        str(folder / "temporal.db"),
        "--sqlite-pragma",
        "journal_mode=wal",
    ]
    line += ["--dynamic-config-value", 'history.timerProcessorMaxTimeShift="10ms"']
    line += ["--dynamic-config-value", "history.transferProcessorMaxPollRPS=2000"]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL)
    try:
        listens(port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


def listens(port: int, within_s: float = 60) -> None:
    """Wait until somebody listens at a port of this machine."""
    end = time.monotonic() + within_s
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            assert time.monotonic() < end, f"nobody listens at {port}"
            time.sleep(0.05)


@contextmanager
def s3_server() -> Iterator[int]:
    """Run moto's S3 server with the bucket of the overlay, in a process of its own: pods ask much of it."""
    port = free_port()
    line = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        listens(port)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("PUT", "/flyte-temporal")
        assert connection.getresponse().status == 200
        connection.close()
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextmanager
def installed(kubectl: Kubectl, folder: Path) -> Iterator[Installation]:
    """Install inside of the block."""
    with ExitStack() as stack:
        database = free_port()
        stack.enter_context(postgres(database))
        own = Installation(
            kubectl,
            folder,
            stack.enter_context(temporal_server(folder)),
            database,
            stack.enter_context(s3_server()),
        )
        own.check()
        own.remove()
        own.apply(images.provide(images.WORKER), images.provide(images.TASK))
        stack.callback(own.remove)
        own.wait()
        yield own
