"""`Enum` classes and `typing.Literal`: one of some constants."""

from __future__ import annotations

import enum
from typing import Any, Literal, get_args, get_origin

from flyte_temporal.errors import UnsupportedType
from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    TypeFamily,
    ValueContext,
    given,
    misfit,
    shown,
)
from flyte_temporal.spec.types import EnumType, describe

_CONSTANTS = (str, int, float, bool, type(None))


def _key(value: Any) -> tuple[type, Any]:
    # 1, 1.0 and True are equal and hash alike; JSON and the spec tell them apart
    return type(value), value


def _check_constant(value: Any, what: str) -> None:
    if type(value) not in _CONSTANTS:
        raise UnsupportedType(
            f"{what} has the value {given(value)}; the values of an enum can be str, int, float, bool or None."
        )
    if isinstance(value, float) and value - value != 0:
        raise UnsupportedType(f"{what} has the value {value}, which is no JSON number; use a string.")


class Enums(TypeFamily):
    """Enum classes; written as the member's value. A member's value may be given where the enum is declared."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is an enum class with members."""
        return isinstance(python_type, type) and issubclass(python_type, enum.Enum)

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Compile for one enum class."""
        members: list[enum.Enum] = list(python_type)
        if not members:
            raise UnsupportedType(f"The enum {python_type.__name__} has no members.")
        values = [_plain(member.value) for member in members]
        for member, value in zip(members, values, strict=True):
            _check_constant(value, str(member))
        type_ = EnumType(
            name=python_type.__name__, values=tuple(values), names=tuple(m.name for m in members)
        )
        return _choice(type_, dict(zip(map(_key, values), members, strict=True)), python_type)


class Literals(TypeFamily):
    """`Literal[…]` over str, int, bool, None and enum members."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is a `Literal`."""
        return get_origin(python_type) is Literal

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Compile for the listed constants."""
        constants = get_args(python_type)
        values = [_plain(c.value) if isinstance(c, enum.Enum) else c for c in constants]
        for constant, value in zip(constants, values, strict=True):
            _check_constant(value, f"{python_type}: {shown(constant)}")
        by_value = dict(zip(map(_key, values), constants, strict=True))
        if len(by_value) < len(constants):
            raise UnsupportedType(f"{python_type} lists constants that are the same value in JSON.")
        return _choice(EnumType(values=tuple(values)), by_value, None)


def _plain(value: Any) -> Any:
    """Return the value of a `StrEnum` or `IntEnum` member as a plain str or int."""
    for kind in (str, int, float):
        if isinstance(value, kind) and not isinstance(value, bool):
            return kind.__str__(value) if kind is str else kind(value)
    return value


def _choice(type_: EnumType, by_value: dict[Any, Any], enum_class: Any) -> Converter:
    expected = describe(type_)
    allowed = ", ".join(repr(value) for value in type_.values[:20])

    def find(value: Any) -> Any:
        try:
            return by_value[_key(value)]
        except (KeyError, TypeError):
            wanted = f"{expected} (one of {allowed})" if enum_class is not None else expected
            raise misfit(wanted, value) from None

    def write(value: Any, _context: ValueContext) -> Any:
        if isinstance(value, enum.Enum):
            if enum_class is None:
                if value not in by_value.values():
                    value = _plain(value)
                else:
                    return _plain(value.value)
            elif isinstance(value, enum_class):
                find(_plain(value.value))  # a combination of flags is no member
                return _plain(value.value)
            elif isinstance(value, str):
                value = _plain(value)
        find(value)
        return value

    def read(value: Any, _context: ValueContext) -> Any:
        return find(value)

    def exact(value: Any) -> bool:
        if enum_class is not None:
            return isinstance(value, enum_class)
        return any(type(value) is type(c) and value == c for c in by_value.values())

    return Converter(type_, write, read, exact)
