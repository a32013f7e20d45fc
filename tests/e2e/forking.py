"""The command line of many cases in forks of one process, which has imported what every command imports.

A process of its own costs a second of imports for each of hundreds of runs that take milliseconds. What a fork runs is the
same `main` with the same words, environment and streams, and it leaves by the same exit. Processes of their own are what
test_commands.py, test_refusals.py, test_examples.py and test_faults.py of this folder run.

Run as a program it is that process: a request is a line of JSON on stdin, its answer the exit code as a line on stdout.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.command import ROOT, Command, Done

COMMON = (
    "flyte_temporal",
    "flyte_temporal.cli.program",
    "flyte_temporal.cli.run",
    "flyte_temporal.cli.plain_run",
    "flyte_temporal.cli.durable_run",
    "flyte_temporal.cli.gates",
    "flyte_temporal.cli.pauses",
    "flyte_temporal.cli.queries",
    "flyte_temporal.cli.recover",
    "flyte_temporal.cli.repairs",
)
"""What commands import anyway; libraries of user programs are left to the programs."""


class Forks:
    """A process of which commands are forks.

    Args:
        server: The process.
    """

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def run(self, words: Sequence[str | Path], environment: dict[str, str], folder: Path) -> Done:
        """Run a command to its end, in a folder and an environment of its own."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            request = {
                "words": [*map(str, words)],
                "environment": environment,
                "folder": str(folder),
                "streams": [f"/proc/{os.getpid()}/fd/{each.fileno()}" for each in (out, err)],
            }
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
            code = int(self._server.stdout.readline())
            texts = []
            for each in (out, err):
                each.seek(0)
                texts.append(each.read().decode())
        return Done(code, *texts)


@contextmanager
def forks() -> Iterator[Forks]:
    """Start the process, and end it when the block ends."""
    command = [sys.executable, "-m", "tests.e2e.forking"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            yield Forks(server)
        finally:
            assert server.stdin is not None
            server.stdin.close()


@dataclass(frozen=True)
class ForkedCommand(Command):
    """Runs `flyte-temporal` on one home, in forks of one process."""

    forks: Forks | None = None

    def __call__(self, *words: str | Path, expect: int | None = 0) -> Done:
        """Run a command to its end; see `Command`."""
        assert self.forks is not None
        done = self.forks.run(words, self.environment, self._folder())
        if expect is not None:
            assert done.code == expect, f"{words}\nstdout: {done.stdout}\nstderr: {done.stderr}"
        return done

    def _folder(self) -> Path:
        """Return a working folder of a command's own, in which paths below `tests/` lead to the repository's files.

        It outlives the command, since files that a plain run returns may lie in it.
        """
        folder = Path(tempfile.mkdtemp(prefix="command-", dir=self.home.parent))
        (folder / "tests").symlink_to(ROOT / "tests")
        return folder


@contextmanager
def forked(home: Path, variables: tuple[tuple[str, str], ...] = ()) -> Iterator[ForkedCommand]:
    """Return the commands of a home, in forks of a process that ends when the block does."""
    with forks() as each:
        yield ForkedCommand(home, variables, forks=each)


def _serve() -> None:
    for name in COMMON:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _become(request: dict[str, Any]) -> None:
    """Go on as the command; never returns."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, path in enumerate(request["streams"], start=1):
            os.dup2(os.open(path, os.O_WRONLY), descriptor)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = ["flyte-temporal", *request["words"]]
        from flyte_temporal.cli import main

        main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve()
