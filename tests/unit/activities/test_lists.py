"""Lists that are cut into parts, and parts that are stored: what comes out is the same list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from flyte_temporal.activities.lists import Lists
from flyte_temporal.sdk.types.converter import ValueContext
from flyte_temporal.sdk.types.values import json_of, literal_of
from flyte_temporal.spec.calls import JoinRequest, SplitRequest, Wish
from flyte_temporal.spec.literals import Composite, Inline, Joined, LiteralValue, Offloaded
from flyte_temporal.spec.types import FLOAT, INTEGER, NONE, ListType, optional
from flyte_temporal.testing.blobs import MemoryBlobStore

INTEGERS = ListType(element=INTEGER)


@pytest.fixture
def context(tmp_path: Path) -> ValueContext:
    return ValueContext(MemoryBlobStore(), tmp_path, inline_bytes=16)


def lists(context: ValueContext) -> Lists:
    assert context.blobs is not None
    return Lists(context.blobs, context.scratch)


async def split(
    context: ValueContext, literal: LiteralValue, type_: ListType, **how: Any
) -> list[LiteralValue]:
    request = SplitRequest(lists={"x": Wish(literal=literal, type=type_)}, inline_bytes=16, **how)
    found = await ActivityEnvironment().run(lists(context).split, request)
    return list(found.parts["x"])


@pytest.mark.parametrize("count", [0, 1, 7, 100])
@pytest.mark.parametrize("form", ["stored", "inline", "parts"])
async def test_the_parts_of_a_list_are_the_list(context: ValueContext, count: int, form: str) -> None:
    value = list(range(count))
    whole = literal_of(value, context)
    if form == "inline":
        whole = Inline(value=value)
    elif form == "parts":
        cut = count // 3
        halves = tuple(literal_of(part, context) for part in (value[:cut], value[cut:]))
        whole = Joined(parts=halves, counts=(cut, count - cut))
    parts = await split(context, whole, INTEGERS, size=30)
    assert [json_of(part, INTEGERS, context) for part in parts] == [
        value[start : start + 30] for start in range(0, count, 30)
    ]
    assert all(part.count == 30 for part in parts if isinstance(part, Offloaded) and part is not parts[-1])
    alone = await split(context, whole, INTEGERS, size=1, alone=True)
    assert [json_of(each, INTEGER, context) for each in alone] == value


async def test_parts_are_of_the_declared_type_whatever_the_list_was_written_by(context: ValueContext) -> None:
    whole = literal_of(list(range(30)), context).model_copy(update={"type": INTEGERS})
    parts = await split(context, whole, ListType(element=FLOAT), size=20)
    assert json_of(parts[1], ListType(element=FLOAT), context) == [float(x) for x in range(20, 30)]


async def test_a_list_that_is_gone_is_an_error_of_ours(context: ValueContext) -> None:
    gone = Offloaded(key="blobs/gone", sha256="0" * 64, size=99, count=9)
    with pytest.raises(ApplicationError, match="has no blobs/gone"):
        await split(context, gone, INTEGERS, size=3)


async def test_results_become_one_stored_list_with_none_for_what_failed(context: ValueContext) -> None:
    items = tuple(Inline(value=x) if x % 5 else Inline(value=None, type=NONE) for x in range(20))
    type_ = ListType(element=optional(INTEGER))
    request = JoinRequest(lists={"o0": Wish(literal=Composite(items=items), type=type_)}, inline_bytes=16)
    found = (await ActivityEnvironment().run(lists(context).join, request)).lists["o0"]
    assert isinstance(found, Offloaded)
    assert found.count == 20
    assert json_of(found, type_, context) == [x if x % 5 else None for x in range(20)]
