"""What stands beside a type in `Annotated`: kept in the interface, or put into the literal."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import pandas as pd
import pytest

from flyte_temporal import BatchSize, FlyteAnnotation, HashMethod, kwtypes, task
from flyte_temporal.errors import CompileError, TypeMismatch
from flyte_temporal.sdk.types.converter import ValueContext
from flyte_temporal.sdk.types.values import encode
from flyte_temporal.spec.literals import Inline, Offloaded


def size(value: Any) -> str:
    return f"size-{len(value)}"


def broken(value: Any) -> str:
    return len(value)  # type: ignore[return-value]


def test_a_hash_stands_in_the_literal(context: ValueContext) -> None:
    hashed = Annotated[list[int], HashMethod(size)]
    assert encode([1, 2], hashed, context) == Inline(value=[1, 2], hash="size-2")
    by_reference = encode([1, 2], hashed, replace(context, inline_bytes=1))
    assert isinstance(by_reference, Offloaded)
    assert by_reference.hash == "size-2"
    frame = encode(
        pd.DataFrame({"a": [1]}), Annotated[pd.DataFrame, kwtypes(a=int), HashMethod(size)], context
    )
    assert frame.hash == "size-1"
    assert encode([1], list[int], context).hash is None


def test_a_list_is_hashed_by_its_elements(context: ValueContext) -> None:
    several = list[Annotated[str, HashMethod(size)]]
    hashes = [encode(value, several, context).hash for value in (["ab", "c"], ["xy", "z"], ["a", "bc"])]
    assert hashes[0] == hashes[1] != hashes[2]
    assert all(hashes)


def test_a_hash_must_be_text(context: ValueContext) -> None:
    with pytest.raises(TypeMismatch, match=r"expected the hash from broken\(\) to be str, got int 2"):
        encode([1, 2], Annotated[list[int], HashMethod(broken)], context)


@task
def annotated(
    x: Annotated[int, FlyteAnnotation({"unit": "m"}), FlyteAnnotation({"min": 0})],
    y: Annotated[list[int], BatchSize(10)],
    z: int,
) -> Annotated[str, HashMethod(size), FlyteAnnotation("note")]:
    return str(x + sum(y) + z)


def test_the_interface_keeps_what_was_written() -> None:
    interface = annotated.interface
    assert [v.metadata for v in interface.inputs] == [
        {"annotation": {"unit": "m", "min": 0}},
        {"batch_size": 10},
        {},
    ]
    assert [v.metadata for v in interface.outputs] == [{"annotation": "note", "hash_method": "size"}]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(CompileError, match=r"FlyteAnnotation takes JSON .*, not <object object>"):
        FlyteAnnotation(object())
    with pytest.raises(CompileError, match="BatchSize takes a number of elements from 1 up, not 0"):
        BatchSize(0)

    @task
    def twice(x: Annotated[int, FlyteAnnotation(1), FlyteAnnotation(2)]) -> None: ...

    with pytest.raises(CompileError, match="Two FlyteAnnotations of one input or output must both be dicts"):
        twice(x=1)
