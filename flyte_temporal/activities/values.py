"""Reads values that travel by reference, for the interpreter: operands of conditions and lengths of lists.

The type system is imported on use: it takes half a second, which a starting worker need not spend.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from temporalio import activity

from flyte_temporal.activities.refusals import our_failure
from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec.calls import READ, ReadRequest, ReadResult


class Values:
    """Serves reads.

    Args:
        blobs: Where values are.
        scratch: A folder; reading JSON writes nothing to it.
    """

    def __init__(self, blobs: BlobStore, scratch: Path) -> None:
        self._blobs = blobs
        self._scratch = scratch

    @activity.defn(name=READ)
    async def read(self, request: ReadRequest) -> ReadResult:
        """Return what was asked for.

        Raises:
            ApplicationError: If a value is gone, damaged, or not of its type.
        """
        try:
            return await asyncio.to_thread(self._read, request)
        except FlyteTemporalError as error:
            raise our_failure(error) from error

    def _read(self, request: ReadRequest) -> ReadResult:
        from flyte_temporal.sdk.types.converter import ValueContext
        from flyte_temporal.sdk.types.values import json_of

        context = ValueContext(self._blobs, self._scratch)
        values = {name: json_of(wish.literal, wish.type, context) for name, wish in request.values.items()}
        lists = {name: json_of(wish.literal, wish.type, context) for name, wish in request.lengths.items()}
        return ReadResult(values=values, lengths={name: len(found) for name, found in lists.items()})
