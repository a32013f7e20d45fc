"""Commands of containers without our runtime: values as text, and templates filled in. Pure.

Used by the launchers of containers for the command line, and by `runtime.io` for the files of inputs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from flyte_temporal.errors import InputTooLarge
from flyte_temporal.spec.entities import TaskSpec
from flyte_temporal.spec.literals import Composite, Inline, LiteralValue, decode_integer
from flyte_temporal.spec.types import (
    BlobType,
    DatasetType,
    LiteralType,
    OpaqueType,
    Simple,
    SimpleType,
    UnionType,
    plain_optional,
)

TEMPLATE = re.compile(r"\{\{\s*\.?(inputs|outputs)\.(\w+)\s*\}\}")
MOST_BYTES = 100 * 1024
"""Longest value in a command: Linux takes no argument of 128 KiB or more."""
_MOST_ARGUMENT = 128 * 1024 - 1
_MOST_COMMAND = 1024**2
"""Of all arguments. Linux takes 2 MiB, with the environment; an object of Kubernetes has 1.5 MiB at most."""


def rendered(task: TaskSpec, inputs: Mapping[str, LiteralValue]) -> tuple[list[str], list[str]]:
    """Return the command and the arguments of a container, with values where templates stood.

    An argument stays one argument, and a value is never looked through for templates.

    Args:
        task: The task, which has a container.
        inputs: Its inputs.

    Raises:
        InputTooLarge: If a value has no place in a command; says which, and where else it is.
    """
    container = task.container
    assert container is not None, "asked for a container only"  # noqa: S101 - a mistake of ours
    types = {v.name: v.type for v in task.interface.inputs}

    def value(found: re.Match[str]) -> str:
        kind, name = found[1], found[2]
        if kind == "outputs":
            return f"{container.output_dir.rstrip('/')}/{name}"
        return _argument(task, name, inputs.get(name), types.get(name))

    def filled(texts: tuple[str, ...]) -> list[str]:
        return [TEMPLATE.sub(value, text) for text in texts]

    command, arguments = filled(container.command), filled(container.args)
    sizes = [len(text.encode()) for text in (*command, *arguments)]
    if max(sizes, default=0) > _MOST_ARGUMENT or sum(sizes) > _MOST_COMMAND:
        texts = " ".join((*container.command, *container.args))
        named = ", ".join(
            dict.fromkeys(found[2] for found in TEMPLATE.finditer(texts) if found[1] == "inputs")
        )
        problem = f"are together too large for a command (its arguments have {sum(sizes):,} bytes; at most {_MOST_COMMAND:,}"
        problem += f", and {_MOST_ARGUMENT:,} each)"
        raise InputTooLarge(_unfit(task, f"The inputs {named} of {task.name} {problem}"))
    return command, arguments


def _unfit(task: TaskSpec, problem: str, name: str = "NAME") -> str:
    folder = task.container.input_dir.rstrip("/") if task.container is not None else ""
    template = f"{{{{.inputs.{name}}}}}"
    advice = f"{folder}/{name}, without {template} in the command"
    if not folder:
        advice = f'a file: write input_data_dir="/var/inputs", and /var/inputs/{name} in the command instead of {template}'
    return f"{problem}. Let the command read it from {advice}."


def _argument(task: TaskSpec, name: str, literal: LiteralValue | None, type_: LiteralType | None) -> str:
    container = task.container
    assert container is not None, "asked for a container only"  # noqa: S101 - a mistake of ours
    if literal is None or type_ is None:
        return ""
    if isinstance(literal, Inline) and literal.type is not None:
        type_ = literal.type
    if container.input_dir and in_files(type_):
        return f"{container.input_dir.rstrip('/')}/{name}"
    try:
        found = plain(literal)
    except ValueError:
        found = None
    what, size = f"The input {name} of {task.name}", "it is stored apart for its size"
    if found is not None or isinstance(literal, Inline):
        text = text_of(found, type_)
        if "\0" in text:
            raise InputTooLarge(_unfit(task, f"{what} has a zero byte, which no command can have", name))
        if (length := len(text.encode())) <= MOST_BYTES:
            return text
        size = f"{length:,} bytes"
    raise InputTooLarge(
        _unfit(task, f"{what} is too large for a command ({size}; at most {MOST_BYTES:,} bytes)", name)
    )


def in_files(type_: LiteralType) -> bool:
    """Return whether values of a type are files themselves."""
    if isinstance(type_, UnionType):
        inner = plain_optional(type_)
        return inner is not None and in_files(inner)
    return isinstance(type_, BlobType | DatasetType | OpaqueType)


def plain(literal: LiteralValue) -> Any:
    """Return the JSON of a literal that holds all of it.

    Raises:
        ValueError: If a part of it is in the blob store.
    """
    match literal:
        case Inline():
            return literal.value
        case Composite() if literal.keys is None:
            return [plain(item) for item in literal.items]
        case Composite():
            pairs = [(key, plain(item)) for key, item in zip(literal.keys or (), literal.items, strict=True)]
            return (
                dict(pairs) if all(isinstance(k, str) for k, _ in pairs) else [list(pair) for pair in pairs]
            )
        case _:
            raise ValueError("a part of it is in the blob store")


def text_of(value: Any, type_: LiteralType) -> str:
    """Return a value as a command or a file shows it.

    Texts, times and such are themselves, numbers have digits, booleans are `true` and `false`, nothing is an empty text,
    a file is its address; all else is JSON.
    """
    if isinstance(type_, UnionType):
        inner = plain_optional(type_)
        if inner is not None:
            return "" if value is None else text_of(value, inner)
        if isinstance(value, Mapping) and "variant" in value:
            return text_of(value.get("value"), type_.variants[int(value["variant"])])
    if value is None:
        return ""
    if isinstance(type_, SimpleType) and type_.simple is Simple.INTEGER:
        return str(decode_integer(value))
    if isinstance(type_, BlobType | DatasetType | OpaqueType) and isinstance(value, Mapping):
        return str(value.get("uri", ""))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
