"""Keys: what makes two calls the same, and which objects a value has in it."""

from __future__ import annotations

from typing import Any

import pytest

from flyte_temporal.spec.cache import Recipe, outputs_digest
from flyte_temporal.spec.contents import references_in
from flyte_temporal.spec.entities import TaskSpec
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.interface import Default, Interface, Variable
from flyte_temporal.spec.literals import Composite, Inline, LiteralValue, Offloaded
from flyte_temporal.spec.policies import CacheSettings
from flyte_temporal.spec.types import (
    FLOAT,
    INTEGER,
    NONE,
    STRING,
    BlobType,
    DatasetType,
    Field_,
    ListType,
    LiteralType,
    MapType,
    OpaqueType,
    StructType,
    TupleType,
    UnionType,
    optional,
)

FILE, FOLDER = BlobType(), BlobType(shape="multipart")
SETTINGS = CacheSettings(enabled=True, version="1")


def key(
    literal: LiteralValue,
    type_: LiteralType = INTEGER,
    settings: CacheSettings = SETTINGS,
    project: str = "p",
    **changes: Any,
) -> str:
    interface = Interface(inputs=(Variable(name="x", type=type_), Variable(name="y", type=INTEGER)))
    task = TaskSpec(name="a.b", interface=interface).model_copy(update=changes)
    where = ExecutionId(project=project, domain="d", name="run")
    return Recipe(where, task, settings).order({"x": literal, "y": Inline(value=1)}).key


def file(uri: str, **more: Any) -> dict[str, Any]:
    return {"uri": uri, **more}


def variant(index: int, value: Any) -> dict[str, Any]:
    return {"variant": index, "value": value}


STRUCT = StructType(name="S", fields=(Field_(name="f", type=FILE), Field_(name="n", type=INTEGER)))
EITHER = UnionType(variants=(FILE, INTEGER, STRING))


@pytest.mark.parametrize(
    ("type_", "one", "other"),
    [
        (INTEGER, Inline(value=1), Inline(value=1, type=INTEGER)),
        (FLOAT, Inline(value=1.0), Inline(value=1, type=INTEGER)),
        (FLOAT, Inline(value=float(2**60)), Inline(value=hex(2**60), type=INTEGER)),
        (optional(INTEGER), Inline(value=1), Inline(value=1, type=INTEGER)),
        (optional(INTEGER), Inline(value=None), Inline(value=None, type=NONE)),
        (
            ListType(element=INTEGER),
            Inline(value=[1, 2]),
            Composite(items=(Inline(value=1), Inline(value=2))),
        ),
        (
            MapType(key=STRING, value=INTEGER),
            Inline(value={"a": 1}),
            Composite(items=(Inline(value=1),), keys=("a",)),
        ),
        (MapType(key=STRING, value=INTEGER), Inline(value={"a": 1, "b": 2}), Inline(value={"b": 2, "a": 1})),
        (FILE, Inline(value=file("a", sha256="s", name="n")), Inline(value=file("b", sha256="s"))),
        (FOLDER, Inline(value=file("a", sha256="s", files=2)), Inline(value=file("b", sha256="s"))),
        (DatasetType(), Inline(value=file("a", sha256="s")), Inline(value=file("b", sha256="s", rows=1))),
        (
            OpaqueType(codec="pickle"),
            Inline(value=file("a", sha256="s")),
            Inline(value=file("b", sha256="s")),
        ),
        (
            ListType(element=optional(FILE)),
            Inline(value=[file("a", sha256="s"), None]),
            Inline(value=[file("b", sha256="s"), None]),
        ),
        (
            STRUCT,
            Inline(value={"f": file("a", sha256="s"), "n": 1}),
            Inline(value={"f": file("b", sha256="s"), "n": 1}),
        ),
        (
            EITHER,
            Inline(value=variant(0, file("a", sha256="s"))),
            Inline(value=variant(0, file("b", sha256="s"))),
        ),
        (FILE, Inline(value=file("a"), hash="h"), Inline(value=file("b"), hash="h")),
        (INTEGER, Offloaded(key="k", sha256="s", size=1), Offloaded(key="other", sha256="s", size=1)),
    ],
)
def test_equal_values_have_the_same_key(type_: LiteralType, one: LiteralValue, other: LiteralValue) -> None:
    assert key(one, type_) == key(other, type_)


@pytest.mark.parametrize(
    ("type_", "one", "other"),
    [
        (INTEGER, Inline(value=1), Inline(value=2)),
        (STRING, Inline(value="1"), Inline(value="1", hash="1")),
        (FILE, Inline(value=file("a", sha256="s")), Inline(value=file("a", sha256="t"))),
        (FILE, Inline(value=file("s3://a")), Inline(value=file("s3://b"))),
        (INTEGER, Offloaded(key="k", sha256="s", size=1), Offloaded(key="k", sha256="t", size=1)),
        (
            INTEGER,
            Offloaded(key="k", sha256="s", size=1, path=(0,)),
            Offloaded(key="k", sha256="s", size=1, path=(1,)),
        ),
        (EITHER, Inline(value=variant(1, 1)), Inline(value=variant(2, 1))),
        (StructType(open=True), Inline(value={"hash": "h"}), Inline(value={}, hash="h")),
        (ListType(element=STRING), Inline(value=["stored", "s"]), Offloaded(key="k", sha256="s", size=1)),
    ],
)
def test_other_values_have_another_key(type_: LiteralType, one: LiteralValue, other: LiteralValue) -> None:
    assert key(one, type_) != key(other, type_)


def test_whose_it_is_and_what_it_is_is_in_the_key() -> None:
    one = Inline(value=1)
    described = Interface(
        inputs=(
            Variable(name="x", type=INTEGER, description="d", default=Default(value=3)),
            Variable(name="y", type=INTEGER),
        )
    )
    other = Interface(inputs=described.inputs, outputs=(Variable(name="o0", type=INTEGER),))
    keys = {
        key(one),
        key(one, project="q"),
        key(one, name="a.c"),
        key(one, settings=CacheSettings(enabled=True, version="2")),
        key(one, settings=CacheSettings(enabled=True, version="1", salt="s")),
        key(one, settings=CacheSettings(enabled=True, version="1", ignored_inputs=("x",))),
        key(one, interface=other),
    }
    assert len(keys) == 7
    assert key(one, interface=described) == key(one)
    assert key(one, settings=CacheSettings(enabled=True, version="1", serialize=True)) == key(one)


def test_keys_stay_the_same_in_later_releases() -> None:
    """If this fails, everybody's caches are lost with the release; `_FORM` has to say so."""
    assert key(Inline(value=1)) == "5822461eb0020a990d2eeed7d60ffc2f38bcc763d5cbfa6802f53c9ff8a22d4e"


def test_objects_are_found_wherever_they_stand() -> None:
    types = TupleType(
        elements=(ListType(element=optional(FILE)), MapType(key=STRING, value=STRUCT), EITHER, INTEGER)
    )
    value = [
        [file("1"), None],
        {"a": {"f": file("2"), "n": 3}},
        variant(0, file("3")),
        7,
    ]
    assert sorted(found["uri"] for found in references_in(value, types)) == ["1", "2", "3"]
    pairs = MapType(key=INTEGER, value=FILE)
    assert references_in([[1, file("4")]], pairs) == [file("4")]


def test_outputs_are_told_by_content() -> None:
    interface = Interface(outputs=(Variable(name="o0", type=FILE),))
    one, other = ({"o0": Inline(value=file(uri, sha256="s"))} for uri in "ab")
    assert outputs_digest(interface, one) == outputs_digest(interface, other)
