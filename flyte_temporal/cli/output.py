"""Where a command prints: results on stdout, everything else on stderr.

One small class, so that commands are tested with two string buffers and never reach for `sys` themselves.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TextIO

from flyte_temporal.errors import BadRequest

Format = Literal["text", "json"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def output_format(text: str) -> Format:
    """Return the format that `-o` names.

    Raises:
        BadRequest: If there is no such format.
    """
    if text == "json":
        return "json"
    if text == "text":
        return "text"
    raise BadRequest(f"--output takes 'text' or 'json', not {text!r}.")


def visible(text: str) -> str:
    """Return text with control characters other than newline and tab written out as their codes.

    What comes from user code, an error message for example, must not move the cursor or rename the window.
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))


@dataclass
class Output:
    """The two streams of a command, and the format of its result.

    Args:
        stdout: Results only; with `json`, exactly one document.
        stderr: Progress, logs, errors.
        format: What the caller asked for.
        printed: Whether the JSON document is out, so that an error after it does not print a second one.
    """

    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    format: Format = "text"
    printed: bool = False

    @property
    def json(self) -> bool:
        """Return whether the result is to be JSON."""
        return self.format == "json"

    @property
    def live(self) -> bool:
        """Return whether progress can be drawn in place: a person looks at stderr."""
        return self.stderr.isatty()

    def result(self, text: str) -> None:
        """Print a line of the result."""
        print(text, file=self.stdout)

    def document(self, value: Any) -> None:
        """Print the JSON document that is the result."""
        self.printed = True
        print(json.dumps(value, ensure_ascii=False), file=self.stdout)

    def note(self, text: str) -> None:
        """Print a line about what is going on; never part of the result."""
        print(visible(text), file=self.stderr, flush=True)

    def flush(self) -> None:
        """Write out everything that was printed, by us and by the user's code."""
        for stream in (sys.stdout, self.stdout, sys.stderr, self.stderr):
            # A reader that went away (`| head`) has what it wanted.
            with suppress(BrokenPipeError, ValueError):
                stream.flush()


def results_only() -> Output:
    """Return an output whose stdout nobody else can write to: what user code prints goes to stderr.

    Done on file descriptors, so that libraries in C and child processes are covered too.
    """
    sys.stdout.flush()
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    return Output(stdout=results, stderr=sys.stderr)
