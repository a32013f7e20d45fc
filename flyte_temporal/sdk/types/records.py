"""How the fields of a record become a JSON object and back; shared by `structs` (dataclasses) and `models` (pydantic).

Fields of the same type are converted together, so that a record with a thousand numbers costs little more than a list
of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flyte_temporal.sdk.types.converter import Converter, Misfit, ValueContext, misfit
from flyte_temporal.spec.types import Field_, StructType


@dataclass(frozen=True, slots=True)
class Member:
    """One field of a record.

    Args:
        name: Its key in JSON.
        attribute: Its name in Python.
        converter: The conversion of its type.
        required: Whether the JSON must have it.
    """

    name: str
    attribute: str
    converter: Converter
    required: bool


class _Group:
    """The fields of one converter."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self.converter = members[0].converter
        self.names = tuple(m.name for m in members)
        self.attributes = tuple(m.attribute for m in members)
        self.values = _attributes(self.attributes)
        self.entries = _several(operator.itemgetter, self.names)


def _attributes(names: tuple[str, ...]) -> Callable[[Any], Any]:
    from_dict, by_name = _several(operator.itemgetter, names), _several(operator.attrgetter, names)

    def values(instance: Any) -> Any:
        try:
            return from_dict(instance.__dict__)  # half the time of attribute access
        except (AttributeError, KeyError):
            return by_name(instance)  # slots, or a field that is only set on the class

    return values


def _several(getter: Callable[..., Callable[[Any], Any]], names: tuple[str, ...]) -> Callable[[Any], Any]:
    if len(names) > 1:
        return getter(*names)
    one = getter(*names)
    return lambda value: (one(value),)


class Record:
    """The compiled fields of one class.

    Args:
        name: Name of the class.
        members: Its fields in declared order.
        is_open: Whether JSON may have other keys.
    """

    def __init__(self, name: str, members: Sequence[Member], *, is_open: bool = False) -> None:
        self.name = name
        self.members = members
        self.by_name = {m.name: m for m in members}
        self.type = StructType(
            name=name,
            fields=tuple(Field_(name=m.name, type=m.converter.type, required=m.required) for m in members),
            open=is_open,
        )
        grouped: dict[int, list[Member]] = {}
        for member in members:
            grouped.setdefault(id(member.converter), []).append(member)
        self._groups = [_Group(group) for group in grouped.values()]

    def write(self, value: Any, context: ValueContext) -> dict[str, Any]:
        """Return the JSON of an instance's fields."""
        written: dict[str, Any] = {}
        for group in self._groups:
            try:
                done = group.converter.write_all(group.values(value), context)
            except Misfit as error:
                raise _in_field(error, group.names) from error.__cause__
            except AttributeError as error:
                raise Misfit(f"the {self.name} given lacks an attribute: {error}") from error
            written.update(zip(group.names, done))  # noqa: B905 - write_all keeps the number; this is the hot loop
        return written

    def write_given(self, value: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
        """Return the JSON of a dict that is given where an instance is declared; what it lacks takes its default."""
        self._check_names(value)
        written = {}
        for name, item in value.items():
            try:
                written[name] = self.by_name[name].converter.write(item, context)
            except Misfit as error:
                raise error.at_field(name) from error.__cause__
        return written

    def read(self, value: Any, context: ValueContext) -> dict[str, Any]:
        """Return the Python values of a JSON object's fields, by attribute; keys that are not fields are left out."""
        if not isinstance(value, dict):
            raise misfit(self.name, value)
        complete = value.keys() == self.by_name.keys()
        if not complete:
            self._check_names(value)
        attributes: dict[str, Any] = {}
        for group in self._groups:
            members = group
            if not complete:
                present = [m for m in group.members if m.name in value]
                if not present:
                    continue
                members = group if len(present) == len(group.members) else _Group(present)
            try:
                done = members.converter.read_all(members.entries(value), context)
            except Misfit as error:
                raise _in_field(error, members.names) from error.__cause__
            attributes.update(zip(members.attributes, done))  # noqa: B905 - as in `write`
        return attributes

    def exact(self, value: Any) -> bool:
        """Return whether all fields of an instance hold values of exactly their types."""
        return all(m.converter.exact(getattr(value, m.attribute, None)) for m in self.members)

    def _check_names(self, value: Mapping[str, Any]) -> None:
        if not self.type.open:
            unknown = [name for name in value if name not in self.by_name]
            if unknown:
                raise Misfit(f"{self.name} has no field {unknown[0]!r}; it has: {', '.join(self.by_name)}")
        missing = [m.name for m in self.members if m.required and m.name not in value]
        if missing:
            raise Misfit(f"{self.name} lacks the field {missing[0]!r}")


def _in_field(error: Misfit, names: tuple[str, ...]) -> Misfit:
    position = int(error.steps.pop()[1:-1])
    return error.at_field(names[position])
