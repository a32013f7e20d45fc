"""Data that a person gives in a file: `--inputs FILE`, `--inputs -`, and `@FILE` for one input."""

from __future__ import annotations

import sys
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO

from flyte_temporal.errors import BadRequest
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.types import (
    ANY,
    ListType,
    LiteralType,
    MapType,
    StructType,
    TupleType,
    UnionType,
    plain_optional,
)

MAX_JSON_BYTES = 4 * 1024 * 1024
YAML_SUFFIXES = frozenset({".yaml", ".yml"})
DATA_SUFFIXES = YAML_SUFFIXES | {".json"}


def read_inputs(
    source: str, entity: str, interface: Interface, fixed: Collection[str] = ()
) -> dict[str, Any]:
    """Read a file of inputs; see `read_object`.

    Args:
        source: Its path, or `-` for standard input.
        entity: Name of the entity, for messages.
        interface: Its inputs.
        fixed: Names of inputs that a launch plan has set for good.

    Returns:
        The data of each input that is in the file.

    Raises:
        BadRequest: If it cannot be read, is no object, or names inputs that the entity does not have or has fixed; all of
            them are told.
    """
    data = read_object("--inputs", source, "inputs")
    faults = [_no_input(name, entity, interface, fixed) for name in data if interface.input(name) is None]
    if faults:
        raise BadRequest("\n".join(f"--inputs {source}: {fault}" for fault in faults))
    return data


def _no_input(name: str, entity: str, interface: Interface, fixed: Collection[str]) -> str:
    if name in fixed:
        return f"{name!r} is fixed by the launch plan {entity}; leave it out."
    close = get_close_matches(name, [variable.name for variable in interface.inputs], n=1)
    return f"{entity} has no input {name!r}." + (f" Did you mean {close[0]!r}?" if close else "")


def read_object(option: str, source: str, what: str) -> dict[str, Any]:
    """Read a file that an option names: a JSON object, or YAML.

    Args:
        option: The option, for messages.
        source: Its path, or `-` for standard input, where what begins with `{` is JSON and all else YAML.
        what: What is in it, for messages.

    Raises:
        BadRequest: If it cannot be read, or is no object.
    """
    label = f"{option} {source}"
    data = _standard_input(label) if source == "-" else read_data(Path(source), label)
    if not isinstance(data, dict):
        raise BadRequest(f'{label} must hold an object of {what}, such as {{"name": value}}.')
    return data


def read_data(path: Path, label: str) -> Any:
    """Read a JSON file, or a YAML file by its name.

    Args:
        path: The file.
        label: How it was given, for messages.

    Raises:
        BadRequest: If it cannot be read, is too large, or is not what its name says.
    """
    try:
        with path.expanduser().open("rb") as file:
            return _parse(file, label, yaml=path.suffix in YAML_SUFFIXES)
    except OSError as error:
        raise BadRequest(f"{label} cannot be read: {error.strerror}. Give a JSON or YAML file.") from error


def _standard_input(label: str) -> Any:
    if sys.stdin is None or sys.stdin.isatty():
        raise BadRequest(
            f"{label} reads standard input, which is a terminal. Pipe JSON or YAML into the command."
        )
    return _parse(sys.stdin.buffer, label, yaml=None)


def _parse(file: BinaryIO, label: str, *, yaml: bool | None) -> Any:
    from flyte_temporal.cli.yaml_text import parse_yaml
    from flyte_temporal.sdk.types.text import parse_json

    content = file.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        size = f"{MAX_JSON_BYTES // 1024 // 1024} MiB"
        raise BadRequest(
            f"{label} holds more than {size}. Give large data as a file (FlyteFile) or a dataframe."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest(f"{label} cannot be read: it is not UTF-8 text. Give a JSON or YAML file.") from None
    if yaml is None:
        yaml = not text.lstrip().startswith("{")
    try:
        return parse_yaml(text) if yaml else parse_json(text)
    except BadRequest as error:
        message = error.message if error.message.endswith((".", ")")) else f"{error.message}."
        raise BadRequest(f"{label}: {message}") from error


def file_of(text: str, type_: LiteralType) -> Path | None:
    """Return the file that the text of a flag stands for, or None if the text is the value itself.

    `@FILE` is one for every type whose values are written as JSON, and so is a plain name that ends like a data file. No
    JSON begins with `@`, so nothing has to be escaped; a `str` or a file keeps its `@`.

    Args:
        text: What was typed.
        type_: The declared type.
    """
    if not is_structured(type_):
        return None
    if text.startswith("@"):
        return Path(text[1:])
    path = Path(text)
    return path if path.suffix in DATA_SUFFIXES and text.lstrip()[:1] not in {"[", "{", '"'} else None


def is_structured(type_: LiteralType) -> bool:
    """Return whether values of the type can only be typed as JSON."""
    if isinstance(type_, UnionType):
        inner = plain_optional(type_)
        return is_structured(inner) if inner is not None else all(is_structured(v) for v in type_.variants)
    return type_ == ANY or isinstance(type_, ListType | MapType | TupleType | StructType)
