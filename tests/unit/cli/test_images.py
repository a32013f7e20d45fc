"""`--image` of `run`: what is said where it can mean nothing, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyte_temporal.cli import program
from flyte_temporal.cli.exits import ExitCode
from tests.unit.cli.scripted import Screen

PROGRAM = """
from flyte_temporal import task

@task(container_image="ghcr.io/me/trainer:v1")
def t() -> int:
    return 1
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--image", "a:1"], "--image a:1: the launcher of this run, 'pool', starts no containers"),
        (["--launcher", "process", "--image", "x=a:1"], "--image x=a:1: the launcher of this run, 'process'"),
        (
            ["--launcher", "podman", "--image=--privileged"],
            "--image: '--privileged' is not the name of an image",
        ),
        (
            ["--launcher", "podman", "--image", "x=docker://a"],
            "--image: 'docker://a' is not the name of an image",
        ),
    ],
)
def test_an_image_that_can_mean_nothing_ends_with_2(
    words: list[str], said: str, screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LAUNCHER", "IMAGE"):
        monkeypatch.delenv(f"FLYTE_TEMPORAL_{name}", raising=False)
    monkeypatch.setenv("FLYTE_TEMPORAL_HOME", str(tmp_path / "home"))
    (tmp_path / "trains.py").write_text(PROGRAM)
    assert (
        program.run(["run", *words, str(tmp_path / "trains.py"), "t"], screen.output) == ExitCode.BAD_REQUEST
    )
    assert said in screen.stderr
    assert "Starting the local stack" not in screen.stderr
    assert not (tmp_path / "home" / "stack.json").exists()


@pytest.mark.parametrize("words", [[], ["--image", "a:1"]])
def test_a_variable_that_names_no_launcher_ends_with_2(
    words: list[str], screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_LAUNCHER", "podmann")
    monkeypatch.setenv("FLYTE_TEMPORAL_HOME", str(tmp_path / "home"))
    (tmp_path / "trains.py").write_text(PROGRAM)
    assert (
        program.run(["run", *words, str(tmp_path / "trains.py"), "t"], screen.output) == ExitCode.BAD_REQUEST
    )
    assert "FLYTE_TEMPORAL_LAUNCHER: there is no launcher 'podmann'" in screen.stderr
    assert "Starting the local stack" not in screen.stderr
    assert not (tmp_path / "home" / "stack.json").exists()
