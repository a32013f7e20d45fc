"""Types without parameters: None, int, float, bool, str, bytes, Decimal, UUID, paths.

Each is a check and, where JSON has no such value, a text form (the table in `spec.literals`). Lists and structs convert
many at once through pydantic's strict validators, which run at C speed; whatever these refuse takes the slow way, which
knows the rarer cases and the messages.
"""

from __future__ import annotations

import base64
import binascii
import enum
import numbers
import pathlib
import struct
import uuid
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic_core import SchemaValidator, ValidationError, core_schema

from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    Many,
    Misfit,
    TypeFamily,
    ValueContext,
    misfit,
)
from flyte_temporal.spec.literals import (
    MAX_SAFE_INTEGER,
    decode_float,
    decode_integer,
    encode_float,
    encode_integer,
)
from flyte_temporal.spec.types import BOOLEAN, FLOAT, INTEGER, NONE, STRING, LiteralType, Simple, SimpleType

BYTES = SimpleType(simple=Simple.BYTES)
DECIMAL = SimpleType(simple=Simple.DECIMAL)
UUID = SimpleType(simple=Simple.UUID)
PATH = SimpleType(simple=Simple.PATH)


def _bulk(item: core_schema.CoreSchema) -> Many:
    validator = SchemaValidator(core_schema.list_schema(item))

    def check(values: Sequence[Any]) -> list[Any] | None:
        try:
            done: list[Any] = validator.validate_python(values)
        except ValidationError:
            return None
        return done

    return check


_ints = _bulk(core_schema.int_schema(strict=True))
_finite_floats = _bulk(core_schema.float_schema(strict=True, allow_inf_nan=False))
_strings = _bulk(core_schema.str_schema(strict=True))
_booleans = _bulk(core_schema.bool_schema(strict=True))


def _write_none(value: Any, _context: ValueContext) -> None:
    if value is not None:
        raise misfit("None", value)


def _read_none(value: Any, _context: ValueContext) -> None:
    if value is not None:
        raise misfit("None", value)


def _write_int(value: Any, _context: ValueContext) -> Any:
    if type(value) is not int:
        # numpy's integers are Integral; a bool is one too, but would lose its type
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise misfit("int", value)
        value = int(value)
    return encode_integer(value)


def _read_int(value: Any, _context: ValueContext) -> int:
    try:
        return decode_integer(value)
    except ValueError:
        raise misfit("int", value) from None


def _write_ints(values: Sequence[Any]) -> list[Any] | None:
    done = _ints(values)
    if not done:
        return done
    try:
        struct.pack(
            f"{len(done)}i", *done
        )  # 32 bits are usual, and one pass is half of what max() and min() cost
    except struct.error:
        if max(done) > MAX_SAFE_INTEGER or min(done) < -MAX_SAFE_INTEGER:
            return None
    return done


def _write_float(value: Any, _context: ValueContext) -> Any:
    if type(value) is not float:
        # a Fraction is Real too, but rounding it silently is not ours to do
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not number or (isinstance(value, numbers.Rational) and not isinstance(value, numbers.Integral)):
            raise misfit("float", value)
        try:
            value = float(value)
        except OverflowError:
            raise Misfit(
                f"expected float, got an int of {value.bit_length()} bits, which is too large"
            ) from None
    return encode_float(value)


def _read_float(value: Any, _context: ValueContext) -> float:
    try:
        return decode_float(value)
    except OverflowError:
        raise Misfit("expected float, got an int that is too large for one") from None
    except ValueError:
        raise misfit("float", value) from None


def _write_floats(values: Sequence[Any]) -> list[Any] | None:
    return _finite_floats(values)


def _write_bool(value: Any, _context: ValueContext) -> bool:
    if type(value) is not bool:
        if type(value).__module__ == "numpy" and type(value).__name__ in {"bool", "bool_"}:
            return bool(value)
        raise misfit("bool", value)
    return value


def _read_bool(value: Any, _context: ValueContext) -> bool:
    if type(value) is not bool:
        raise misfit("bool", value)
    return value


def checked_text(value: str) -> str:
    """Return a plain `str` that can be stored as UTF-8.

    Raises:
        Misfit: If it holds a lone surrogate, which no UTF-8 text can.
    """
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Misfit(
                f"the str has a lone surrogate ({value[error.start]!a}) at position {error.start}, which UTF-8 "
                "cannot hold; pass bytes, or decode it with errors='replace'"
            ) from None
    return value if type(value) is str else str.__str__(value)


def _write_str(value: Any, _context: ValueContext) -> str:
    if not isinstance(value, str):
        # what may flow to a str along an edge may be given to one: a path, a member of an enum of strings
        if isinstance(value, pathlib.PurePath):
            value = str(value)
        elif isinstance(value, enum.Enum) and isinstance(value.value, str):
            value = value.value
        else:
            raise misfit("str", value)
    return checked_text(value)


def _read_str(value: Any, _context: ValueContext) -> str:
    if not isinstance(value, str):
        raise misfit("str", value)
    return value


def _write_strs(values: Sequence[Any]) -> list[Any] | None:
    done = _strings(values)
    if done:
        try:
            "".join(done).encode()
        except UnicodeEncodeError:
            return None
    return done


def _write_bytes(value: Any, _context: ValueContext) -> str:
    if not isinstance(value, bytes):
        raise misfit("bytes", value)
    return base64.b64encode(value).decode()


def _read_bytes(value: Any, _context: ValueContext) -> bytes:
    try:
        return base64.b64decode(_read_str(value, _context), validate=True)
    except binascii.Error:
        raise misfit("bytes as base64", value) from None


def _write_decimal(value: Any, _context: ValueContext) -> str:
    if not isinstance(value, Decimal):
        if isinstance(value, bool) or not isinstance(value, int):
            raise misfit("Decimal", value)
        value = Decimal(value)
    return str(value)


def _read_decimal(value: Any, _context: ValueContext) -> Decimal:
    try:
        return Decimal(_read_str(value, _context))
    except InvalidOperation:
        raise misfit("Decimal", value) from None


def _write_uuid(value: Any, _context: ValueContext) -> str:
    if not isinstance(value, uuid.UUID):
        raise misfit("UUID", value)
    return str(value)


def _read_uuid(value: Any, _context: ValueContext) -> uuid.UUID:
    try:
        return uuid.UUID(_read_str(value, _context))
    except ValueError:
        raise misfit("UUID", value) from None


class Scalars(TypeFamily):
    """The table of types that need no more than a check and a text form."""

    def __init__(self) -> None:
        self._table: dict[Any, Converter] = {
            None: _scalar(NONE, type(None), _write_none, _read_none),
            type(None): _scalar(NONE, type(None), _write_none, _read_none),
            int: _scalar(INTEGER, int, _write_int, _read_int, _write_ints, _ints),
            float: _scalar(FLOAT, float, _write_float, _read_float, _write_floats, _finite_floats),
            bool: _scalar(BOOLEAN, bool, _write_bool, _read_bool, _booleans, _booleans),
            str: _scalar(STRING, str, _write_str, _read_str, _write_strs, _strings),
            bytes: _scalar(BYTES, bytes, _write_bytes, _read_bytes),
            Decimal: _scalar(DECIMAL, Decimal, _write_decimal, _read_decimal),
            uuid.UUID: _scalar(UUID, uuid.UUID, _write_uuid, _read_uuid),
        }

    def matches(self, python_type: Any) -> bool:
        """Return whether it is one of the table."""
        return isinstance(python_type, type | None) and python_type in self._table

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Return the row of the table."""
        return self._table[python_type]


def _scalar(
    type_: LiteralType,
    python_type: type,
    write: Any,
    read: Any,
    write_many: Many | None = None,
    read_many: Many | None = None,
) -> Converter:
    return Converter(type_, write, read, lambda value: type(value) is python_type, write_many, read_many)


class Paths(TypeFamily):
    """`pathlib.Path` and its relatives, as text.

    flytekit uploads the file behind an `os.PathLike`; here that is what `FlyteFile` is for, and a `Path` stays a path
    (docs/types.md says why).
    """

    def matches(self, python_type: Any) -> bool:
        """Return whether it is a class of `pathlib`."""
        return isinstance(python_type, type) and issubclass(python_type, pathlib.PurePath)

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Compile for one class of paths."""

        def write(value: Any, _context: ValueContext) -> str:
            if not isinstance(value, str | pathlib.PurePath):
                raise misfit(python_type.__name__, value)
            return checked_text(str(value))

        def read(value: Any, _context: ValueContext) -> Any:
            return python_type(_read_str(value, _context))

        def exact(value: Any) -> bool:
            return isinstance(value, python_type)

        return Converter(PATH, write, read, exact)
