"""What user code prints: file descriptors 1 and 2 go into the attempt's log file, whoever writes to them."""

from __future__ import annotations

import ctypes
import faulthandler
import io
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path


def redirect(log: Path) -> None:
    """Let stdout and stderr of this process, and of its children, end in a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def prepare() -> None:
    """Make prints appear in the log line by line, and crashes of C code with the Python stack; once per process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")
    # Descriptor 2 itself, so that it follows every later redirect.
    faulthandler.enable(file=2, all_threads=True)


def flush() -> None:
    """Write out what Python and the C library still hold back. User code may have closed or replaced the streams."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (AttributeError, ValueError, OSError):
            setattr(sys, name, getattr(sys, f"__{name}__"))
        if getattr(sys, name) is not getattr(sys, f"__{name}__"):
            # What was printed before the task replaced the stream.
            with suppress(AttributeError, ValueError, OSError):
                getattr(sys, f"__{name}__").flush()
    flush_c = _c_flush()
    if flush_c is not None:
        flush_c(None)


@cache
def _c_flush() -> ctypes._NamedFuncPointer | None:
    try:
        return ctypes.CDLL(None).fflush
    except (OSError, AttributeError, TypeError):
        # No C library under its own name (musl without dlopen, Windows): nothing to flush.
        return None
