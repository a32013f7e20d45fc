"""protobuf messages by their JSON mapping. protobuf is imported when a message class is met."""

from __future__ import annotations

from typing import Any

from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    Misfit,
    TypeFamily,
    ValueContext,
    misfit,
)
from flyte_temporal.spec.types import ANY, LiteralType, StructType

_NO_OBJECTS = {
    "google.protobuf.ListValue",
    "google.protobuf.Value",
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "google.protobuf.FieldMask",
} | {
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
}
"""Messages whose JSON is no object."""


class Messages(TypeFamily):
    """Generated message classes: an object with the fields' names as in the `.proto` file.

    Values are what protobuf's JSON mapping writes: a 64-bit integer is text, bytes are base64.
    """

    def matches(self, python_type: Any) -> bool:
        """Return whether it is a message class, without importing protobuf."""
        return (
            isinstance(python_type, type) and hasattr(python_type, "DESCRIPTOR") and _is_message(python_type)
        )

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile for one message class."""
        from google.protobuf import json_format

        name = python_type.DESCRIPTOR.full_name
        plain = engine.converter(Any)
        is_object = name not in _NO_OBJECTS
        type_: LiteralType = StructType(name=python_type.__name__, open=True) if is_object else ANY

        def write(value: Any, context: ValueContext) -> Any:
            if not isinstance(value, python_type):
                raise misfit(python_type.__name__, value)
            data = json_format.MessageToDict(value, preserving_proto_field_name=True)
            if is_object:
                return {key: plain.write(item, context) for key, item in data.items()}
            return plain.write(data, context)

        def read(value: Any, context: ValueContext) -> Any:
            if is_object:
                data: Any = {key: plain.read(item, context) for key, item in value.items()}
            else:
                data = plain.read(value, context)
            try:
                return json_format.ParseDict(data, python_type())
            except json_format.ParseError as error:
                raise Misfit(f"expected {python_type.__name__}: {error}") from error

        return Converter(type_, write, read, lambda value: type(value) is python_type)


def _is_message(cls: type) -> bool:
    return any(base.__name__ == "Message" and base.__module__.startswith("google.") for base in cls.__mro__)
