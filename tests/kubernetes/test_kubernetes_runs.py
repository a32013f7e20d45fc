"""Whole executions on Kubernetes, by the command line of a person whose local stack runs its tasks in pods of a cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.adapters.launchers.kubernetes import names
from flyte_temporal.spec.identifiers import ExecutionId
from tests.e2e.command import ROOT, Command
from tests.kubernetes import images
from tests.kubernetes.bench import DOMAIN
from tests.kubernetes.ground import watching
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.stack import ELSEWHERE, NAMESPACE, SECOND, SHARDS, with_variables

WITHIN_S = 240.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


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


def pods(kubectl: Kubectl, name: str, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    found = kubectl.get("pods", "-n", namespace, f"--selector={names.EXECUTION}={name}")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def rows(cli: Command, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cli("get", "nodes", name, "-o", "json").document
    return found


def ended(cli: Command, name: str, within_s: float = WITHIN_S) -> dict[str, Any]:
    """Return an execution once it has ended."""

    def over() -> dict[str, Any] | None:
        found: dict[str, Any] = cli("get", "execution", name, "-o", "json").document
        return found if found["phase"] in {"SUCCEEDED", "FAILED", "ABORTED"} else None

    found: dict[str, Any] = waited(over, within_s)
    return found


def nothing_lives_on(kubectl: Kubectl, name: str, namespace: str = NAMESPACE) -> None:
    """No live pod whose attempt is closed."""
    waited(lambda: not pods(kubectl, name, namespace))


def owners(kubectl: Kubectl, namespace: str) -> set[str]:
    """Return the executions that have had pods there."""
    found = kubectl.get("configmaps", "-n", namespace, f"--selector={names.EXECUTION}")["items"]
    return {one["metadata"]["labels"][names.EXECUTION] for one in found}


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
    owned = kubectl.get("configmaps", "-n", NAMESPACE, f"--selector={names.EXECUTION}=train-kubernetes")
    assert len(owned["items"]) == 1


@pytest.mark.parametrize(
    ("entity", "words"), [("talking", ["--lines", "12"]), ("chatting", [])], ids=["runtime", "container"]
)
def test_logs_are_followed_while_the_pod_runs_and_stay(
    cli: Command, kubectl: Kubectl, program: Path, entity: str, words: list[str]
) -> None:
    how = ["--detach", "--launcher", "kubernetes", "--image", f"tools={images.plain()}", "--name", entity]
    cli("run", *how, program, entity, *words)
    (node,) = waited(lambda: rows(cli, entity))
    with cli.started("logs", entity, node["id"], "--follow") as following:
        assert following.stdout is not None
        first = following.stdout.readline()
        assert "line 0" in first
        assert any(pod["status"]["phase"] == "Running" for pod in pods(kubectl, entity))
        rest = following.stdout.read()
    assert "line 11" in rest
    assert ended(cli, entity)["phase"] == "SUCCEEDED"
    nothing_lives_on(kubectl, entity)
    kept = cli("logs", entity, node["id"]).stdout
    assert [kept.count(f"line {number}\n") for number in range(12)] == [1] * 12


@pytest.mark.row(1)
@pytest.mark.timeout(2400)
@pytest.mark.parametrize(
    ("entity", "count", "kills"), [("many", 20, 1), pytest.param("crowd", 200, 10, marks=pytest.mark.long)]
)
def test_a_worker_that_is_killed_with_many_pods(
    cli: Command, kubectl: Kubectl, program: Path, entity: str, count: int, kills: int
) -> None:
    """Whoever comes next adopts them: none is lost, none is made twice, and none outlives its item."""
    killed: list[int] = []
    with watching(kubectl, NAMESPACE, f"{names.EXECUTION}={entity}") as seen:
        numbers = json.dumps(list(range(count)))
        cli("run", "--detach", "--launcher", "kubernetes", "--name", entity, program, entity, "--ns", numbers)
        while len(killed) < kills:
            # The first dies while pods are still being made, if there are more than these; each later one further along.
            waited(lambda: len(seen.uids) >= 20)
            waited(lambda: succeeded(cli, entity) >= len(killed) * count // (kills + 2), 900)
            killed.append(kill_worker(cli, killed))
        done = ended(cli, entity, 1200)
        seen.wait(count)
    assert done["outputs"] == {"o0": [n * n for n in range(count)]}
    printed = Counter(re.findall(r"^item (\d+) is at work$", cli("logs", entity).stdout, re.MULTILINE))
    assert printed == {str(n): 1 for n in range(count)}
    nothing_lives_on(kubectl, entity)


def succeeded(cli: Command, name: str) -> int:
    """Return how many nodes and items of an execution have ended well."""
    return len(cli("get", "nodes", name, "--phase", "SUCCEEDED", "-o", "json").document)


def kill_worker(cli: Command, killed: list[int]) -> int:
    """Kill the stack's worker, another one than those; return which."""

    def alive() -> int:
        pid = int(cli("status", "-o", "json").document["pids"].get("worker", 0))
        return 0 if pid in killed else pid

    worker: int = waited(alive)
    os.kill(worker, signal.SIGKILL)
    return worker


@pytest.mark.row(22)
def test_what_a_pod_waits_for_is_shown(cli: Command, kubectl: Kubectl, program: Path) -> None:
    cli("run", "--detach", "--launcher", "kubernetes", "--name", "no-image", program, "without_image")
    waited(lambda: pods(kubectl, "no-image"))
    waited(lambda: any("Pull" in row.get("reason", "") for row in rows(cli, "no-image")))
    cli("abort", "no-image")
    nothing_lives_on(kubectl, "no-image")


@pytest.mark.row(19)
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


@pytest.mark.row(17)
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


def test_a_container_without_our_python_between_tasks_with_it(
    cli: Command, kubectl: Kubectl, program: Path
) -> None:
    """Inputs are files that one of our containers writes before it; one beside it stores what it left."""
    tools = f"tools={images.plain()}"
    words = ("--launcher", "kubernetes", "--image", tools, "--name", "between", "-o", "json")
    done = cli("run", *words, program, "between", "--text", "grüße", "--ns", "[3, 4]", expect=None)
    assert done.code == 0, done
    assert done.document["outputs"] == {"o0": "7 [3, 4] {'a': 1, 'b': 2} grüße"}
    nothing_lives_on(kubectl, "between")


@pytest.mark.parametrize(
    ("entity", "said"),
    [("refuses", {"no luck"}), ("exits", {"first words", "last words"}), ("forgets", {"x"})],
    ids=["says", "exits", "forgets"],
)
def test_a_container_that_fails(
    cli: Command, kubectl: Kubectl, program: Path, entity: str, said: set[str]
) -> None:
    """Two streams are two pipes to the container's runtime: it writes down whichever it reads first."""
    words = ("--launcher", "kubernetes", "--image", f"tools={images.plain()}", "--name", entity, "-o", "json")
    done = cli("run", *words, program, entity, expect=1)
    assert done.document["error"]["kind"] == "user", done.document
    assert {words for words in said if words in done.document["error"]["message"]} == said
    nothing_lives_on(kubectl, entity)
    printed = cli("logs", entity).stdout
    assert [printed.count(words) for words in ("first words", "last words")] == [int(entity == "exits")] * 2


def test_a_project_has_its_own_cluster_watched_in_parts(
    cli: Command, kubectl: Kubectl, program: Path
) -> None:
    """Executions at the same time, so that they are in several parts; each goes to the cluster that its project has."""
    elsewhere = with_variables(cli, FLYTE_TEMPORAL_PROJECT=ELSEWHERE)
    started = [f"part-{number}" for number in range(4)]
    ids = [ExecutionId(project=ELSEWHERE, domain=DOMAIN, name=name) for name in started]
    assert len({names.shard_of(one, SHARDS) for one in ids}) > 1
    for name in started:
        elsewhere("run", "--detach", "--name", name, program, "talking", "--lines", "4")
    cli(
        "run", "--detach", "--launcher", "kubernetes", "--name", "at-home", program, "talking", "--lines", "4"
    )
    for name in started:
        assert ended(elsewhere, name)["outputs"] == {"o0": 4}
        nothing_lives_on(kubectl, name, SECOND)
    assert ended(cli, "at-home")["outputs"] == {"o0": 4}
    nothing_lives_on(kubectl, "at-home")
    # Pods are gone by now, or soon; what they belonged to stays for a while.
    assert {*started} <= owners(kubectl, SECOND)
    assert "at-home" in owners(kubectl, NAMESPACE)
    assert not {*started} & owners(kubectl, NAMESPACE)
