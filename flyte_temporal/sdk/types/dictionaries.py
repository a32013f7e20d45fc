"""`TypedDict` classes as records: dicts with declared keys, some of which may be missing."""

from __future__ import annotations

import typing
from typing import Any, get_args, get_origin

import typing_extensions

from flyte_temporal.sdk.types.converter import Converter, Converters, TypeFamily, ValueContext, misfit
from flyte_temporal.sdk.types.records import Member, Record
from flyte_temporal.sdk.types.structs import field_converter, field_types

_REQUIRED = {typing.Required, typing_extensions.Required}
_NOT_REQUIRED = {typing.NotRequired, typing_extensions.NotRequired}
_READ_ONLY = {typing_extensions.ReadOnly, getattr(typing, "ReadOnly", typing_extensions.ReadOnly)}


class TypedDicts(TypeFamily):
    """`TypedDict` classes, also generic ones; a value is a `dict`, and keys that are not required may be missing."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is a `TypedDict` of `typing` or of `typing_extensions`."""
        return typing_extensions.is_typeddict(get_origin(python_type) or python_type)

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile for the keys of one class."""
        cls = get_origin(python_type) or python_type
        members = []
        for name, hint in field_types(cls, get_args(python_type)).items():
            bare, required = _bare(hint, required=name in cls.__required_keys__)
            members.append(Member(name, name, field_converter(cls, name, bare, engine), required))
        record = Record(cls.__name__, members)

        def write(value: Any, context: ValueContext) -> dict[str, Any]:
            if not isinstance(value, dict):
                raise misfit(cls.__name__, value)
            return record.write_given(value, context)

        def exact(value: Any) -> bool:
            return (
                type(value) is dict
                and value.keys() <= record.by_name.keys()
                and all(
                    m.converter.exact(value[m.name]) if m.name in value else not m.required for m in members
                )
            )

        return Converter(record.type, write, record.read, exact)


def _bare(hint: Any, *, required: bool) -> tuple[Any, bool]:
    """Return the type of a key and whether the key must be there; a qualifier says more than the class.

    Where annotations are text (`from __future__ import annotations`), the class does not know of its qualifiers.
    """
    while (origin := get_origin(hint)) in _REQUIRED | _NOT_REQUIRED | _READ_ONLY:
        required = origin in _REQUIRED or (required and origin not in _NOT_REQUIRED)
        (hint,) = get_args(hint)
    return hint, required
