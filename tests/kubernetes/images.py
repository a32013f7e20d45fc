"""Images for the tests' cluster, made of Debian with Python and what pip installs; there is no registry and no Docker.

They hold what deploy/images/*.Dockerfile install, in the same places. On a cluster of your own (`KUBECONFIG`), name images that
it can pull: `TEST_TASK_IMAGE`, `TEST_SCIENCE_IMAGE`, `TEST_PARITY_IMAGE`, `TEST_WORKER_IMAGE`, and any with a shell as `TEST_PLAIN_IMAGE`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kubernetes.kubectl import STATE

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "tests" / "cluster"
_HOME = "opt/flyte-temporal"


@dataclass(frozen=True)
class Kind:
    """A kind of image.

    Args:
        name: Its name without registry and tag.
        extras: Of the package.
        variable: Names an image that is used in its stead.
        entrypoint: What it runs.
        packages: Further packages that it holds.
    """

    name: str
    extras: str
    variable: str
    entrypoint: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


TASK = Kind("task", "s3", "TEST_TASK_IMAGE")
_SCIENCE = ("pandas", "pyarrow", "scikit-learn")
SCIENCE = Kind("science", "s3", "TEST_SCIENCE_IMAGE", packages=_SCIENCE)
_MORE = ("polars", "numpy", "pillow", "matplotlib", "attrs", "cloudpickle", "sqlalchemy")
PARITY = Kind("parity", "s3", "TEST_PARITY_IMAGE", packages=(*_SCIENCE, *_MORE))
"""With all that the parity suite's programs import."""
WORKER = Kind("worker", "server,k8s,s3", "TEST_WORKER_IMAGE", ("python", "-P", "-m", "flyte_temporal.worker"))


def provide(kind: Kind) -> str:
    """Return an image with the code as it is now, after the cluster has been given it."""
    given = os.environ.get(kind.variable)
    if given:
        return given
    layers: list[str | Path] = [_base(), _dependencies(kind)]
    tag = _digest(Path(__file__), *sorted((ROOT / "flyte_temporal").rglob("*.py")))
    image = f"kube.local/flyte-temporal-{kind.name}:{tag}"
    # Gone with the cluster, as the image is.
    loaded = Path(os.environ.get("KUBE_STATE", STATE), f"loaded-{kind.name}-{tag}")
    if loaded.exists():
        return image
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder, "code")
        shutil.copytree(
            ROOT / "flyte_temporal", code / "flyte_temporal", ignore=shutil.ignore_patterns("__pycache__")
        )
        archive = Path(folder, "image.tar")
        _run(
            *(
                CLUSTER / "image",
                image,
                archive,
                *layers,
                f"{code}=/{_HOME}/lib",
                f"{_python(Path(folder))}=/{_HOME}/bin",
            ),
            *("--env", f"PYTHONPATH=/{_HOME}/lib", "--env", f"PATH=/{_HOME}/bin:/usr/bin:/bin"),
            *("--env", "PYTHONUNBUFFERED=1"),
            *(f"--entrypoint={word}" for word in kind.entrypoint),
        )
        _run(CLUSTER / "load", archive)
    loaded.touch()
    return image


def plain() -> str:
    """Return an image with a shell and without anything of ours: `up` gives it to the cluster that it starts."""
    return os.environ.get("TEST_PLAIN_IMAGE", "kube.local/task:1")


def cache() -> Path:
    """Return the folder of what is built once."""
    return Path(os.environ.get("KUBE_CACHE", Path.home() / ".cache" / "flyte-temporal-kube"))


def _base() -> Path:
    layer = cache() / "bookworm-python-2.tar"
    assert layer.exists(), (
        "tests/cluster/up makes it; for another cluster, set TEST_TASK_IMAGE and TEST_WORKER_IMAGE"
    )
    return layer


def _dependencies(kind: Kind) -> Path:
    """Return a layer with all that the package needs, made anew when that changes."""
    files = [
        ROOT / name
        for name in ("pyproject.toml", "constraints.txt", "overrides.txt")
        if (ROOT / name).exists()
    ]
    layer = cache() / f"{kind.name}-{_digest(*files, words=kind.packages)}.tar"
    if not layer.exists():
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, "lib")
            overrides = ["--override", "overrides.txt"] if (ROOT / "overrides.txt").exists() else []
            _run(
                *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", target),
                *(
                    "--python-version",
                    "3.11",
                    "--constraint",
                    "constraints.txt",
                    *overrides,
                    f".[{kind.extras}]",
                    *kind.packages,
                ),
            )
            shutil.rmtree(target / "flyte_temporal")
            part = layer.with_suffix(".part")
            _run(
                "tar",
                "-cf",
                part,
                "--owner=0",
                "--group=0",
                f"--transform=s,^lib,{_HOME}/lib,",
                "-C",
                folder,
                "lib",
            )
            part.rename(layer)
    return layer


def _python(folder: Path) -> Path:
    """Return a folder with `python`, which Debian calls `python3`."""
    made = folder / "bin"
    made.mkdir()
    (made / "python").symlink_to("/usr/bin/python3")
    return made


def _digest(*files: Path, words: Sequence[str] = ()) -> str:
    found = hashlib.sha256(" ".join(words).encode())
    for file in files:
        found.update(file.name.encode() + file.read_bytes())
    return found.hexdigest()[:12]


def _run(*words: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words}:\n{done.stdout}\n{done.stderr}"
