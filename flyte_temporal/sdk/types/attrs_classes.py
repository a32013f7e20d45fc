"""attrs classes as records. attrs is imported when one is met; who has such a class has installed it."""

from __future__ import annotations

from typing import Any, get_args, get_origin

from flyte_temporal.errors import UnsupportedType
from flyte_temporal.sdk.types.converter import Converter, Converters, TypeFamily
from flyte_temporal.sdk.types.records import Member, Record
from flyte_temporal.sdk.types.structs import field_converter, field_types, record_converter


class AttrsClasses(TypeFamily):
    """Classes made by `attrs.define`, `attrs.frozen` or `attr.s`; instances are made by calling the class.

    So converters, validators and `__attrs_post_init__` run, as they do in plain Python.
    """

    def matches(self, python_type: Any) -> bool:
        """Return whether attrs made the class."""
        cls = get_origin(python_type) or python_type
        return isinstance(cls, type) and "__attrs_attrs__" in vars(cls)

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile for the attributes of one class."""
        import attr

        cls: Any = get_origin(python_type) or python_type
        hints = field_types(cls, get_args(python_type))
        attributes = list(cls.__attrs_attrs__)
        members = []
        for a in attributes:
            hint = hints.get(a.name, a.type)
            if hint is None:
                raise UnsupportedType(
                    f"{cls.__name__}.{a.name} has no type. Annotate it, for example `{a.name}: int`."
                )
            required = a.init and a.default is attr.NOTHING
            members.append(Member(a.name, a.name, field_converter(cls, a.name, hint, engine), required))
        parameters = {a.name: a.alias for a in attributes if a.init}

        def build(values: dict[str, Any]) -> Any:
            made = cls(**{parameters[name]: value for name, value in values.items() if name in parameters})
            for name, value in values.items():
                if name not in parameters:
                    object.__setattr__(made, name, value)  # works for frozen classes too
            return made

        record = Record(cls.__name__, members)
        return record_converter(cls, record, build, record.write_given)
