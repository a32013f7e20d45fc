"""The example of a plug-in, installed as a package of its own: compiled, run plainly, run durably."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import Command

PACKAGE = Path(__file__).parents[2] / "examples" / "plugins" / "flyte-temporal-celsius"
ANSWER = {"o0": "up to 31.5 degrees, 21.5 in the yard", "o1": 31.5}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the installed package; the package index is not asked."""
    target = tmp_path_factory.mktemp("installed")
    line = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
    ]
    done = subprocess.run(
        [*line, "--target", str(target), str(PACKAGE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def cli(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH", "")]))
    command = Command(tmp_path_factory.mktemp("home") / "h", (("PYTHONPATH", path),))
    try:
        yield command
    finally:
        command("down", expect=None)


def _python(code: str, installed: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_compiled(installed: Path) -> None:
    code = (
        "import sys, weather\n"
        "from flyte_temporal.compiler import compile_entity\n"
        "from flyte_temporal.spec.types import FLOAT\n"
        "loaded = lambda: sorted(m for m in sys.modules if m.startswith('flyte_temporal_celsius'))\n"
        "print(loaded())\n"
        "closure = compile_entity(weather.weather)\n"
        "assert weather.weather.interface.inputs[0].type == FLOAT\n"
        "print(closure.root.name, loaded())"
    )
    assert _python(code, installed).splitlines() == [
        "['flyte_temporal_celsius']",
        "weather.weather ['flyte_temporal_celsius', 'flyte_temporal_celsius.handlers', 'flyte_temporal_celsius.transformer']",
    ]


def test_an_entry_for_one_class_is_not_loaded_for_another(installed: Path) -> None:
    code = (
        "import sys\n"
        "from flyte_temporal.sdk.types.engine import TypeEngine\n"
        "class Other: ...\n"
        "TypeEngine().literal_type(Other)\n"
        "print(sorted(m for m in sys.modules if m.startswith('flyte_temporal_celsius.')))"
    )
    assert _python(code, installed) == "['flyte_temporal_celsius.handlers']"


def test_plain(cli: Command) -> None:
    done = cli("run", "--local", "-o", "json", PACKAGE / "weather.py", "weather", "--start", "21.5")
    assert done.document["outputs"] == ANSWER
    wrong = cli(
        "run", "--local", "-o", "json", PACKAGE / "weather.py", "weather", "--start", "warm", expect=2
    )
    assert "--start: expected float, got 'warm'" in wrong.stderr


@pytest.mark.slow
def test_durable(cli: Command) -> None:
    done = cli("run", "-o", "json", PACKAGE / "weather.py", "weather", "--start", "21.5")
    assert done.document["outputs"] == ANSWER


def test_without_the_plug_in_the_class_is_pickled_or_refused(installed: Path) -> None:
    code = (
        "import os\n"
        "from flyte_temporal.errors import UnsupportedType\n"
        "from flyte_temporal.sdk.types.engine import TypeEngine\n"
        "class Celsius: ...\n"
        "os.environ['FLYTE_TEMPORAL_PICKLE'] = 'known'\n"
        "try:\n    TypeEngine().literal_type(Celsius)\n"
        "except UnsupportedType as error:\n    print(error.message[:36])"
    )
    assert _python(code, installed) == "Celsius would travel as a pickle, wh"
