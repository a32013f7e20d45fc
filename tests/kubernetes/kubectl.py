"""`kubectl` for tests, on the cluster that `TEST_KUBECONFIG` names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "TEST_KUBECONFIG"
STATE = "/var/lib/flyte-temporal-kube"


@dataclass(frozen=True)
class Kubectl:
    """The program and the cluster.

    Args:
        program: Path of `kubectl`.
        kubeconfig: How to reach the cluster.
    """

    program: str
    kubeconfig: Path

    @classmethod
    def find(cls) -> Kubectl:
        """Return that of the cluster which tests/cluster started, or else that on PATH."""
        own = Path(os.environ.get("KUBESTATE", STATE)) / "kubectl"
        program = str(own) if own.exists() else shutil.which("kubectl")
        assert program, "kubectl is needed on PATH for tests on a cluster of your own"
        assert VARIABLE in os.environ, "no cluster was named: run `make test-k8s`"
        return cls(program, Path(os.environ[VARIABLE]))

    def said(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Return how it ended, and what it said."""
        return subprocess.run(
            [self.program, *words],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
        )

    def run(self, *words: str, given: str | None = None, fails: bool = False) -> str:
        """Return what it prints; with `fails`, what it complains of."""
        done = self.said(*words, given=given)
        assert (done.returncode != 0) == fails, f"kubectl {' '.join(words)}:\n{done.stdout}\n{done.stderr}"
        return done.stderr if fails else done.stdout

    def get(self, *words: str) -> Any:
        """Return what `get` answers, as JSON."""
        return json.loads(self.run("get", *words, "--output=json"))

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Make these objects, or change them to this."""
        self.run(
            "apply",
            "--filename=-",
            given=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}),
        )
