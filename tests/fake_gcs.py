"""`fake-gcs-server`, the emulator of GCS that the tests use: built once per machine from its Go module, then kept.

`python -m tests.fake_gcs` builds it ahead (two minutes), as `make test` does. Without Go, the tests that need it are skipped and
say so; in CI (`FLYTE_TEMPORAL_TESTS_REQUIRE=gcs`) they fail instead.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

VERSION = "v1.56.1"
MODULE = f"github.com/fsouza/fake-gcs-server@{VERSION}"
REQUIRED = "gcs" in os.environ.get("FLYTE_TEMPORAL_TESTS_REQUIRE", "").split(",")
BUILD_S = 900.0
"""How long a build may take; two minutes on two idle cores."""


def cache() -> Path:
    """Return the folder in which programs that tests need are kept."""
    base = os.environ.get("XDG_CACHE_HOME", "").strip() or Path.home() / ".cache"
    return Path(base) / "flyte-temporal-tests"


def program() -> Path:
    """Return where the program is, or will be."""
    return cache() / f"fake-gcs-server-{VERSION}"


def built() -> Path | None:
    """Return the program; it is built if it is not there. None without Go.

    Raises:
        subprocess.CalledProcessError: If it cannot be built.
    """
    target = program()
    if target.exists():
        return target
    if shutil.which("go") is None:
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the processes of one test run begin side by side
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                subprocess.run(
                    ["go", "install", MODULE],
                    env={**os.environ, "GOBIN": folder, "GOFLAGS": ""},
                    check=True,
                    timeout=BUILD_S,
                    capture_output=True,
                    text=True,
                )
                Path(folder, "fake-gcs-server").replace(target)
    return target


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """Run a server, its objects in memory, inside of the block; gives its port.

    Args:
        folder: For its log.
    """
    executable = built()
    assert executable is not None
    with (folder / "fake-gcs-server.log").open("wb") as log:
        for _ in range(5):
            port = _free_port()
            process = subprocess.Popen(_line(executable, port), stdout=log, stderr=subprocess.STDOUT)
            try:
                if _answers(process, port):
                    yield port
                    return
            finally:
                process.kill()
                process.wait()
    raise AssertionError((folder / "fake-gcs-server.log").read_text(errors="replace"))


def _line(executable: Path, port: int) -> list[str]:
    address = f"http://127.0.0.1:{port}"
    return [
        *[str(executable), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)],
        *["-external-url", address, "-public-host", f"127.0.0.1:{port}", "-log-level", "warn"],
    ]


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/storage/v1/b?project=p", timeout=5):
                return True
        except OSError:
            time.sleep(0.05)
    return False


def make_bucket(port: int, bucket: str) -> None:
    """Make a bucket unless there is one."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/storage/v1/b?project=p",
        data=json.dumps({"name": bucket}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10):
            pass
    except urllib.error.HTTPError as error:
        with error:
            if error.code != HTTPStatus.CONFLICT:
                raise


@pytest.fixture(scope="session")
def gcs_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    pytest.importorskip("gcsfs", reason="gcsfs is not installed")
    if built() is None:
        reason = "Go is not on this machine, from whose module the emulator of GCS is built: install Go 1.23 or newer"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    with served(tmp_path_factory.mktemp("gcs")) as port:
        yield port


if __name__ == "__main__":
    try:
        sys.exit(0 if built() or not REQUIRED else "Go is not on this machine.")
    except subprocess.CalledProcessError as failed:
        sys.exit(f"{MODULE} cannot be built: {failed.stderr}")
