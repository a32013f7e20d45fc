"""Tracebacks as the author of the failing code wants to see them: without the frames that led to the code.

Used for errors of attempts (`runtime`) and of imports and plain runs (`loader`, `cli`), so that both look the same.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from flyte_temporal.sdk.conversions import InputNotReadable, OutputInvalid

_HERE = Path(__file__).parent.parent
_OURS = (f"{_HERE}{os.sep}", f"{_HERE.resolve()}{os.sep}")
_STDLIB = f"{Path(os.__file__).parent}{os.sep}"
_IMPORTS = ("<frozen importlib", "<frozen runpy", "<frozen zipimport", f"{_STDLIB}importlib{os.sep}")
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def user_traceback(error: BaseException) -> str:
    """Return an exception's traceback with the user's frames, and those of libraries that the user's code called.

    Dropped are the frames of this library and of the import system, and those of the standard library (asyncio,
    contextlib, …) that stand between ours and the user's. Empty where no frame of the user's is left, and for
    values that do not fit an input or an output: no code of the user's is to blame, and the message says everything.
    """
    if isinstance(error, InputNotReadable | OutputInvalid):
        return ""
    shown = traceback.TracebackException.from_exception(error)
    pending, seen, frames = [shown], set(), 0
    while pending:
        part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        part.stack = users_part(part.stack)
        frames += len(part.stack)
        related = (part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ()))
        pending += [other for other in related if other is not None]
    return "".join(shown.format()).rstrip() if frames or isinstance(error, SyntaxError) else ""


def users_part(stack: traceback.StackSummary) -> traceback.StackSummary:
    """Return the frames of a stack that are not part of the machinery around the user's code."""
    kept, in_ours = [], False
    for frame in stack:
        file = frame.filename
        if file.startswith(_OURS):
            in_ours = True
        elif not file.startswith(_IMPORTS) and not (in_ours and _is_stdlib(file)):
            in_ours = False
            kept.append(frame)
    return traceback.StackSummary.from_list(kept)


def _is_stdlib(file: str) -> bool:
    if file.startswith("<frozen "):
        return True
    return file.startswith(_STDLIB) and not any(part in file for part in _INSTALLED)
