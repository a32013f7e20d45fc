"""The arguments of a call by name. Called by `recording` for a node, and by `plain` for a call from outside."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.entity import Entity


def arguments(entity: Entity, args: tuple[Any, ...], kwargs: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the arguments of a call by name.

    Raises:
        CompileError: If one is missing, unknown, or given twice.
    """
    parameters, name = entity.signature.parameters, entity.short_name
    if len(args) > len(parameters):
        raise CompileError(
            f"{name}() takes {len(parameters)} inputs, but {len(args)} were given by position. It takes: "
            f"{', '.join(parameters) or 'none'}.",
            where,
        )
    given = dict(zip(parameters, args, strict=False))
    for key, value in kwargs.items():
        if key in given:
            raise CompileError(
                f"{name}() got its input {key!r} twice: by position and by name. Remove one of them.", where
            )
        if key in entity.fixed_inputs:
            raise CompileError(
                f"The input {key!r} of {name}() is fixed by the launch plan. Leave it out, or make a launch plan that "
                "gives it as a default.",
                where,
            )
        if key not in parameters:
            close = difflib.get_close_matches(key, parameters, n=2)
            hint = (
                f"Did you mean {' or '.join(close)}?"
                if close
                else f"It takes: {', '.join(parameters) or 'none'}."
            )
            raise CompileError(f"{name}() has no input {key!r}. {hint}", where)
        given[key] = value
    missing = [v.name for v in entity.interface.inputs if v.default is None and v.name not in given]
    if missing:
        what = "input" if len(missing) == 1 else "inputs"
        raise CompileError(
            f"{name}() is called without its {what} {', '.join(missing)}. Write {name}({missing[0]}=...), or give "
            "the parameter a default.",
            where,
        )
    return given
