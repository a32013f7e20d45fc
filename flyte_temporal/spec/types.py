"""The closed union of types that values between nodes can have.

It has room for the whole type system now (files, directories, datasets, unions, structs, pickles), so that later
transformers need no new shape. `sdk.types` maps Python annotations to these and back; `assignability` says what may
flow where; `literals` says how a value of each type is written.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from flyte_temporal.spec.document import Document


class Simple(StrEnum):
    """Types without parameters."""

    NONE = "none"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    STRING = "string"
    BYTES = "bytes"
    DATETIME = "datetime"
    DATE = "date"
    TIME = "time"
    DURATION = "duration"
    DECIMAL = "decimal"
    UUID = "uuid"
    PATH = "path"
    ERROR = "error"
    ANY = "any"


class SimpleType(Document):
    """A type without parameters. `any` is plain JSON data of no declared shape (a bare `dict` or `list`)."""

    kind: Literal["simple"] = "simple"
    simple: Simple


class EnumType(Document):
    """One of some constants: a Python `Enum`, or `Literal[...]`.

    Args:
        name: Name of the enum class; empty for `Literal`.
        values: The values, in declared order.
        names: Member names in the same order; empty for `Literal`.
    """

    kind: Literal["enum"] = "enum"
    name: str = ""
    values: tuple[JsonValue, ...]
    names: tuple[str, ...] = ()


class ListType(Document):
    """Any number of elements of one type."""

    kind: Literal["list"] = "list"
    element: LiteralType


class MapType(Document):
    """Keys of one type to values of one type; keys keep their type."""

    kind: Literal["map"] = "map"
    key: LiteralType
    value: LiteralType


class TupleType(Document):
    """A fixed number of elements, each with its type; named for a `NamedTuple`."""

    kind: Literal["tuple"] = "tuple"
    name: str = ""
    elements: tuple[LiteralType, ...]
    names: tuple[str, ...] = ()


class UnionType(Document):
    """One of several types, tried in declared order. `Optional[T]` is `T` and none."""

    kind: Literal["union"] = "union"
    variants: tuple[LiteralType, ...]


class Field_(Document):  # noqa: N801 - `Field` is pydantic's
    """One field of a struct."""

    name: str
    type: LiteralType
    required: bool = True


class StructType(Document):
    """A record: dataclass, pydantic model, TypedDict, attrs class.

    Args:
        name: Name of the class, for people; two structs fit by their fields, not by name.
        fields: The fields in declared order, by the names under which they are serialized.
        open: Whether other keys than the declared ones may occur.
    """

    kind: Literal["struct"] = "struct"
    name: str = ""
    fields: tuple[Field_, ...] = ()
    open: bool = False


class BlobType(Document):
    """A file (`single`) or a directory (`multipart`); an empty format fits any."""

    kind: Literal["blob"] = "blob"
    shape: Literal["single", "multipart"] = "single"
    format: str = ""


class Column(Document):
    """A declared column of a dataset."""

    name: str
    type: LiteralType


class DatasetType(Document):
    """A dataframe: declared columns (none = any) and storage format (empty = the writer decides)."""

    kind: Literal["dataset"] = "dataset"
    columns: tuple[Column, ...] = ()
    format: str = ""


class OpaqueType(Document):
    """Bytes that only the task process may interpret, for example a pickle.

    Args:
        codec: How they were written, such as `pickle`. Nothing outside the task process ever decodes them.
        python: Dotted name of the Python class, for people.
    """

    kind: Literal["opaque"] = "opaque"
    codec: str
    python: str = ""


LiteralType = Annotated[
    SimpleType
    | EnumType
    | ListType
    | MapType
    | TupleType
    | UnionType
    | StructType
    | BlobType
    | DatasetType
    | OpaqueType,
    Field(discriminator="kind"),
]

for _model in (ListType, MapType, TupleType, UnionType, Field_, StructType, Column, DatasetType):
    _model.model_rebuild()

NONE = SimpleType(simple=Simple.NONE)
INTEGER = SimpleType(simple=Simple.INTEGER)
FLOAT = SimpleType(simple=Simple.FLOAT)
BOOLEAN = SimpleType(simple=Simple.BOOLEAN)
STRING = SimpleType(simple=Simple.STRING)
ANY = SimpleType(simple=Simple.ANY)


def optional(type_: LiteralType) -> LiteralType:
    """Return the type that also admits none; a nullable type is returned as it is."""
    if is_nullable(type_):
        return type_
    if isinstance(type_, UnionType):
        return UnionType(variants=(*type_.variants, NONE))
    return UnionType(variants=(type_, NONE))


def is_nullable(type_: LiteralType) -> bool:
    """Return whether JSON null is a value of the type."""
    if isinstance(type_, SimpleType):
        return type_.simple in {Simple.NONE, Simple.ANY}
    if isinstance(type_, EnumType):
        return None in type_.values
    return isinstance(type_, UnionType) and any(is_nullable(v) for v in type_.variants)


def plain_optional(type_: UnionType) -> LiteralType | None:
    """Return `T` if the union is `Optional[T]` for a `T` that is not nullable itself, else None.

    Such a union is written without a tag; see `literals`.
    """
    others = [v for v in type_.variants if v != NONE]
    if len(others) == 1 and len(type_.variants) == 2 and not is_nullable(others[0]):
        return others[0]
    return None


def holds_opaque(type_: LiteralType) -> bool:
    """Return whether values of a type have parts that only the task process may interpret."""
    match type_:
        case OpaqueType():
            return True
        case ListType():
            return holds_opaque(type_.element)
        case MapType():
            return holds_opaque(type_.key) or holds_opaque(type_.value)
        case TupleType():
            return any(map(holds_opaque, type_.elements))
        case UnionType():
            return any(map(holds_opaque, type_.variants))
        case StructType():
            return any(holds_opaque(field.type) for field in type_.fields)
        case _:
            return False


def describe(type_: LiteralType) -> str:
    """Return the type as a person would write it, for messages, `--help` and tables."""
    match type_:
        case SimpleType():
            return {
                "integer": "int",
                "boolean": "bool",
                "string": "str",
                "any": "Any",
                "error": "FlyteError",
            }.get(type_.simple, type_.simple.value)
        case EnumType():
            return type_.name or "Literal[" + ", ".join(repr(v) for v in type_.values) + "]"
        case ListType():
            return f"list[{describe(type_.element)}]"
        case MapType():
            return f"dict[{describe(type_.key)}, {describe(type_.value)}]"
        case TupleType():
            return type_.name or "tuple[" + ", ".join(describe(e) for e in type_.elements) + "]"
        case UnionType():
            return " | ".join("None" if v == NONE else describe(v) for v in type_.variants)
        case StructType():
            return type_.name or "dict"
        case BlobType():
            base = "FlyteFile" if type_.shape == "single" else "FlyteDirectory"
            return f"{base}[{type_.format}]" if type_.format else base
        case DatasetType():
            columns = ", ".join(f"{c.name}: {describe(c.type)}" for c in type_.columns)
            base = f"DataFrame[{columns}]" if columns else "DataFrame"
            return f"{base} as {type_.format}" if type_.format else base
        case OpaqueType():
            return type_.python or type_.codec
