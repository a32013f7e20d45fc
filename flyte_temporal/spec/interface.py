"""What an entity takes and gives: ordered, typed, described variables."""

from __future__ import annotations

from pydantic import JsonValue

from flyte_temporal.spec.document import Document
from flyte_temporal.spec.types import LiteralType


class Default(Document):
    """A default value; its own document, so that a default of null is told apart from no default.

    Args:
        value: The value.
        hash: What stands for it in cache keys, if its annotation says so.
    """

    value: JsonValue = None
    hash: str | None = None


class Variable(Document):
    """One input or output.

    Args:
        name: Parameter name, or output name (`o0`, `o1`, … or the field of a NamedTuple).
        type: Its type.
        description: From the docstring.
        default: Value to take when none is given; inputs only. `None` here means that the input is required.
        metadata: Annotations kept for people and plug-ins (artifact names, `FlyteAnnotation`), as JSON.
    """

    name: str
    type: LiteralType
    description: str = ""
    default: Default | None = None
    metadata: dict[str, JsonValue] = {}


class Interface(Document):
    """Inputs and outputs in declared order (arrays, because canonical JSON sorts the keys of objects)."""

    inputs: tuple[Variable, ...] = ()
    outputs: tuple[Variable, ...] = ()

    def input(self, name: str) -> Variable | None:
        """Return the input of that name, if there is one."""
        return next((v for v in self.inputs if v.name == name), None)

    def output(self, name: str) -> Variable | None:
        """Return the output of that name, if there is one."""
        return next((v for v in self.outputs if v.name == name), None)
