"""Looks nodes up in the catalog: hits that were verified, leases for those that compute, holders for those that wait.

One call answers many nodes: few statements, one pass over the blob store. What is slow happens in a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import TypeAdapter
from temporalio import activity

from flyte_temporal.activities import damage
from flyte_temporal.activities.recalls import Recalls
from flyte_temporal.activities.refusals import our_failure
from flyte_temporal.errors import CorruptBlob, FlyteTemporalError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.ports.catalog import Catalog
from flyte_temporal.spec.cache import CacheEntry, Lease, LeaseOwner
from flyte_temporal.spec.execution import NodeRef
from flyte_temporal.spec.keys import digest_in
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.lookup_calls import (
    LOOKUP,
    Hit,
    LookupAnswer,
    LookupItem,
    LookupRequest,
    LookupResult,
    Recalled,
)

_log = logging.getLogger(__name__)

EXACT_TO = timedelta(hours=1)
"""How exactly an entry knows when it was last hit; a write for each hit would cost more than the hit."""

_FEW = 20
"""Nodes that are looked up without a thread where that is quick: some milliseconds at most."""

_HEADS = 32
"""Objects that are asked after at once, where each question is a round trip."""

_OUTPUTS: TypeAdapter[dict[str, LiteralValue]] = TypeAdapter(dict[str, LiteralValue])


class Lookups:
    """Serves lookups.

    Args:
        catalog: The entries and leases.
        blobs: Where the objects are that outputs refer to.
        recalls: What an earlier execution has.
    """

    def __init__(self, catalog: Catalog, blobs: BlobStore, recalls: Recalls) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._recalls = recalls
        self._note = ThreadPoolExecutor(1, thread_name_prefix="cache used")

    @activity.defn(name=LOOKUP)
    async def lookup(self, request: LookupRequest) -> LookupResult:
        """Answer for each node whether its outputs are remembered, or whether another one computes them.

        Raises:
            ApplicationError: If the catalog did not answer.
        """
        try:
            recalled = await self._recalls.find(request)
            # Nearly always all of them: only an execution that recovers another one asks for other items, or has some.
            rest = [item for item in request.items if item.key and not _is_done(recalled.get(item.node))]
            found = await self._in_catalog(request, rest)
        except FlyteTemporalError as error:
            raise our_failure(error) from error
        answers = [found.get(item.node) or LookupAnswer() for item in request.items]
        if recalled:
            answers = [
                answer.model_copy(update={"recalled": recalled.get(item.node)})
                for item, answer in zip(request.items, answers, strict=True)
            ]
        return LookupResult(answers=tuple(answers))

    async def _in_catalog(
        self, request: LookupRequest, items: list[LookupItem]
    ) -> dict[str, LookupAnswer | None]:
        if not items:
            return {}
        here = len(items) <= _FEW and self._catalog.quick and self._blobs.quick
        # A lease is a write, which may have to wait for another one.
        if here and not any(item.serialize for item in items):
            return self._lookup(request, items)
        return await asyncio.to_thread(self._lookup, request, items)

    def _lookup(self, request: LookupRequest, items: list[LookupItem]) -> dict[str, LookupAnswer | None]:
        hits = self._hits({item.key for item in items})
        alone = [item for item in items if item.serialize and item.key not in hits]
        leases = self._reserved(request, alone, hits) if alone else {}
        return {
            item.node: _hit(hits[item.key]) if item.key in hits else leases.get(item.node) for item in items
        }

    def _hits(self, keys: set[str]) -> dict[str, CacheEntry]:
        found = self._catalog.find(keys)
        lost = {entry.key: entry for entry in self._lost(found.values())}
        whole = {key: self._complete(entry) for key, entry in found.items() if key not in lost}
        lost.update((key, found[key]) for key, entry in whole.items() if entry is None)
        if lost:
            _log.warning(
                "Objects of %d remembered results are gone or damaged; their nodes are computed anew.",
                len(lost),
            )
            self._catalog.drop(list(lost.values()))
        found = {key: entry for key, entry in whole.items() if entry is not None}
        now = datetime.now(UTC)
        stale = [entry.key for entry in found.values() if now - entry.last_used_at > EXACT_TO]
        if stale:
            self._note.submit(self._used, stale, now)
        return found

    def _used(self, keys: list[str], at: datetime) -> None:
        try:
            self._catalog.used(keys, at)
        except FlyteTemporalError as error:
            _log.warning("It was not noted that %d remembered results were used: %s", len(keys), error)

    def _lost(self, entries: Iterable[CacheEntry]) -> list[CacheEntry]:
        """Return the entries of which an object is gone, is not of the size that it had, or has other bytes (if small)."""
        wanted = list(entries)
        sizes = {stored.key: stored.size for entry in wanted for stored in entry.objects}
        if not sizes:
            return []
        small = damage.to_digest(wanted)

        def is_good(key: str) -> bool:
            if key in small:
                return damage.is_whole(self._blobs, key)
            size = self._size(key)
            if size is not None and size != sizes[key] and digest_in(key):
                damage.remove(self._blobs, key)
            return size == sizes[key]

        if self._blobs.quick:
            bad = {key for key in sizes if not is_good(key)}
        else:
            with ThreadPoolExecutor(_HEADS) as pool:
                bad = {key for key, good in zip(sizes, pool.map(is_good, sizes), strict=True) if not good}
        return [entry for entry in wanted if any(stored.key in bad for stored in entry.objects)]

    def _size(self, key: str) -> int | None:
        if key.startswith("file:"):
            path = Path(unquote(urlsplit(key).path))
            return path.stat().st_size if path.is_file() else None
        found = self._blobs.head(key)
        return None if found is None else found.size

    def _complete(self, entry: CacheEntry) -> CacheEntry | None:
        """Return an entry with its outputs; None if these are gone or damaged."""
        if entry.stored is None:
            return entry
        try:
            data = self._blobs.get(entry.stored.key, entry.stored.sha256)
        except CorruptBlob:
            damage.remove(self._blobs, entry.stored.key)
            return None
        if data is None:
            return None
        return entry.model_copy(update={"outputs": _OUTPUTS.validate_json(data)})

    def _reserved(
        self, request: LookupRequest, items: list[LookupItem], hits: dict[str, CacheEntry]
    ) -> dict[str, LookupAnswer]:
        name = request.execution.name
        owners = [LeaseOwner(execution=name, node=item.node) for item in items]
        got = self._catalog.reserve([item.key for item in items], owners, request.lease_s)
        # An owner may have ended between the first look and the lease.
        fresh = self._hits({item.key for item, each in zip(items, got, strict=True) if each.token})
        answers: dict[str, LookupAnswer] = {}
        needless: list[Lease] = []
        for item, owner, each in zip(items, owners, got, strict=True):
            if each.token and item.key in fresh:
                needless.append(Lease(key=item.key, owner=owner, token=each.token))
            elif each.token:
                answers[item.node] = LookupAnswer(token=each.token)
            elif each.holder is not None and item.key not in fresh:
                holder = NodeRef(execution=each.holder.execution, node=each.holder.node)
                answers[item.node] = LookupAnswer(holder=holder, again_s=max(each.again_s, 0.0))
        if needless:
            self._catalog.release(needless, failed=False)
        hits.update(fresh)
        return answers


def _is_done(recalled: Recalled | None) -> bool:
    return recalled is not None and recalled.done


def _hit(entry: CacheEntry) -> LookupAnswer:
    source = NodeRef(
        execution=entry.execution, node=entry.node, attempt=entry.attempt, attempt_key=entry.attempt_key
    )
    return LookupAnswer(hit=Hit(outputs=entry.outputs, source=source))
