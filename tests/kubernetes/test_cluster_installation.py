"""The overlay `kind` of deploy/k8s, from nothing to executions on a real cluster: what docs/operations/production.md promises."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.kubernetes.installation import DOMAIN, NAMESPACE, WORKER, Installation, installed
from tests.kubernetes.kubectl import Kubectl

PROGRAM = """
from flyte_temporal import task, workflow, map_task

@task
def square(x: int) -> int:
    return x * x

@task
def total(xs: list[int]) -> int:
    return sum(xs)

@workflow
def squares(xs: list[int]) -> int:
    return total(xs=map_task(square)(x=xs))
"""


@pytest.fixture(scope="module")
def installation(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    (folder / "source").mkdir()
    (folder / "source" / "program.py").write_text(PROGRAM, encoding="utf-8")
    with installed(kubectl, folder) as made:
        yield made
        made.command("down")


def run(installation: Installation, values: list[int]) -> int:
    words = (
        "run",
        "--launcher",
        "kubernetes",
        "-o",
        "json",
        "program.py",
        "squares",
        "--xs",
        json.dumps(values),
    )
    done = installation.command(*words, cwd=installation.folder / "source", timeout=280)
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["outputs"]["o0"])


@pytest.mark.timeout(600)
def test_the_worker_comes_up_under_the_restricted_pod_security(installation: Installation) -> None:
    (worker,) = installation.workers()
    pod = installation.kubectl.get("pod", worker, "--namespace", NAMESPACE)
    assert pod["spec"]["serviceAccountName"] == "flyte-temporal-worker"
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["status"]["containerStatuses"][0]["ready"] is True


@pytest.mark.timeout(400)
def test_an_execution_runs_in_pods_of_its_domain(installation: Installation) -> None:
    assert run(installation, [1, 2, 3]) == 14
    assert run(installation, [4]) == 16
    status = installation.command("status", "-o", "json")
    assert json.loads(status.stdout)["pids"].keys() == {"supervisor"}, (
        "attached: neither a server nor a worker here"
    )


@pytest.mark.timeout(400)
def test_what_is_applied_again_changes_nothing_and_a_new_setting_rolls_the_worker(
    installation: Installation,
) -> None:
    before = installation.workers()
    kubectl = installation.kubectl
    kubectl.run("apply", "--kustomize", str(installation.folder))
    assert installation.workers() == before
    env = installation.folder / "worker.env"
    env.write_text(
        env.read_text(encoding="utf-8") + "FLYTE_TEMPORAL_LIMITS__SYSTEM_RETRIES=4\n", encoding="utf-8"
    )
    # The job is changed too, and nobody may change one.
    kubectl.run("--namespace", NAMESPACE, "delete", "job", "flyte-temporal-prepare", "--ignore-not-found")
    kubectl.run("apply", "--kustomize", str(installation.folder))
    installation.wait()
    end = time.monotonic() + 90
    while (now := installation.workers()) == before or len(now) != 1:
        assert time.monotonic() < end, now
        time.sleep(0.5)
    assert run(installation, [5, 6]) == 61


def test_a_task_has_no_rights_in_the_cluster(installation: Installation) -> None:
    account = f"--as=system:serviceaccount:{DOMAIN}:flyte-temporal-task"
    for verb, what in (("get", "pods"), ("list", "secrets"), ("create", "pods"), ("get", "configmaps")):
        said = installation.kubectl.said("auth", "can-i", verb, what, "--namespace", DOMAIN, account)
        assert said.stdout.strip() == "no", (verb, what)


@pytest.mark.row(2)
def test_a_worker_that_is_told_to_stop_does_so_in_its_time(installation: Installation) -> None:
    (worker,) = installation.workers()
    began = time.monotonic()
    installation.kubectl.run("--namespace", NAMESPACE, "delete", "pod", worker)
    assert time.monotonic() - began < 40
    installation.kubectl.run("--namespace", NAMESPACE, "rollout", "status", WORKER, "--timeout=120s")
