"""Whole executions on Kubernetes, by the command line of a person whose local stack runs its tasks in pods of a cluster."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.adapters.launchers.kubernetes import names
from tests.e2e.command import ROOT, Command
from tests.kubernetes import images
from tests.kubernetes.bench import DOMAIN, namespace, storage_of
from tests.kubernetes.installation import HOST, KEYS, s3_server
from tests.kubernetes.kubectl import Kubectl

PROJECT = "runs"
NAMESPACE = f"{PROJECT}-{DOMAIN}"
WITHIN_S = 240.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with s3_server() as port:
        yield port


@pytest.fixture(scope="module")
def cli(kubectl: Kubectl, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    cluster = {
        "kubeconfig": str(kubectl.kubeconfig),
        "image": images.provide(images.SCIENCE),
        "image_pull_policy": "IfNotPresent",
        "storage": storage_of(port, HOST).model_dump(),
        "env": KEYS,
        "requests": {"cpu": "20m", "mem": "400Mi"},
        "limits": {},
        "grace_s": 5,
        "spot": {"node_selector": {"kubernetes.io/os": "linux"}},
    }
    store = storage_of(port)
    variables = {
        "FLYTE_TEMPORAL_STORAGE__ROOT": store.root,
        "FLYTE_TEMPORAL_STORAGE__ENDPOINT": store.endpoint,
        "FLYTE_TEMPORAL_STORAGE__PATH_STYLE": "true",
        "FLYTE_TEMPORAL_KUBERNETES__CLUSTERS": json.dumps({"default": cluster}),
        "FLYTE_TEMPORAL_PROJECT": PROJECT,
        "FLYTE_TEMPORAL_DOMAIN": DOMAIN,
        "FLYTE_TEMPORAL_LIMITS__INTERRUPTIBLE_FAILURES": "1",
        **KEYS,
    }
    with namespace(kubectl, NAMESPACE):
        command = Command(tmp_path_factory.mktemp("kubernetes") / "h", tuple(variables.items()))
        try:
            yield command
        finally:
            command("down", expect=None)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    made = tmp_path / "src" / "program.py"
    made.parent.mkdir()
    shutil.copyfile(Path(__file__).with_name("program.py.txt"), made)
    return made


def waited(condition: Callable[[], Any], within_s: float = WITHIN_S) -> Any:
    end = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end, "the awaited state did not come"
        time.sleep(0.2)
    return found


def pods(kubectl: Kubectl, name: str) -> list[dict[str, Any]]:
    found = kubectl.get("pods", "-n", NAMESPACE, f"--selector={names.EXECUTION}={name}")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def rows(cli: Command, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cli("get", "nodes", name, "-o", "json").document
    return found


def ended(cli: Command, name: str) -> dict[str, Any]:
    """Return an execution once it has ended."""

    def over() -> dict[str, Any] | None:
        found: dict[str, Any] = cli("get", "execution", name, "-o", "json").document
        return found if found["phase"] in {"SUCCEEDED", "FAILED", "ABORTED"} else None

    found: dict[str, Any] = waited(over)
    return found


def nothing_lives_on(kubectl: Kubectl, name: str) -> None:
    """No live pod whose attempt is closed."""
    waited(lambda: not pods(kubectl, name))


def test_the_example_gives_on_kubernetes_what_it_gives_here(cli: Command, kubectl: Kubectl) -> None:
    example = ROOT / "examples" / "02_train_model" / "pipeline.py"
    expected = json.loads((example.parent / "expected.json").read_text())[0]["outputs"]
    given: dict[str, Any] = {}
    for launcher in ("process", "kubernetes"):
        words = ["--detach", "--launcher", launcher, "--name", f"train-{launcher}"]
        cli("run", *words, example, "train_model", "--hyperparam", "0.1")
        given[launcher] = ended(cli, f"train-{launcher}")
        assert given[launcher]["phase"] == "SUCCEEDED"
    accuracy = [given[launcher]["outputs"]["accuracy"] for launcher in given]
    assert accuracy == [expected["accuracy"]] * 2
    nothing_lives_on(kubectl, "train-kubernetes")
    owners = kubectl.get("configmaps", "-n", NAMESPACE, f"--selector={names.EXECUTION}=train-kubernetes")
    assert len(owners["items"]) == 1


def test_logs_are_followed_while_the_pod_runs_and_stay(cli: Command, kubectl: Kubectl, program: Path) -> None:
    cli("run", "--detach", "--launcher", "kubernetes", "--name", "talks", program, "talking", "--lines", "12")
    (node,) = waited(lambda: rows(cli, "talks"))
    with cli.started("logs", "talks", node["id"], "--follow") as following:
        assert following.stdout is not None
        first = following.stdout.readline()
        assert "line 0" in first
        assert any(pod["status"]["phase"] == "Running" for pod in pods(kubectl, "talks"))
        rest = following.stdout.read()
    assert "line 11" in rest
    assert ended(cli, "talks")["phase"] == "SUCCEEDED"
    nothing_lives_on(kubectl, "talks")
    assert "line 7" in cli("logs", "talks", node["id"]).stdout


def test_a_worker_that_is_killed_with_twenty_pods(cli: Command, kubectl: Kubectl, program: Path) -> None:
    numbers = json.dumps(list(range(20)))
    cli("run", "--detach", "--launcher", "kubernetes", "--name", "twenty", program, "many", "--ns", numbers)
    waited(lambda: len(pods(kubectl, "twenty")) == 20)
    seen = {pod["metadata"]["uid"] for pod in pods(kubectl, "twenty")}
    os.kill(int(cli("status", "-o", "json").document["pids"]["worker"]), signal.SIGKILL)
    end = time.monotonic() + WITHIN_S
    while cli("get", "execution", "twenty", "-o", "json").document["phase"] not in {"SUCCEEDED", "FAILED"}:
        seen |= {pod["metadata"]["uid"] for pod in pods(kubectl, "twenty")}
        assert time.monotonic() < end
        time.sleep(0.5)
    done = cli("get", "execution", "twenty", "-o", "json").document
    assert done["outputs"] == {"o0": [n * n for n in range(20)]}
    assert len(seen) == 20
    assert cli("logs", "twenty").stdout.count("is at work") == 20
    nothing_lives_on(kubectl, "twenty")


def test_what_a_pod_waits_for_is_shown(cli: Command, kubectl: Kubectl, program: Path) -> None:
    cli("run", "--detach", "--launcher", "kubernetes", "--name", "no-image", program, "without_image")
    waited(lambda: pods(kubectl, "no-image"))
    waited(lambda: any("Pull" in row.get("reason", "") for row in rows(cli, "no-image")), 20)
    cli("abort", "no-image")
    nothing_lives_on(kubectl, "no-image")


def test_after_a_machine_was_taken_away_the_next_one_stays(
    cli: Command, kubectl: Kubectl, program: Path
) -> None:
    cli("run", "--detach", "--launcher", "kubernetes", "--name", "spot", program, "on_spot")
    (pod,) = waited(lambda: [p for p in pods(kubectl, "spot") if p["status"]["phase"] == "Running"])
    assert pod["metadata"]["annotations"][names.SPOT] == "true"
    name = pod["metadata"]["name"]
    waited(lambda: "at work" if "may go" in cli("logs", "spot").stdout else "")
    body = {"apiVersion": "policy/v1", "kind": "Eviction"}
    body |= {"metadata": {"name": name, "namespace": NAMESPACE}}  # type: ignore[dict-item]
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    kubectl.run("create", "--raw", path, "--filename=-", given=json.dumps(body))
    second = waited(lambda: [p for p in pods(kubectl, "spot") if p["metadata"]["name"] != name])[0]
    assert second["metadata"]["annotations"][names.SPOT] == "false"
    assert ended(cli, "spot")["outputs"] == {"o0": 5}
    (row,) = rows(cli, "spot")
    assert row["attempts"] == 2


def test_more_memory_after_an_attempt_without_enough(cli: Command, kubectl: Kubectl, program: Path) -> None:
    cli("run", "--detach", "--launcher", "kubernetes", "--name", "grows", program, "grows")
    limits: set[str] = set()

    def over() -> bool:
        for pod in pods(kubectl, "grows"):
            limits.add(pod["spec"]["containers"][0]["resources"]["limits"]["memory"])
        return cli("get", "execution", "grows", "-o", "json").document["phase"] in {"SUCCEEDED", "FAILED"}

    waited(over)
    assert cli("get", "execution", "grows", "-o", "json").document["outputs"] == {"o0": 300}
    assert limits == {"250Mi", "750Mi"}
