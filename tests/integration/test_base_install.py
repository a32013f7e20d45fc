"""The built wheel with its base dependencies runs a task, and nothing of the platform is imported in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.types import STRING
from flyte_temporal.testing.attempts import AttemptBench

ROOT = Path(__file__).parents[2]
PLATFORM = {
    "temporalio",
    "kubernetes",
    "sqlalchemy",
    "fastapi",
    "typer",
    "httpx",
    "rich",
    "pydantic_settings",
    "alembic",
}

JOB = """
import sys
from flyte_temporal import task

@task
def modules(path: str) -> str:
    print("printed by the task")
    return " ".join(sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel, its base dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("base")
    uv = Path(sys.executable).with_name("uv")
    program = str(uv) if uv.exists() else shutil.which("uv")
    if program is None:
        pytest.skip("uv is not installed")

    def run(*arguments: str) -> None:
        done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    run("build", "--wheel", "--out-dir", str(folder / "dist"), str(ROOT))
    (wheel,) = (folder / "dist").glob("*.whl")
    run("venv", "-q", "--python", sys.executable, str(folder / "venv"))
    python = folder / "venv" / "bin" / "python"
    run("pip", "install", "-q", "--python", str(python), str(wheel))
    return python


def test_the_base_is_small(python: Path) -> None:
    listed = subprocess.run(
        [str(python), "-c", "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"],
        capture_output=True,
        text=True,
        check=True,
    )
    installed = {name.lower().replace("_", "-") for name in listed.stdout.split()}
    assert {"flyte-temporal", "pydantic", "fsspec"} <= installed
    assert not {name.replace("_", "-") for name in PLATFORM} & installed
    assert len(installed) <= 8, installed


def test_a_task_runs_on_the_base(python: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "job.py").write_text(JOB)
    bench = AttemptBench(tmp_path / "source", tmp_path)
    order = bench.order("job.modules", {"path": ""}, STRING)
    command = [
        str(python),
        "-m",
        "flyte_temporal.runtime",
        "--order",
        "-",
        "--scratch",
        str(tmp_path / "scratch"),
    ]
    done = subprocess.run(command, input=canonical_bytes(order), capture_output=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr.decode()
    manifest = bench.manifest(order)
    assert manifest is not None
    assert manifest.outputs is not None, manifest.error
    loaded = set(manifest.outputs["o0"].value.split())  # type: ignore[union-attr]
    assert {"flyte_temporal", "pydantic", "job"} <= loaded
    assert not PLATFORM & loaded
    assert bench.log(order) == "printed by the task\n"
    again = subprocess.run(command, input=canonical_bytes(order), capture_output=True, cwd="/", check=False)
    assert again.returncode == 2
    assert b"not run again" in again.stderr
