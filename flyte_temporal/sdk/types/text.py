"""What a person gives on the command line or in a file → typed JSON of a literal.

Called by the command line and by the client. Both functions validate; the caller adds the name of the flag or input to
the message.
"""

from __future__ import annotations

from typing import Any

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.sdk.types import plain_json
from flyte_temporal.sdk.types.converter import Misfit, ValueContext, misfit
from flyte_temporal.sdk.types.phrases import read_phrase
from flyte_temporal.sdk.types.plain import MAX_DEPTH
from flyte_temporal.sdk.types.plain_json import parse_json
from flyte_temporal.sdk.types.references import read_reference
from flyte_temporal.spec.types import (
    STRING,
    BlobType,
    DatasetType,
    EnumType,
    LiteralType,
    Simple,
    SimpleType,
    UnionType,
    describe,
    plain_optional,
)

__all__ = ["parse_json", "read_json", "read_text"]


def read_text(text: str, type_: LiteralType, context: ValueContext) -> Any:
    """Return typed JSON for the text of a flag.

    Primitives, dates, enums (name or value), files and datasets are plain text; everything else is JSON. For an
    `Optional`, `null` and `none` are None. In a union, `str` is tried last.

    Args:
        text: What was typed.
        type_: The declared type.
        context: Local files are uploaded when it has a blob store.

    Raises:
        InvalidInputs: If the text does not fit; says what was expected and what was given.
        StorageError: If a file could not be uploaded.
    """
    try:
        return _read(text, type_, context)
    except Misfit as error:
        raise InvalidInputs(error.message) from error.__cause__


def read_json(data: Any, type_: LiteralType, context: ValueContext) -> Any:
    """Return typed JSON for plain JSON data, as a person writes it in a file.

    Args:
        data: Parsed JSON or YAML.
        type_: The declared type.
        context: Local files are uploaded when it has a blob store.

    Raises:
        InvalidInputs: If the data does not fit; says where, what was expected and what was given.
        StorageError: If a file could not be uploaded.
    """
    try:
        return plain_json.read(data, type_, context)
    except Misfit as error:
        raise InvalidInputs(error.message) from error.__cause__
    except RecursionError:
        raise InvalidInputs(f"the data is nested deeper than {MAX_DEPTH} levels") from None


def _read(text: str, type_: LiteralType, context: ValueContext) -> Any:
    match type_:
        case SimpleType() if type_.simple not in {Simple.ANY, Simple.ERROR}:
            return read_phrase(text, type_.simple)
        case EnumType():
            return _choice(text, type_)
        case UnionType():
            return _union(text, type_, context)
        case BlobType() | DatasetType() if not text.lstrip().startswith("{"):
            return read_reference(text, type_, context)
        case _:
            return plain_json.read(_json(text, type_), type_, context)


def _json(text: str, type_: LiteralType) -> Any:
    try:
        return parse_json(text)
    except InvalidInputs as error:
        said = error.message.removeprefix("expected JSON")
        raise Misfit(
            f"expected {describe(type_)} as JSON{'' if said != error.message else ': '}{said}"
        ) from None


def _choice(text: str, type_: EnumType) -> Any:
    if text in type_.values or text in type_.names:
        return plain_json.read_choice(text, type_)
    for value in type_.values:
        if not isinstance(value, str) and text.strip().lower() in {str(value).lower(), _json_word(value)}:
            return value
    return plain_json.read_choice(text, type_)


def _json_word(value: object) -> str:
    return "null" if value is None else str(value).lower()


def _union(text: str, type_: UnionType, context: ValueContext) -> Any:
    inner = plain_optional(type_)
    if inner is not None:
        return None if text.strip().lower() in {"null", "none"} else _read(text, inner, context)
    for index, variant in enumerate(type_.variants):
        if variant != STRING and isinstance(variant, SimpleType | EnumType | BlobType | DatasetType):
            try:
                return {"variant": index, "value": _read(text, variant, context)}
            except Misfit:
                continue
    try:
        return _union_of_json(text, type_, context)
    except Misfit:
        # every text is a str, so the others are asked before it
        if STRING in type_.variants:
            return {"variant": type_.variants.index(STRING), "value": read_phrase(text, Simple.STRING)}
        raise


def _union_of_json(text: str, type_: UnionType, context: ValueContext) -> Any:
    data = _json(text, type_) if text.lstrip()[:1] in {"[", "{"} else None
    if data is None:
        raise misfit(describe(type_), text)
    return plain_json.read(data, type_, context)
