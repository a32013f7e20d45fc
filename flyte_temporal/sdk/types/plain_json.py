"""JSON as a person writes it → typed JSON of a literal, validated on the way.

People do not tag unions, write NaN as a string, and name enum members; `read` knows the type and fills that in. Used for
`--inputs FILE` and for flags whose type is not a simple one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.sdk.types.converter import Misfit, ValueContext, misfit, shown
from flyte_temporal.sdk.types.display import show
from flyte_temporal.sdk.types.marks import mark, mark_map
from flyte_temporal.sdk.types.phrases import duration_of_seconds, read_phrase
from flyte_temporal.sdk.types.plain import MAX_DEPTH
from flyte_temporal.sdk.types.references import read_reference
from flyte_temporal.sdk.types.scalars import checked_text
from flyte_temporal.spec.literals import encode_float, encode_integer
from flyte_temporal.spec.types import (
    STRING,
    BlobType,
    DatasetType,
    EnumType,
    ListType,
    LiteralType,
    MapType,
    OpaqueType,
    Simple,
    SimpleType,
    StructType,
    TupleType,
    UnionType,
    describe,
    plain_optional,
)


def parse_json(text: str | bytes) -> Any:
    """Return the data of a JSON text.

    Raises:
        InvalidInputs: If it is not JSON, has a key twice in one object, NaN or Infinity without quotes, a number that is
            too large for its type, or is nested deeper than `MAX_DEPTH`.
    """
    try:
        data = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_finite, parse_int=_integer
        )
        _check_depth(data, MAX_DEPTH)
    except Misfit as error:
        raise InvalidInputs(error.message) from None
    except RecursionError:
        raise InvalidInputs(f"the JSON is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise InvalidInputs(f"expected JSON, got {shown(text)} ({error})") from None
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Misfit(f"the key {twice!r} stands twice in one JSON object")
    return found


def _constant(word: str) -> float:
    raise Misfit(f'{word} is not JSON; write it as a string, "{word}"')


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise Misfit(f"the number {shown(text)} is too large for a float")
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Misfit('the number has too many digits; write it as a string in hexadecimal, "0x…"') from None


def _check_depth(data: Any, levels: int) -> None:
    if isinstance(data, dict | list):
        if levels == 0:
            raise Misfit(f"the JSON is nested deeper than {MAX_DEPTH} levels")
        for item in data.values() if isinstance(data, dict) else data:
            _check_depth(item, levels - 1)


def read(data: Any, type_: LiteralType, context: ValueContext) -> Any:
    """Return typed JSON for plain JSON data.

    Args:
        data: What a person wrote, parsed.
        type_: The declared type.
        context: Local files are uploaded when it has a blob store.

    Raises:
        Misfit: If the data does not fit.
        StorageError: If a file could not be uploaded.
    """
    match type_:
        case SimpleType():
            return _simple(data, type_.simple)
        case EnumType():
            return read_choice(data, type_)
        case ListType():
            return [_inside(read, i, v, type_.element, context) for i, v in enumerate(_array(data, type_))]
        case TupleType():
            return _tuple(data, type_, context)
        case MapType():
            return _map(data, type_, context)
        case UnionType():
            return _union(data, type_, context)
        case StructType():
            return _struct(data, type_, context)
        case BlobType() | DatasetType():
            return read_reference(data, type_, context)
        case OpaqueType():
            raise Misfit(f"a value of type {describe(type_)} can only come from a task, not from JSON")


def _inside(
    convert: Callable[..., Any], key: object, value: Any, type_: LiteralType, context: ValueContext
) -> Any:
    try:
        return convert(value, type_, context)
    except Misfit as error:
        raise error.at_item(key) from None


def _array(data: Any, type_: LiteralType) -> list[Any]:
    if not isinstance(data, list):
        raise misfit(describe(type_), data)
    return data


def _simple(data: Any, simple: Simple) -> Any:  # noqa: C901, PLR0912 - one case per type
    match simple:
        case Simple.ANY:
            return _any(data)
        case Simple.NONE if data is None:
            return None
        case Simple.BOOLEAN if isinstance(data, bool):
            return data
        case Simple.INTEGER if type(data) is int:
            return encode_integer(data)
        case Simple.FLOAT if type(data) in {int, float}:
            try:
                return encode_float(float(data))
            except OverflowError:
                raise misfit("float", data) from None
        case Simple.DECIMAL if type(data) in {int, float}:
            return str(data)
        case Simple.DURATION if type(data) in {int, float}:
            return duration_of_seconds(data)
        case Simple.ERROR if isinstance(data, dict) and isinstance(data.get("message"), str):
            return data
        case Simple.INTEGER if isinstance(data, str) and data.lower().lstrip("+-").startswith("0x"):
            return read_phrase(data, simple)
        case Simple.NONE | Simple.BOOLEAN | Simple.INTEGER | Simple.ERROR:
            raise misfit({"none": "null", "boolean": "bool", "integer": "int"}.get(simple, simple), data)
        case _ if isinstance(data, str):
            return read_phrase(data, simple)
        case _:
            raise misfit(describe(SimpleType(simple=simple)), data)


def _any(data: Any) -> Any:
    if isinstance(data, dict):
        return mark_map([[checked_text(key), _any(item)] for key, item in data.items()])
    if isinstance(data, list):
        return [_any(item) for item in data]
    if isinstance(data, str):
        return checked_text(data)
    if type(data) is int:
        return mark(encode_integer(data), Simple.INTEGER)
    return mark(encode_float(data), Simple.FLOAT) if type(data) is float else data


def read_choice(data: Any, type_: EnumType) -> Any:
    """Return the value of an enum for a value, or for the name of a member.

    Raises:
        Misfit: If it is neither; the message lists them.
    """
    for value in type_.values:
        if type(value) is type(data) and value == data:
            return value
    if data in type_.names:
        return type_.values[type_.names.index(data)]
    choices = type_.names or tuple(json.dumps(value, ensure_ascii=False) for value in type_.values)
    raise Misfit(f"expected one of {', '.join(choices[:20])}, got {shown(data)}")


def _tuple(data: Any, type_: TupleType, context: ValueContext) -> Any:
    if isinstance(data, dict) and type_.names:
        if set(data) != set(type_.names):
            raise Misfit(
                f"expected an object with the keys {', '.join(type_.names)}, got {shown(list(data))}"
            )
        data = [data[name] for name in type_.names]
    if len(_array(data, type_)) != len(type_.elements):
        raise Misfit(f"expected {describe(type_)}, got an array of {len(data)} elements")
    return [
        _inside(read, i, v, t, context) for i, (v, t) in enumerate(zip(data, type_.elements, strict=True))
    ]


def _map(data: Any, type_: MapType, context: ValueContext) -> Any:
    if isinstance(data, dict):
        # the keys of a JSON object are text, whatever type they are declared with
        names = [_inside(_key, key, key, type_.key, context) for key in data]
        entries = list(zip(names, data.items(), strict=True))
    elif isinstance(data, list) and type_.key != STRING and all(_is_pair(entry) for entry in data):
        entries = [(_inside(read, entry[0], entry[0], type_.key, context), entry) for entry in data]
    else:
        raise misfit(describe(type_), data)
    pairs = [[name, _inside(read, key, item, type_.value, context)] for name, (key, item) in entries]
    return {name: item for name, item in pairs} if type_.key == STRING else pairs  # noqa: C416 - typed


def _is_pair(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2


def _key(key: str, type_: LiteralType, context: ValueContext) -> Any:
    if isinstance(type_, SimpleType) and type_.simple is not Simple.ANY:
        return read_phrase(key, type_.simple)
    if isinstance(type_, EnumType) and key not in type_.values and key not in type_.names:
        return read_choice(parse_json(key), type_)
    if isinstance(type_, EnumType) or type_ == SimpleType(simple=Simple.ANY):
        return read(key, type_, context)
    try:
        return read(parse_json(key), type_, context)
    except (InvalidInputs, Misfit):
        raise Misfit(
            f"expected {describe(type_)} as JSON for a key, or an array of [key, value] pairs"
        ) from None


def _union(data: Any, type_: UnionType, context: ValueContext) -> Any:
    inner = plain_optional(type_)
    if inner is not None:
        return None if data is None else read(data, inner, context)
    first: Any = None
    for index, variant in enumerate(type_.variants):
        try:
            found = {"variant": index, "value": read(data, variant, context)}
        except Misfit:
            continue
        # the member that keeps the data as it is wins over one that converts it (an int over a float for `1`)
        if _same(show(found["value"], variant), data):
            return found
        first = first or found
    if first is None:
        raise misfit(describe(type_), data)
    return first


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _struct(data: Any, type_: StructType, context: ValueContext) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise misfit(describe(type_), data)
    types = {field.name: field.type for field in type_.fields}
    unknown = [name for name in data if name not in types]
    if unknown and not type_.open:
        raise Misfit(f"{describe(type_)} has no field {unknown[0]!r}; it has: {', '.join(types)}")
    missing = [field.name for field in type_.fields if field.required and field.name not in data]
    if missing:
        raise Misfit(f"{describe(type_)} lacks the field {missing[0]!r}")
    done = {}
    for name, item in data.items():
        try:
            done[name] = read(item, types[name], context) if name in types else _any(item)
        except Misfit as error:
            raise error.at_field(name) from None
    return done
