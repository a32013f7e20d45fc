"""A namespace as deploy/k8s makes it for a project and domain, a launcher that may do there what its role grants, and a witness.

Everything that these tests start, they start by the launcher itself: what a worker would do with an order.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from flyte_temporal.adapters.launchers.kubernetes import names
from flyte_temporal.adapters.launchers.kubernetes.launcher import KubernetesLauncher
from flyte_temporal.config.clusters import Amounts, ClusterSettings
from flyte_temporal.spec.attempt import AttemptOrder, AttemptState, StorageConfig
from flyte_temporal.testing.attempts import AttemptBench
from tests.kubernetes import images
from tests.kubernetes.installation import HOST, KEYS, s3_server
from tests.kubernetes.kubectl import Kubectl

DEPLOY = images.ROOT / "deploy" / "k8s"
WORKER = "flyte-temporal-worker"
WORK = """
import time
from pathlib import Path

from flyte_temporal import task


@task
def add(n: int) -> int:
    return n + 1


@task
def nap(seconds: float) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)
    return 42


@task
def hold() -> int:
    while not Path("/tmp/go").exists():
        time.sleep(0.05)
    return 42
"""


@dataclass
class Ground:
    """Where attempts run.

    Args:
        kubectl: The cluster.
        namespace: Of the pods.
        accounts: Of the worker's service account.
        folder: For files.
        store: Port of the S3 server.
        task: Image of tasks.
    """

    kubectl: Kubectl
    namespace: str
    accounts: str
    folder: Path
    store: int
    task: str
    bench: AttemptBench = field(init=False)

    def __post_init__(self) -> None:
        os.environ.update(KEYS)  # where the store's client of this process looks for them
        source = self.folder / "source"
        source.mkdir()
        (source / "work.py").write_text(WORK)
        self.bench = AttemptBench(source, self.folder, self.storage("127.0.0.1"))

    def storage(self, host: str) -> StorageConfig:
        """Return how the store is reached from that side of the network."""
        return StorageConfig(
            root=f"s3://flyte-temporal/{self.namespace}",
            options={"endpoint_url": f"http://{host}:{self.store}"},
        )

    def token(self) -> str:
        """Return a token of the worker's service account."""
        return self.kubectl.run(
            "--namespace", self.accounts, "create", "token", WORKER, "--duration=1h"
        ).strip()

    def settings(self, kubeconfig: Path, **changes: Any) -> ClusterSettings:
        """Return what a worker is told of the cluster."""
        told: dict[str, Any] = {
            "kubeconfig": kubeconfig,
            "namespace": self.namespace,
            "image": self.task,
            "image_pull_policy": "IfNotPresent",
            "storage": self.storage(HOST),
            "env": KEYS,
            "service_account": "flyte-temporal-task",
            "requests": Amounts(cpu="5m", mem="320Mi"),
            "limits": Amounts(ephemeral_storage="256Mi"),
            "tmp_size": "64Mi",
            "creates_per_s": 100.0,
            "creates_burst": 100,
        }
        return ClusterSettings(**told | changes)

    @asynccontextmanager
    async def launcher(self, kubeconfig: Path, **changes: Any) -> AsyncIterator[KubernetesLauncher]:
        """Run a launcher inside of the block."""
        launcher = KubernetesLauncher({"default": self.settings(kubeconfig, **changes)}, self.bench.store)
        try:
            yield launcher
        finally:
            await launcher.close()

    async def finished(
        self, launcher: KubernetesLauncher, orders: Iterable[AttemptOrder], within_s: float
    ) -> dict[str, AttemptState]:
        """Wait until all of them are over; return their states by key."""

        async def one(order: AttemptOrder) -> AttemptState:
            while not (state := await launcher.observe(order.attempt, 10.0)).over:
                pass
            return state

        wanted = list(orders)
        states = await asyncio.wait_for(asyncio.gather(*map(one, wanted)), within_s)
        return {order.attempt.key: state for order, state in zip(wanted, states, strict=True)}

    def let_go(self, *orders: AttemptOrder, within_s: float = 180) -> None:
        """Have these attempts of `work.hold` end once they run, whatever the launcher sees of the cluster."""
        end = time.monotonic() + within_s
        for order in orders:
            words = ("exec", names.pod_name(order.attempt), "--", "touch", "/tmp/go")
            while (done := self.kubectl.said("--namespace", self.namespace, *words)).returncode:
                assert time.monotonic() < end, done.stderr
                time.sleep(0.5)

    def pods(self) -> list[Any]:
        """Return all pods of the namespace."""
        found: list[Any] = self.kubectl.get("pods", "--namespace", self.namespace)["items"]
        return found

    def succeeded(self, *orders: AttemptOrder) -> bool:
        """Return whether all of them have left outputs."""
        manifests = [self.bench.manifest(order) for order in orders]
        return all(manifest is not None and manifest.outputs is not None for manifest in manifests)

    async def emptied(self, within_s: float = 60) -> None:
        """Wait until there is no pod any more."""
        end = time.monotonic() + within_s
        while found := await asyncio.to_thread(self.pods):
            assert time.monotonic() < end, [pod["metadata"]["name"] for pod in found]
            await asyncio.sleep(0.5)

    def live(self) -> list[str]:
        """Return the names of pods that have not ended."""
        return [
            p["metadata"]["name"]
            for p in self.pods()
            if p["status"].get("phase") not in {"Succeeded", "Failed"}
        ]


@contextmanager
def ground(kubectl: Kubectl, folder: Path) -> Iterator[Ground]:
    """Make a namespace with all rules of deploy/k8s/domain, and a service account bound as the worker's is."""
    namespace = f"t{secrets.token_hex(4)}"
    accounts = f"{namespace}-platform"
    with ExitStack() as stack:
        stack.callback(
            kubectl.run, "delete", "namespace", namespace, accounts, "--ignore-not-found", "--wait=false"
        )
        kubectl.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": accounts}},
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": WORKER, "namespace": accounts},
            },
        )
        _apply_domain(kubectl, folder, namespace, accounts)
        _let_see_nodes(kubectl, accounts)
        stack.callback(kubectl.run, "delete", "clusterrolebinding", accounts, "--ignore-not-found")
        store = stack.enter_context(s3_server())
        yield Ground(kubectl, namespace, accounts, folder, store, images.provide(images.TASK))


def _apply_domain(kubectl: Kubectl, folder: Path, namespace: str, accounts: str) -> None:
    """Use deploy/k8s/domain as an overlay does, with another account in the worker's place."""
    place = folder / "domain"
    place.mkdir()
    subject = [{"op": "replace", "path": "/subjects/0/namespace", "value": accounts}]
    overlay: Mapping[str, object] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [os.path.relpath(DEPLOY / "domain", place.resolve())],
        "patches": [{"target": {"kind": "RoleBinding"}, "patch": json.dumps(subject)}],
    }
    (place / "kustomization.yaml").write_text(json.dumps(overlay), encoding="utf-8")
    kubectl.run("apply", "--kustomize", str(place))


def _let_see_nodes(kubectl: Kubectl, accounts: str) -> None:
    """Bind the account to what deploy/k8s/base grants the worker beyond namespaces."""
    documents = list(yaml.safe_load_all((DEPLOY / "base" / "account.yaml").read_text(encoding="utf-8")))
    role = next(document for document in documents if document["kind"] == "ClusterRole")
    binding = next(document for document in documents if document["kind"] == "ClusterRoleBinding")
    binding["metadata"]["name"] = accounts
    binding["subjects"][0]["namespace"] = accounts
    kubectl.apply(role, binding)


class Witness:
    """Sees every pod of a namespace, or those of it with some label, straight from the API server, whatever happens to who is
    under test.

    A watch that ends is opened again where it was: the server leaves those that do not keep up, such as ours on a machine with
    much to do.

    Args:
        kubectl: The cluster.
        namespace: Of the pods.
        selector: Which labels they have; empty = all of them.
    """

    def __init__(self, kubectl: Kubectl, namespace: str, selector: str = "") -> None:
        self._path = f"/api/v1/namespaces/{namespace}/pods?{urlencode({'labelSelector': selector})}"
        self._program = kubectl.program
        self._environment = {**os.environ, "KUBECONFIG": str(kubectl.kubeconfig)}
        self.uids: dict[str, set[str]] = defaultdict(set)
        self._closing = False
        self._version = self._listed()
        self._process = self._watching()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def doubled(self) -> dict[str, set[str]]:
        """Return names under which there was more than one pod."""
        return {name: uids for name, uids in self.uids.items() if len(uids) > 1}

    @property
    def watches(self) -> bool:
        """Whether it has not given up."""
        return self._thread.is_alive()

    def wait(self, count: int, within_s: float = 60) -> None:
        """Wait until so many pods have been seen; never more."""
        end = time.monotonic() + within_s
        while len(self.uids) < count and time.monotonic() < end:
            time.sleep(0.1)
        assert len(self.uids) == count

    def interrupt(self) -> None:
        """End the watch as the server might; it goes on by itself."""
        self._process.terminate()

    def close(self) -> None:
        self._closing = True
        while self._thread.is_alive():
            self._process.terminate()
            self._thread.join(timeout=1)

    def _listed(self) -> str:
        """Take in the pods that there are; return what comes after them."""
        line = [self._program, "get", "--raw", self._path]
        done = subprocess.run(line, check=True, capture_output=True, text=True, env=self._environment)
        found = json.loads(done.stdout)
        for pod in found["items"]:
            self._take(pod["metadata"])
        return str(found["metadata"]["resourceVersion"])

    def _watching(self) -> subprocess.Popen[str]:
        path = f"{self._path}&watch=true&resourceVersion={self._version}"
        line = [self._program, "get", "--raw", path]
        return subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=self._environment)

    def _take(self, made: Any) -> None:
        self.uids[made["name"]].add(made["uid"])

    def _read(self) -> None:
        while True:
            with self._process as process:
                assert process.stdout is not None
                for line in process.stdout:
                    if line.endswith("\n"):  # it may have been ended in the middle
                        self._event(json.loads(line))
            if self._closing:
                return
            self._process = self._watching()

    def _event(self, event: Any) -> None:
        if event["type"] == "ERROR":
            # Too old: nobody knows what has been missed.
            raise AssertionError(event["object"])
        made = event["object"]["metadata"]
        self._version = made["resourceVersion"]
        self._take(made)


@contextmanager
def witness(ground: Ground) -> Iterator[Witness]:
    """Watch all pods there inside of the block; at its end, no attempt has had two."""
    with watching(ground.kubectl, ground.namespace) as seen:
        yield seen


@contextmanager
def watching(kubectl: Kubectl, namespace: str, selector: str = "") -> Iterator[Witness]:
    """Watch pods inside of the block; at its end, no attempt has had two."""
    seen = Witness(kubectl, namespace, selector)
    try:
        yield seen
        assert seen.uids, "the witness was blind"
        assert seen.watches, "the witness has missed something"
        assert seen.doubled() == {}
    finally:
        seen.close()
