"""Pydantic models and pydantic dataclasses as records; pydantic validates whatever is read.

Keys are what `model_dump_json()` writes by default: field names, or aliases if the model's config says
`serialize_by_alias`. Values are converted by each field's type (so that NaN, bytes and datetimes keep the one form of
the spec) and handed to pydantic as Python values.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from pydantic import RootModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from flyte_temporal.errors import UnsupportedType
from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    Misfit,
    TypeFamily,
    ValueContext,
    misfit,
)
from flyte_temporal.sdk.types.records import Member, Record
from flyte_temporal.sdk.types.structs import field_converter, record_converter


class Models(TypeFamily):
    """`BaseModel` classes, and dataclasses made by `pydantic.dataclasses.dataclass`."""

    def matches(self, python_type: Any) -> bool:
        """Return whether pydantic validates instances of the class."""
        return isinstance(python_type, type) and hasattr(python_type, "__pydantic_validator__")

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile for the fields of one class."""
        if issubclass(python_type, RootModel):
            return _root(python_type, engine)
        config = dict(
            getattr(python_type, "model_config", None) or getattr(python_type, "__pydantic_config__", {})
        )
        members = _members(python_type, engine, by_alias=bool(config.get("serialize_by_alias")))
        record = Record(python_type.__name__, members, is_open=config.get("extra") == "allow")
        adapter = TypeAdapter(python_type)
        extra = engine.converter(Any)

        def write_given(value: dict[str, Any], context: ValueContext) -> dict[str, Any]:
            done: dict[str, Any] = base.write(_validated(adapter, value, python_type), context)
            return done

        base = record_converter(python_type, record, _builder(python_type, adapter), write_given)
        return _open(base, record, extra) if record.type.open else base


def _members(cls: Any, engine: Converters, *, by_alias: bool) -> list[Member]:
    fields: dict[str, FieldInfo] = getattr(cls, "model_fields", None) or cls.__pydantic_fields__
    members = []
    for attribute, field in fields.items():
        if field.exclude:
            if field.is_required():
                raise UnsupportedType(
                    f"{cls.__name__}.{attribute} is required but excluded from what is written; give it a default."
                )
            continue
        name = (field.serialization_alias or field.alias or attribute) if by_alias else attribute
        converter = field_converter(cls, attribute, field.annotation, engine)
        members.append(Member(name, attribute, converter, field.is_required() and field.init is not False))
    return members


def _validated(adapter: TypeAdapter[Any], value: Any, cls: Any, *, by_name: bool = False) -> Any:
    try:
        if by_name:
            return adapter.validate_python(value, by_name=True, by_alias=False)
        return adapter.validate_python(value)
    except ValidationError as error:
        raise Misfit(f"{cls.__name__} refused its fields: {_summary(error)}") from error


def _summary(error: ValidationError) -> str:
    lines = [
        f"{'.'.join(map(str, problem['loc'])) or 'as a whole'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False)
    ]
    return "; ".join(lines[:5]) + (f"; and {len(lines) - 5} more" if len(lines) > 5 else "")


def _builder(cls: Any, adapter: TypeAdapter[Any]) -> Any:
    later = (
        {f.name for f in dataclasses.fields(cls) if not f.init} if dataclasses.is_dataclass(cls) else set()
    )

    def build(attributes: dict[str, Any]) -> Any:
        if not later:
            return _validated(adapter, attributes, cls, by_name=True)
        first = {name: value for name, value in attributes.items() if name not in later}
        made = _validated(adapter, first, cls, by_name=True)
        for name in later & attributes.keys():
            object.__setattr__(made, name, attributes[name])
        return made

    return build


def _open(base: Converter, record: Record, extra: Converter) -> Converter:
    """Return a converter that keeps the additional fields of a model with `extra="allow"`."""

    def write(value: Any, context: ValueContext) -> dict[str, Any]:
        if isinstance(value, dict):
            return base.write(value, context)  # type: ignore[no-any-return]
        written = base.write(value, context)
        for name, item in (value.__pydantic_extra__ or {}).items():
            try:
                written[name] = extra.write(item, context)
            except Misfit as error:
                raise error.at_field(name) from None
        return written  # type: ignore[no-any-return]

    def read(value: Any, context: ValueContext) -> Any:
        made = base.read(value, context)
        for name, item in value.items():
            if name not in record.by_name:
                made.__pydantic_extra__[name] = extra.read(item, context)
        return made

    return Converter(base.type, write, read, base.exact)


def _root(cls: Any, engine: Converters) -> Converter:
    inner = engine.converter(cls.model_fields["root"].annotation)
    adapter = TypeAdapter(cls)

    def write(value: Any, context: ValueContext) -> Any:
        if not isinstance(value, cls):
            value = _validated(adapter, value, cls)
        if type(value) is not cls:
            raise misfit(cls.__name__, value)
        return inner.write(value.root, context)

    def read(value: Any, context: ValueContext) -> Any:
        return _validated(adapter, inner.read(value, context), cls)

    return Converter(inner.type, write, read, lambda value: type(value) is cls and inner.exact(value.root))
