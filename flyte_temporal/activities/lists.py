"""Cuts lists that travel by reference into parts for the shards of a map, and stores the lists that a shard gives.

Apart from `values`, which reads what the interpreter must know: here nothing but references goes back to it. The type
system is imported on use: it takes half a second, which a starting worker need not spend.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporalio import activity

from flyte_temporal.activities.refusals import our_failure
from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec.calls import (
    JOIN,
    SPLIT,
    JoinRequest,
    JoinResult,
    SplitRequest,
    SplitResult,
    Wish,
)
from flyte_temporal.spec.literals import LiteralValue

if TYPE_CHECKING:
    from flyte_temporal.sdk.types.converter import ValueContext


class Lists:
    """Serves the two.

    Args:
        blobs: Where values are.
        scratch: A folder, for a list while it is cut.
    """

    def __init__(self, blobs: BlobStore, scratch: Path) -> None:
        self._blobs = blobs
        self._scratch = scratch

    @activity.defn(name=SPLIT)
    async def split(self, request: SplitRequest) -> SplitResult:
        """Return the parts of lists; a list is read element by element and never held whole, if it is stored as one.

        Raises:
            ApplicationError: If a value is gone, damaged, or not of its type, or a part cannot be stored.
        """
        try:
            return await asyncio.to_thread(self._split, request)
        except FlyteTemporalError as error:
            raise our_failure(error) from error

    def _split(self, request: SplitRequest) -> SplitResult:
        from flyte_temporal.sdk.types.values import literal_of

        context = self._context(request.inline_bytes)
        parts: dict[str, tuple[LiteralValue, ...]] = {}
        for name, wish in request.lists.items():
            elements = _elements(wish, context)
            cut = elements if request.alone else _cut(elements, request.size)
            parts[name] = tuple(literal_of(each, context) for each in cut)
        return SplitResult(parts=parts)

    @activity.defn(name=JOIN)
    async def join(self, request: JoinRequest) -> JoinResult:
        """Store lists as one value each.

        Raises:
            ApplicationError: As for `split`.
        """
        try:
            return await asyncio.to_thread(self._join, request)
        except FlyteTemporalError as error:
            raise our_failure(error) from error

    def _join(self, request: JoinRequest) -> JoinResult:
        from flyte_temporal.sdk.types.values import json_of, literal_of

        context = self._context(request.inline_bytes)
        return JoinResult(
            lists={
                name: literal_of(json_of(wish.literal, wish.type, context), context)
                for name, wish in request.lists.items()
            }
        )

    def _context(self, inline_bytes: int) -> ValueContext:
        from flyte_temporal.sdk.types.converter import ValueContext

        return ValueContext(self._blobs, self._scratch, inline_bytes=inline_bytes)


def _elements(wish: Wish, context: ValueContext) -> Iterator[Any]:
    from flyte_temporal.sdk.types.values import json_of, streamed

    found = streamed(wish.literal, wish.type, context)
    return iter(json_of(wish.literal, wish.type, context)) if found is None else found


def _cut(elements: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while part := list(islice(elements, size)):
        yield part
