"""The command line as a person has it: a process of its own, on a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIMITS = "FLYTE_TEMPORAL_LIMITS__"
TIMEOUT_S = 120.0
"""After how many seconds a command counts as hanging; a cold start on a starved machine takes some twenty."""


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """Return the JSON document that it printed; a second one, or anything beside it, is an error."""
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Command:
    """Runs `flyte-temporal` on one home."""

    home: Path
    variables: tuple[tuple[str, str], ...] = ()
    timeout_s: float = TIMEOUT_S

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of the commands."""
        # Limits pass, so that the tests can be run with batches off, or always on.
        mine = {
            k: v for k, v in os.environ.items() if not k.startswith("FLYTE_TEMPORAL_") or k.startswith(LIMITS)
        }
        return {**mine, "FLYTE_TEMPORAL_HOME": str(self.home), "COLUMNS": "120", **dict(self.variables)}

    def __call__(self, *words: str | Path, expect: int | None = 0) -> Done:
        """Run a command to its end.

        Args:
            words: What stands after the program's name.
            expect: The exit code that it must have; None for any.
        """
        done = subprocess.run(
            self._line(words),
            env=self.environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.timeout_s,
            check=False,
        )
        if expect is not None:
            assert done.returncode == expect, f"{words}\nstdout: {done.stdout}\nstderr: {done.stderr}"
        return Done(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def started(self, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
        """Start a command and leave it to the caller; it is killed in the end if it is still there."""
        process = subprocess.Popen(
            self._line(words),
            env=self.environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()

    @staticmethod
    def _line(words: tuple[str | Path, ...]) -> list[str]:
        return [sys.executable, "-m", "flyte_temporal.cli", *map(str, words)]


def made_of(template: str, file: Path, *changes: tuple[str, str]) -> Path:
    """Write a program that is one of this folder's templates with some of its texts changed; return where it is."""
    text = Path(__file__).with_name(template).read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file
