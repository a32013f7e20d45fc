"""What `make test-k8s` does not do to an installation that its cluster has already."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.installation import DOMAIN, MARK, NAMESPACE, Installation
from tests.kubernetes.kubectl import Kubectl


class Cluster(Kubectl):
    """A cluster with some namespaces, by name their labels."""

    def __init__(self, namespaces: dict[str, dict[str, str]]) -> None:
        super().__init__("kubectl", Path("/their/kubeconfig"))
        object.__setattr__(self, "namespaces", namespaces)
        object.__setattr__(self, "asked", [])

    def run(self, *words: str, given: str | None = None, fails: bool = False) -> str:
        """Note what is asked for."""
        asked: list[tuple[str, ...]] = self.__dict__["asked"]
        asked.append(words)
        items = [
            {"metadata": {"name": name, **({"labels": labels} if labels else {})}}
            for name, labels in self.__dict__["namespaces"].items()
        ]
        return json.dumps({"items": items})


def on(namespaces: dict[str, dict[str, str]], folder: Path) -> Installation:
    return Installation(Cluster(namespaces), folder, 1, 2, 3)


def test_an_installation_of_somebody_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_CLUSTER", raising=False)
    theirs: dict[str, dict[str, str]] = {"kube-system": {}, NAMESPACE: {"a": "b"}, DOMAIN: {}}
    with pytest.raises(
        pytest.fail.Exception, match=r"/their/kubeconfig has the namespaces .*Unset KUBECONFIG"
    ):
        on(theirs, tmp_path).check()
    monkeypatch.setenv("TEST_CLUSTER", "tests/cluster")
    on(theirs, tmp_path).check()


def test_what_tests_have_made_is_taken_for_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_CLUSTER", raising=False)
    made = on({NAMESPACE: {MARK: "tests"}, "other": {}}, tmp_path)
    made.check()
    made.remove()
    removed = made.kubectl.__dict__["asked"][-1]
    assert removed[:3] == ("delete", "namespace", f"--selector={MARK}=tests")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_the_overlay_of_the_tests_marks_all_namespaces(tmp_path: Path) -> None:
    on({}, tmp_path).apply("worker:1", "task:1")
    words = ["kubectl", "kustomize", "--load-restrictor=LoadRestrictionsNone", str(tmp_path)]
    written = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    objects: list[dict[str, Any]] = list(yaml.safe_load_all(written))
    labels = {o["metadata"]["name"]: o["metadata"]["labels"] for o in objects if o["kind"] == "Namespace"}
    assert {name: found[MARK] for name, found in labels.items()} == {NAMESPACE: "tests", DOMAIN: "tests"}
