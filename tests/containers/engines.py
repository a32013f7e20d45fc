"""Whether podman and docker work here, and the images that tests run in.

Run as a program it builds the images for podman: minutes on a new machine, which are no test's own time.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flyte_temporal.adapters.launchers.containers.plan import HOME, home_of
from tools.task_image import build

REQUIRED = "FLYTE_TEMPORAL_TEST_CONTAINERS"
"""Environment variable: set to `required`, tests without a working engine fail; set to `off`, they are left out."""
SCIENCE = (
    "pandas",
    "pyarrow",
    "polars",
    "numpy",
    "pillow",
    "matplotlib",
    "attrs",
    "cloudpickle",
    "protobuf",
    "scikit-learn",
    "sqlalchemy",
)
"""What the tasks of examples and of the parity suite import."""


@functools.cache
def problem(program: str) -> str:
    """Return why an engine cannot be used; empty if it can."""
    if os.environ.get(REQUIRED) == "off":
        return f"{REQUIRED}=off"
    if sys.platform != "linux":
        return "containers are tested on Linux"
    if shutil.which(program) is None:
        return f"{program} is not installed (make test-containers installs podman)"
    answer = subprocess.run([program, "ps"], capture_output=True, text=True, check=False)
    if answer.returncode:
        return f"`{program} ps` fails: {answer.stderr.strip()[-300:]}"
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        return "the test image is made by debootstrap, as root (make test-containers installs it)"
    return ""


def need(program: str) -> None:
    """Skip, or fail where that is asked for, a test without a working engine."""
    if found := problem(program):
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(found)
        pytest.skip(found)


@functools.cache
def image(program: str, packages: tuple[str, ...] = ()) -> str:
    """Return the image of tasks, built from this code without a registry."""
    return build(program, packages, bootstrap=True)


def chosen() -> dict[str, str]:
    """Return the environment for runs by the launcher of $TEST_LAUNCHER; empty if none is chosen."""
    launcher = os.environ.get("TEST_LAUNCHER", "")
    if launcher in {"podman", "docker"}:
        need(launcher)
        return {"FLYTE_TEMPORAL_LAUNCHER": launcher, "FLYTE_TEMPORAL_IMAGE": image(launcher, SCIENCE)}
    return {"FLYTE_TEMPORAL_LAUNCHER": launcher} if launcher else {}


def names(program: str, scratch: Path, *, running: bool = False) -> list[str]:
    """Return the names of the containers of a launcher with this scratch folder."""
    words = [program, "ps", "--filter", f"label={HOME}={home_of(scratch)}", "--format", "{{.Names}}"]
    done = subprocess.run(
        [*words, *([] if running else ["--all"])], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def clear(program: str, scratch: Path) -> None:
    """Remove what a test has left of a launcher with this scratch folder."""
    for name in names(program, scratch):
        subprocess.run([program, "rm", "--force", name], capture_output=True, check=False)


def main() -> int:
    """Build the images, and say how long it took."""
    if found := problem("podman"):
        print(f"Nothing can be tested in containers: {found}", file=sys.stderr)
        return 1
    begun = time.monotonic()
    print("Building the images for tests in containers, where this code has none yet …", file=sys.stderr)
    for packages in ((), SCIENCE):
        print(f"{image('podman', packages)}, after {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
