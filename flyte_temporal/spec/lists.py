"""Lists as literals: how long they are, and their pieces, as far as that can be said without reading them. Pure."""

from __future__ import annotations

from itertools import accumulate

from flyte_temporal.spec.literals import Composite, Inline, Joined, LiteralValue, Offloaded


def length(literal: LiteralValue) -> int | None:
    """Return the number of elements of a list; None if it travels by reference and must be asked for."""
    match literal:
        case Composite():
            return len(literal.items)
        case Joined():
            return sum(literal.counts)
        case Offloaded():
            return literal.count if not literal.path else None
        case Inline():
            value = literal.value
            return len(value) if isinstance(value, list) else 0


def piece(literal: LiteralValue, offset: int, count: int) -> LiteralValue | None:
    """Return some elements of a list as a list; None if they must be read.

    Args:
        literal: The list.
        offset: Position of the first.
        count: Their number; the list has as many.
    """
    if offset == 0 and count == length(literal):
        return literal
    match literal:
        case Composite():
            return Composite(items=literal.items[offset : offset + count], type=literal.type)
        case Joined():
            return _piece_of_joined(literal, offset, count)
        case Offloaded():
            return None
        case Inline():
            value = literal.value if isinstance(literal.value, list) else []
            return Inline(value=value[offset : offset + count], type=literal.type)


def _piece_of_joined(literal: Joined, offset: int, count: int) -> LiteralValue | None:
    parts: list[LiteralValue] = []
    counts: list[int] = []
    for part, size, end in zip(literal.parts, literal.counts, accumulate(literal.counts), strict=True):
        start = end - size
        first, last = max(offset, start), min(offset + count, end)
        if first >= last:
            continue
        found = piece(part, first - start, last - first)
        if found is None:
            return None
        parts.append(found)
        counts.append(last - first)
    if len(parts) != 1:
        return Joined(parts=tuple(parts), counts=tuple(counts), type=literal.type)
    only = parts[0]
    return only if only.type is not None else only.model_copy(update={"type": literal.type})


def place_of(literal: Joined, index: int) -> tuple[LiteralValue, int]:
    """Return the part of a list that holds an element, and the element's position in it.

    Raises:
        IndexError: If there is no such element.
    """
    wanted = index if index >= 0 else index + sum(literal.counts)
    start = 0
    for part, size in zip(literal.parts, literal.counts, strict=True):
        if start <= wanted < start + size:
            found = part if part.type is not None else part.model_copy(update={"type": literal.type})
            return found, wanted - start
        start += size
    raise IndexError(index)
