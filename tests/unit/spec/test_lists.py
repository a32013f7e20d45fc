"""Pieces of lists, whatever form the list travels in."""

from __future__ import annotations

import pytest

from flyte_temporal.spec.lists import length, piece, place_of
from flyte_temporal.spec.literals import Composite, Inline, Joined, LiteralValue, Offloaded
from flyte_temporal.spec.types import INTEGER, ListType

LIST = ListType(element=INTEGER)
STORED = Offloaded(key="k", sha256="0", size=9, count=3)
NUMBERS = Inline(value=list(range(10)), type=LIST)
PARTS = Joined(
    parts=(Inline(value=[0, 1]), STORED, Composite(items=(Inline(value=5), Inline(value=6)))),
    counts=(2, 3, 2),
    type=LIST,
)


def test_how_long_a_list_is() -> None:
    assert [length(each) for each in (NUMBERS, STORED, PARTS, PARTS.parts[2])] == [10, 3, 7, 2]
    assert length(STORED.model_copy(update={"path": ("a",)})) is None
    assert length(Inline(value=None)) == 0


@pytest.mark.parametrize(
    ("whole", "offset", "count", "found"),
    [
        (NUMBERS, 8, 2, Inline(value=[8, 9], type=LIST)),
        (NUMBERS, 0, 10, NUMBERS),
        (PARTS.parts[2], 1, 1, Composite(items=(Inline(value=6),))),
        (STORED, 0, 3, STORED),
        (STORED, 0, 2, None),
        (PARTS, 0, 1, Inline(value=[0], type=LIST)),
        (PARTS, 2, 3, STORED.model_copy(update={"type": LIST})),
        (
            PARTS,
            1,
            5,
            Joined(
                parts=(Inline(value=[1]), STORED, Composite(items=(Inline(value=5),))),
                counts=(1, 3, 1),
                type=LIST,
            ),
        ),
        (PARTS, 3, 4, None),
        (PARTS, 0, 7, PARTS),
    ],
)
def test_a_piece_is_taken_if_nothing_has_to_be_read(
    whole: LiteralValue, offset: int, count: int, found: LiteralValue | None
) -> None:
    assert piece(whole, offset, count) == found


def test_the_part_that_holds_an_element() -> None:
    assert place_of(PARTS, 1) == (Inline(value=[0, 1], type=LIST), 1)
    assert place_of(PARTS, 4) == (STORED.model_copy(update={"type": LIST}), 2)
    assert place_of(PARTS, -1)[1] == 1
    for beyond in (7, -8):
        with pytest.raises(IndexError):
            place_of(PARTS, beyond)
