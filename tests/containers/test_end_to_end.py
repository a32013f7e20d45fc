"""Executions in containers as a person starts them: the command line, on a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.containers import engines
from tests.e2e.command import ROOT, Command
from tests.e2e.test_examples import matches

pytestmark = pytest.mark.skipif(
    os.environ.get(engines.REQUIRED) != "required",
    reason="takes an image with scientific packages; make test-containers runs it",
)
T = TypeVar("T")
EXAMPLE = ROOT / "examples" / "02_train_model"
PROGRAM = """
from flyte_temporal import ContainerTask, FlyteFile, ImageSpec, kwtypes, task, workflow

count = ContainerTask(
    name="pages.count",
    image="{{{{.image.tools.fqn}}}}:{{{{.image.tools.version}}}}",
    command=["sh", "-c", 'echo "counting $2"; wc -c < "$1" > /out/size; echo "[1, $2]" > /out/list; cp "$3" /out/copy', "-",
             "/in/text", "{{{{.inputs.n}}}}", "{{{{.inputs.file}}}}"],
    inputs=kwtypes(text=str, n=int, file=FlyteFile),
    outputs=kwtypes(size=int, list=list[int], copy=FlyteFile),
    input_data_dir="/in",
    output_data_dir="/out",
)

refuses = ContainerTask(
    name="pages.refuses",
    image="{{{{.image.tools.fqn}}}}:{{{{.image.tools.version}}}}",
    command=["sh", "-c", "echo no luck > /out/_ERROR; exit 3"],
    outputs=kwtypes(x=int),
    output_data_dir="/out",
)


@task
def write(text: str) -> FlyteFile:
    with open("text.txt", "w") as file:
        file.write(text)
    return FlyteFile("text.txt")


@task
def read(size: int, list: list[int], file: FlyteFile) -> str:
    return f"{{size}} {{list}} {{open(file).read()}}"


@workflow
def through(text: str = "grüße", n: int = 7) -> str:
    size, numbers, copy = count(text=text, n=n, file=write(text=text))
    return read(size=size, list=numbers, file=copy)


@task(container_image=ImageSpec(name="flyte-temporal-built", base_image="{image}", env={{"BUILT": "{built}"}}, commands=["mkdir /mine"]))
def built() -> str:
    import os

    return os.environ["BUILT"] + str(os.path.isdir("/mine"))


@task
def hold() -> int:
    import time

    time.sleep(600)
    return 1
"""


@pytest.fixture(scope="module")
def image() -> str:
    return engines.image("podman", engines.SCIENCE)


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Command]:
    places = {"default": {"launcher": "podman", "image": image}}
    variables = {
        "FLYTE_TEMPORAL_DEFAULTS": json.dumps(places),
        "FLYTE_TEMPORAL_BUILDER_OPTIONS": "--network=none",
    }
    command = Command(tmp_path_factory.mktemp("home") / "h", tuple(variables.items()), timeout_s=400)
    try:
        yield command
    finally:
        command("down", expect=None)
        engines.clear("podman", command.home / "attempts")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, image: str) -> Path:
    path = tmp_path_factory.mktemp("program") / "pages.py"
    path.write_text(textwrap.dedent(PROGRAM.format(image=image, built=str(time.time_ns()))))
    return path


def outputs(cli: Command, *words: str | Path) -> dict[str, Any]:
    document = cli("run", "-o", "json", *words).document
    assert document["phase"] == "SUCCEEDED", document
    found: dict[str, Any] = document["outputs"]
    return found


def test_the_readmes_example_gives_the_same(cli: Command) -> None:
    """By the launcher `podman`, which the settings choose for the project, and by `process`."""
    words = (EXAMPLE / "pipeline.py", "train_model", "--hyperparam", "0.1")
    by_podman = outputs(cli, *words)
    by_process = outputs(cli, "--launcher", "process", *words)
    (stated,) = json.loads((EXAMPLE / "expected.json").read_text())
    for found in (by_podman, by_process):
        assert dict.fromkeys(found, True) == {n: matches(stated["outputs"][n], v) for n, v in found.items()}
    assert engines.names("podman", cli.home / "attempts") == []


def test_a_container_task_between_python_tasks(cli: Command, program: Path, image: str) -> None:
    found = outputs(cli, "--image", f"tools={image}", program, "through", "--text", "grüße", "--n", "7")
    assert found == {"o0": "7 [1, 7] grüße"}
    execution = cli("get", "executions", "-o", "json").document[0]["id"]
    assert "counting 7" in cli("logs", execution).stdout


def test_a_container_task_that_fails(cli: Command, program: Path, image: str) -> None:
    done = cli("run", "-o", "json", "--image", f"tools={image}", program, "refuses", expect=1)
    assert done.document["error"]["message"] == "no luck"


def test_an_image_by_name_must_be_given(cli: Command, program: Path) -> None:
    done = cli("run", program, "refuses", expect=2)
    assert "Write --image tools=URI." in done.stderr


def test_an_image_that_is_nowhere(cli: Command, program: Path) -> None:
    nowhere = "tools=localhost/flyte-temporal-nothing:1"
    done = cli("run", "-o", "json", "--image", nowhere, program, "refuses", expect=1)
    assert done.document["error"]["code"] == "BadImage"
    assert "localhost/flyte-temporal-nothing:1" in done.document["error"]["message"]


def test_a_declared_image_is_built_once(cli: Command, program: Path) -> None:
    first = cli("run", "-o", "json", program, "built")
    assert first.document["outputs"]["o0"].endswith("True")
    assert "Building the image flyte-temporal-built:" in first.stderr
    second = cli("run", "-o", "json", program, "built")
    assert second.document["outputs"] == first.document["outputs"]
    assert "Building" not in second.stderr
    (tag,) = {
        line.split("flyte-temporal-built:")[1].split()[0]
        for line in first.stderr.splitlines()
        if "Building" in line
    }
    subprocess.run(
        ["podman", "rmi", "--force", f"flyte-temporal-built:{tag}"], capture_output=True, check=True
    )


def test_the_stack_takes_its_containers_down_and_up_again(cli: Command, program: Path) -> None:
    execution = cli("run", "--detach", "-o", "json", program, "hold").document["id"]
    scratch = cli.home / "attempts"
    (first,) = _when(lambda: engines.names("podman", scratch, running=True))
    cli("down")
    assert engines.names("podman", scratch, running=True) == []
    # In the foreground: it ends with the stack.
    with cli.started("up") as stack:
        (second,) = _when(lambda: engines.names("podman", scratch, running=True))
        assert second != first
        (record,) = cli("get", "nodes", "-o", "json", execution).document
        assert (record["phase"], record["attempts"]) == ("RUNNING", 2)
        cli("abort", execution)
        assert cli("wait", "-o", "json", execution, expect=None).document["phase"] == "ABORTED"
        _when(lambda: not engines.names("podman", scratch))
        cli("down")
        assert stack.wait(timeout=60) == 0


def _when(condition: Callable[[], T]) -> T:
    """Wait for a condition, and return what it found."""
    deadline = time.monotonic() + 180
    while not (found := condition()):
        assert time.monotonic() < deadline, "the awaited state did not come"
        time.sleep(0.2)
    return found
