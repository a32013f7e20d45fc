"""What may flow where."""

from __future__ import annotations

import pytest

from flyte_temporal.spec.assignability import accepts
from flyte_temporal.spec.types import (
    ANY,
    BOOLEAN,
    FLOAT,
    INTEGER,
    NONE,
    STRING,
    BlobType,
    Column,
    DatasetType,
    EnumType,
    Field_,
    ListType,
    LiteralType,
    MapType,
    OpaqueType,
    StructType,
    TupleType,
    UnionType,
    describe,
    optional,
    plain_optional,
)

COLOR = EnumType(name="Color", values=("red", "blue"))
POINT = StructType(
    name="Point", fields=(Field_(name="x", type=FLOAT), Field_(name="y", type=FLOAT, required=False))
)


@pytest.mark.parametrize(
    ("target", "source", "fits"),
    [
        (FLOAT, INTEGER, True),
        (INTEGER, FLOAT, False),
        (INTEGER, BOOLEAN, False),
        (STRING, INTEGER, False),
        (optional(INTEGER), INTEGER, True),
        (optional(INTEGER), NONE, True),
        (INTEGER, optional(INTEGER), False),
        (optional(FLOAT), optional(INTEGER), True),
        (UnionType(variants=(INTEGER, STRING)), STRING, True),
        (UnionType(variants=(INTEGER, STRING)), UnionType(variants=(STRING, BOOLEAN)), False),
        (ListType(element=FLOAT), ListType(element=INTEGER), True),
        (ListType(element=INTEGER), TupleType(elements=(INTEGER, INTEGER)), True),
        (ListType(element=INTEGER), TupleType(elements=(INTEGER, STRING)), False),
        (TupleType(elements=(INTEGER,)), ListType(element=INTEGER), False),
        (MapType(key=STRING, value=FLOAT), MapType(key=STRING, value=INTEGER), True),
        (MapType(key=STRING, value=FLOAT), MapType(key=INTEGER, value=FLOAT), False),
        (COLOR, STRING, True),
        (STRING, COLOR, True),
        (INTEGER, COLOR, False),
        (COLOR, EnumType(values=("red",)), True),
        (EnumType(values=("red",)), COLOR, False),
        (POINT, StructType(name="Other", fields=(Field_(name="x", type=INTEGER),)), True),
        (POINT, StructType(fields=(Field_(name="y", type=FLOAT),)), False),
        (POINT, StructType(fields=(Field_(name="x", type=FLOAT), Field_(name="z", type=FLOAT))), False),
        (BlobType(format="csv"), BlobType(), True),
        (BlobType(format="csv"), BlobType(format="png"), False),
        (BlobType(), BlobType(shape="multipart"), False),
        (DatasetType(), DatasetType(columns=(Column(name="a", type=INTEGER),)), True),
        (
            DatasetType(columns=(Column(name="b", type=INTEGER),)),
            DatasetType(columns=(Column(name="a", type=INTEGER),)),
            False,
        ),
        (ANY, ListType(element=INTEGER), True),
        (ANY, BlobType(), False),
        (OpaqueType(codec="pickle"), OpaqueType(codec="pickle", python="x.Y"), True),
        (OpaqueType(codec="pickle"), INTEGER, False),
    ],
    ids=lambda value: describe(value) if not isinstance(value, bool) else str(value),
)
def test_accepts(target: LiteralType, source: LiteralType, fits: bool) -> None:
    assert accepts(target, source) is fits


def test_optional_is_written_without_a_tag_only_where_null_is_free() -> None:
    assert plain_optional(UnionType(variants=(INTEGER, NONE))) == INTEGER
    assert plain_optional(UnionType(variants=(INTEGER, STRING, NONE))) is None
    assert plain_optional(UnionType(variants=(optional(INTEGER), NONE))) is None
    assert optional(optional(INTEGER)) == optional(INTEGER)
