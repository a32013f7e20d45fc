"""Builds the image of `deploy/images/task.Dockerfile`, with a registry or without one.

    python tools/task_image.py                          from python:3.11-slim, with podman or docker
    python tools/task_image.py --bootstrap              from Debian packages: no registry is asked for anything
    python tools/task_image.py --with pandas pyarrow    with further packages
    python tools/task_image.py --stores s3              without the library for GCS (by default both are in it)
    python tools/task_image.py --archive FILE           and leave it as an OCI archive, for a cluster to load

Prints the image's name. The tag is a digest of all that is in it, and what exists is not built again. Debian's base and
Python's packages are kept in a cache folder (`~/.cache/flyte-temporal-images`, or $FLYTE_TEMPORAL_IMAGE_CACHE).
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "deploy" / "images" / "task.Dockerfile"
NAME = "localhost/flyte-temporal-task"
STORES = ("s3", "gcs")
"""Extras of flyte-temporal without which a task reaches no such blob store."""
SUITE = "bookworm"
DEBIAN = ("python3", "python3-venv", "ca-certificates")
PYTHON_VERSION = "3.11"
_LEFT_OUT = (
    "./var/cache/apt",
    "./var/lib/apt/lists",
    "./usr/share/doc",
    "./usr/share/man",
    "./usr/share/locale",
    "./dev",
)


class Stopped(Exception):
    """It cannot go on; the words are for people."""


def main() -> int:
    """Build what the arguments say, and print the image's name."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--program", help="podman or docker; by default the first that is there")
    parser.add_argument("--bootstrap", action="store_true", help="make the base from Debian packages")
    parser.add_argument("--from", dest="base", default="", help="the image to start from")
    parser.add_argument("--with", dest="packages", nargs="*", default=[], help="further Python packages")
    parser.add_argument(
        "--stores", nargs="*", default=list(STORES), choices=STORES, help="blob stores that tasks reach"
    )
    parser.add_argument("--tag", default="", help="a further tag, such as the version")
    parser.add_argument("--archive", type=Path, help="file for the image as an OCI archive")
    options = parser.parse_args()
    try:
        name = build(
            options.program or _program(),
            options.packages,
            options.base,
            bootstrap=options.bootstrap,
            stores=options.stores,
        )
        if options.tag:
            _run([options.program or _program(), "tag", name, f"{NAME}:{options.tag}"])
        if options.archive is not None:
            _archive(options.program or _program(), name, options.archive)
    except Stopped as error:
        sys.stderr.write(f"task_image: {error}\n")
        return 1
    sys.stdout.write(f"{name}\n")
    return 0


def build(
    program: str,
    packages: Sequence[str] = (),
    base: str = "",
    *,
    bootstrap: bool = False,
    stores: Sequence[str] = (),
) -> str:
    """Return the name of the image, which exists afterwards.

    Args:
        program: `podman` or `docker`.
        packages: Further Python packages, in the versions of constraints.txt where those are there.
        base: The image to start from; empty = the recipe's own.
        bootstrap: Make the image to start from out of Debian packages, and fetch Python packages on this machine.
        stores: Extras of flyte-temporal for blob stores that tasks reach; a store in a local folder needs none.

    Raises:
        Stopped: If it could not be built.
    """
    wanted = requirements(packages, stores)
    tag = _digest(base, "bootstrap" if bootstrap else "", SUITE, *DEBIAN, *wanted, _content())
    name = f"{NAME}:{tag}"
    with _locked():
        if _exists(program, name):
            return name
        _build(program, name, wanted, _bootstrapped(program) if bootstrap else base, fetched=bootstrap)
    return name


def _build(program: str, name: str, wanted: Sequence[str], base: str, *, fetched: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="task-image-") as made:
        context = Path(made)
        (context / "requirements.txt").write_text("".join(f"{each}\n" for each in wanted))
        shutil.copyfile(ROOT / "constraints.txt", context / "constraints.txt")
        _run([str(_uv()), "build", "--quiet", "--wheel", "--out-dir", str(context / "dist"), str(ROOT)])
        (context / "dist" / ".gitignore").unlink(missing_ok=True)
        if fetched:
            # Copied, because a builder does not follow links out of its folder.
            shutil.copytree(_fetched(wanted), context / "wheels")
        else:
            (context / "wheels").mkdir()
        command = [program, "build", "--quiet", "--file", str(RECIPE), "--tag", name]
        if base:
            command += ["--build-arg", f"PYTHON={base}"]
        if fetched:
            command += ["--build-arg", "PIP_NO_INDEX=1", "--network", "none"]
        _run([*command, str(context)])


def _fetched(wanted: Sequence[str]) -> Path:
    """Return a folder with the wheels of some packages and of all that they need."""
    constraints = (ROOT / "constraints.txt").read_text()
    folder = _cache() / f"wheels-{_digest(*wanted, constraints)}"
    if not folder.exists():
        unfinished = folder.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *wanted]
        command += ["--dest", str(unfinished), "--constraint", str(ROOT / "constraints.txt")]
        _run([*command, "--only-binary", ":all:", "--python-version", PYTHON_VERSION])
        unfinished.rename(folder)
    return folder


def _bootstrapped(program: str) -> str:
    """Return an image of Debian with Python, made without a registry."""
    tag = _digest(SUITE, *DEBIAN, *_LEFT_OUT)
    name = f"localhost/flyte-temporal-base:{tag}"
    if _exists(program, name):
        return name
    tree = _cache() / f"base-{tag}.tar"
    if not tree.exists():
        _bootstrap(tree)
    _run([program, "import", str(tree), name])
    return name


def _bootstrap(tree: Path) -> None:
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        raise Stopped(
            "--bootstrap needs root and debootstrap (Debian, Ubuntu: apt-get install debootstrap). Where a registry can be "
            "reached, leave it out."
        )
    with tempfile.TemporaryDirectory(prefix="debootstrap-", dir=tree.parent) as folder:
        _run(["debootstrap", "--variant=minbase", f"--include={','.join(DEBIAN)}", SUITE, folder])
        unfinished = tree.with_suffix(".part")
        left_out = [f"--exclude={path}/*" for path in _LEFT_OUT]
        _run(
            [
                "tar",
                "-C",
                folder,
                *left_out,
                "--sort=name",
                "--mtime=@0",
                "--numeric-owner",
                "-cf",
                str(unfinished),
                ".",
            ]
        )
        unfinished.rename(tree)


def _archive(program: str, name: str, file: Path) -> None:
    # An existing archive would be added to.
    file.unlink(missing_ok=True)
    form = ["--quiet", "--format", "oci-archive"] if "podman" in program else []
    _run([program, "save", *form, "--output", str(file), name])


def requirements(packages: Sequence[str], stores: Sequence[str]) -> list[str]:
    """Return what is installed besides flyte-temporal: what it needs itself and for some blob stores, and what was asked for.

    Args:
        packages: What was asked for.
        stores: Extras of flyte-temporal.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for store in stores for each in project["optional-dependencies"][store]]
    return sorted({*project["dependencies"], *extras, *packages})


def _content() -> str:
    """Return a digest of the code, of the versions and of the recipe."""
    files = sorted(
        path for path in (ROOT / "flyte_temporal").rglob("*") if path.is_file() and path.suffix != ".pyc"
    )
    found = hashlib.sha256()
    for path in [*files, RECIPE, ROOT / "constraints.txt", ROOT / "pyproject.toml"]:
        found.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _cache() -> Path:
    given = os.environ.get("FLYTE_TEMPORAL_IMAGE_CACHE")
    found = Path(given) if given else Path.home() / ".cache" / "flyte-temporal-images"
    found.mkdir(parents=True, exist_ok=True)
    return found


@contextmanager
def _locked() -> Iterator[None]:
    """Let one process at a time build: several want the same image at once."""
    with (_cache() / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _program() -> str:
    for name in ("podman", "docker"):
        if shutil.which(name):
            return name
    raise Stopped("Neither podman nor docker is installed. Debian, Ubuntu: apt-get install podman.")


def _uv() -> Path:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise Stopped("uv is not installed: pip install uv, or use `make task-image`.")
    return Path(found)


def _exists(program: str, name: str) -> bool:
    return (
        subprocess.run([program, "image", "inspect", name], capture_output=True, check=False).returncode == 0
    )


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-3000:]
        raise Stopped(f"`{' '.join(command)}` failed with exit code {done.returncode}:\n{said}")


if __name__ == "__main__":
    sys.exit(main())
