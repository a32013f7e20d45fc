"""Commands that belong to an installation of others: nothing of it runs in the home, and everything of a command works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_temporal.client import submitting
from tests.kubernetes.installation import temporal_server

pytestmark = pytest.mark.slow

PROGRAM = """
from flyte_temporal import task, workflow

@task
def double(x: int) -> int:
    return 2 * x

@workflow
def wf(x: int) -> int:
    return double(x=x)
"""


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What an installation on this machine and its commands have in common; with a worker that runs."""
    stores = tmp_path / "stores"
    stores.mkdir()
    with temporal_server(stores) as port:
        shared = {
            **os.environ,
            "FLYTE_TEMPORAL_TEMPORAL__NAMESPACE": "installation",
            "FLYTE_TEMPORAL_TEMPORAL__ADDRESS": f"127.0.0.1:{port}",
            "FLYTE_TEMPORAL_METADATA__URL": f"sqlite:///{stores / 'metadata.db'}",
            "FLYTE_TEMPORAL_STORAGE__ROOT": (stores / "blobs").as_uri(),
        }
        own = {**shared, "FLYTE_TEMPORAL_HOME": str(tmp_path / "worker")}
        (tmp_path / "worker").mkdir()
        subprocess.run([sys.executable, "-P", "-m", "flyte_temporal.worker.preparing"], env=own, check=True)
        worker = subprocess.Popen([sys.executable, "-P", "-m", "flyte_temporal.worker"], env=own)
        try:
            attach = f"127.0.0.1:{port}"
            yield {
                **shared,
                "FLYTE_TEMPORAL_HOME": str(tmp_path / "home"),
                "FLYTE_TEMPORAL_LOCAL__ATTACH": attach,
            }
        finally:
            worker.terminate()
            worker.wait(timeout=60)


def command(environment: dict[str, str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [str(Path(sys.executable).with_name("flyte-temporal")), *words]
    return subprocess.run(line, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def test_a_run_goes_to_the_workers_of_the_installation(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    try:
        done = command(environment, tmp_path, "run", "-o", "json", "program.py", "wf", "--x", "21")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["outputs"]["o0"] == 42
        status = json.loads(command(environment, tmp_path, "status", "-o", "json").stdout)
        assert set(status["pids"]) == {"supervisor"}
        assert status["temporal_address"] == environment["FLYTE_TEMPORAL_LOCAL__ATTACH"]
        assert not (tmp_path / "home" / "temporal.db").exists()
    finally:
        command(environment, tmp_path, "down")


def test_tasks_run_in_the_python_of_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's own is on another machine, or outside the worker's container."""
    environments = []
    for attach in ("", "temporal.example.com:7233"):
        monkeypatch.setenv("FLYTE_TEMPORAL_LOCAL__ATTACH", attach)
        environments.append(submitting._interpreter())
    assert environments == [sys.executable, ""]


def test_stores_that_are_not_named_are_asked_for(tmp_path: Path) -> None:
    given = {
        **os.environ,
        "FLYTE_TEMPORAL_HOME": str(tmp_path / "home"),
        "FLYTE_TEMPORAL_LOCAL__ATTACH": "127.0.0.1:9",
    }
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    done = command(given, tmp_path, "run", "program.py", "wf", "--x", "1")
    assert done.returncode == 3, done
    assert "FLYTE_TEMPORAL_METADATA__URL and FLYTE_TEMPORAL_STORAGE__ROOT must name" in done.stderr
