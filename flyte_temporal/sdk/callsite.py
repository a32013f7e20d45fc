"""File and line of the user's call, for error messages. Called wherever a mistake in a program is reported."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_OURS = str(Path(__file__).resolve().parent.parent) + os.sep
_PYTHON = str(Path(inspect.__file__).parent) + os.sep
_PASSED_OVER = (_OURS, functools.__file__)


def call_site() -> str:
    """Return the nearest caller outside this library as `path.py:12`; empty if there is none."""
    frame = _caller()
    return "" if frame is None else place(frame.f_code.co_filename, frame.f_lineno)


def calling_module() -> str:
    """Return the name of the module of the nearest caller outside this library."""
    frame = _caller()
    return "__main__" if frame is None else str(frame.f_globals.get("__name__", "__main__"))


def _caller() -> FrameType | None:
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - the documented way costs a full stack of source lines
    while frame is not None and frame.f_code.co_filename.startswith(_PASSED_OVER):
        frame = frame.f_back
    return frame


def definition_site(function: Callable[..., Any]) -> str:
    """Return where a function is defined as `path.py:12`; empty if it has no code of its own."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return place(code.co_filename, code.co_firstlineno) if isinstance(code, CodeType) else ""


def raise_site(error: BaseException) -> str:
    """Return the innermost line of the user's own that an exception came from; empty if there is none."""
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if not file.startswith((_OURS, _PYTHON)) and "site-packages" not in file:
            found = place(file, line)
    return found


def place(file: str, line: int) -> str:
    """Return `path.py:12`, relative to the current directory if the file is below it."""
    path = Path(file)
    here = Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else path}:{line}"
