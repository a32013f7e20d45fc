"""What people do with remembered outputs: look at them, remove some, keep their number within bounds.

Only entries are removed, never what they refer to: outputs in the blob store belong to the executions that computed them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from datetime import timedelta

from flyte_temporal.control.documents import CacheSweep
from flyte_temporal.errors import BadRequest, NotFound
from flyte_temporal.ports.catalog import Catalog
from flyte_temporal.ports.clock import Clock
from flyte_temporal.spec.cache import CacheEntry, EntryFilter, EntryUse

_KEY_LENGTH = 64

_AT_ONCE = 500
"""Entries that are looked at or removed in one transaction; others write in between."""

_SHOWN = 3
"""Keys that are shown of those with the same beginning."""

_NAMED = 200
"""Entries that an answer names; the rest is counted."""


class Caching:
    """The use cases of the cache.

    Args:
        catalog: The catalog.
        clock: The clock.
    """

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock

    async def entries(self, wanted: EntryFilter) -> list[CacheEntry]:
        """Return remembered outputs, the most recently used first."""
        return await asyncio.to_thread(self._catalog.entries, wanted)

    async def remove(self, wanted: EntryFilter, *, dry_run: bool = False) -> CacheSweep:
        """Remove entries.

        Args:
            wanted: Which: a key, a task or an execution must be named.
            dry_run: Only say what would be removed.

        Raises:
            BadRequest: If nothing is named, or the beginning of a key means several.
            NotFound: If there is no such entry.
        """
        if not (wanted.key or wanted.task or wanted.execution):
            raise BadRequest("Say what to remove: a key, --task NAME or --execution ID.")
        return await asyncio.to_thread(self._remove, wanted, dry_run)

    def _remove(self, wanted: EntryFilter, dry_run: bool) -> CacheSweep:  # noqa: FBT001 - called by a thread
        if wanted.key and len(wanted.key) < _KEY_LENGTH:
            self._refuse_several(wanted)
        sweeping = _Sweeping(self._catalog, dry_run=dry_run)
        found = False
        # Once more, because what is hit meanwhile goes to the front, where the pages have passed.
        for page in itertools.chain.from_iterable(self._pages(wanted) for _ in range(1 if dry_run else 2)):
            found = True
            sweeping.remove(page)
        if not found:
            raise NotFound("Nothing of that kind is remembered. `flyte-temporal cache ls` lists what is.")
        return sweeping.swept(0, 0)

    def _refuse_several(self, wanted: EntryFilter) -> None:
        found = self._catalog.uses(wanted.model_copy(update={"limit": _SHOWN + 1}))
        if len(found) > 1:
            keys = ", ".join(use.key[: len(wanted.key) + 4] for use in found[:_SHOWN])
            several = f"{len(found)} keys" if len(found) <= _SHOWN else f"More than {_SHOWN} keys"
            raise BadRequest(f"{several} begin with {wanted.key}: {keys}. Write more of the key.")

    async def collect(
        self, project: str, domain: str, *, unused_s: float | None, most_bytes: int | None, dry_run: bool
    ) -> CacheSweep:
        """Remove entries that were not hit for long, then those that were hit longest ago, until the rest is small enough.

        What is left of leases that ended long ago goes too, of all projects.

        Args:
            project: Of this project.
            domain: Of this domain.
            unused_s: For how many seconds an entry must not have been hit; None = that does not matter.
            most_bytes: How large the outputs of the entries that stay may be together; None = any size.
            dry_run: Only say what would be removed.

        Raises:
            BadRequest: If neither is given.
        """
        if unused_s is None and most_bytes is None:
            raise BadRequest("Say what is too old or too much: --ttl 30d, --max-size 10GiB, or both.")
        return await asyncio.to_thread(
            self._collect, EntryFilter(project=project, domain=domain), (unused_s, most_bytes), dry_run
        )

    def _collect(
        self,
        wanted: EntryFilter,
        limits: tuple[float | None, int | None],
        dry_run: bool,  # noqa: FBT001 - called by a thread
    ) -> CacheSweep:
        unused_s, most_bytes = limits
        since = None if unused_s is None else self._clock.now() - timedelta(seconds=unused_s)
        kept = kept_bytes = 0
        full = False
        sweeping = _Sweeping(self._catalog, dry_run=dry_run)
        for page in self._pages(wanted):
            going: list[EntryUse] = []
            for use in page:
                # In order of use: what comes after the first that does not fit was hit even longer ago.
                full = full or (most_bytes is not None and kept_bytes + use.size > most_bytes)
                if full or (since is not None and use.last_used_at < since):
                    going.append(use)
                else:
                    kept += 1
                    kept_bytes += use.size
            sweeping.remove(going)
        if not dry_run:
            self._catalog.forget_leases()
        return sweeping.swept(kept, kept_bytes)

    def _pages(self, wanted: EntryFilter) -> Iterator[list[EntryUse]]:
        """Yield what there is in order of use, never all at once: a catalog may be larger than the memory."""
        wanted = wanted.model_copy(update={"limit": _AT_ONCE})
        last: EntryUse | None = None
        while page := self._catalog.uses(wanted, last):
            yield page
            last = page[-1]


class _Sweeping:
    """Removes entries, some at a time, and keeps of them no more than the answer names.

    Args:
        catalog: The catalog.
        dry_run: Only count.
    """

    def __init__(self, catalog: Catalog, *, dry_run: bool) -> None:
        self._catalog = catalog
        self._dry_run = dry_run
        self._removed = 0
        self._bytes = 0
        self._named: list[CacheEntry] = []

    def remove(self, going: Sequence[CacheEntry | EntryUse]) -> None:
        """Remove some entries in one transaction."""
        if not going:
            return
        first = [each.key for each in going[: _NAMED - len(self._named)]]
        if first:
            found = self._catalog.find(first)
            self._named.extend(found[key] for key in first if key in found)
        self._removed += len(going) if self._dry_run else self._catalog.drop(going)
        self._bytes += sum(each.size for each in going)

    def swept(self, left: int, left_bytes: int) -> CacheSweep:
        """Return what was removed, and what stays."""
        return CacheSweep(
            removed=self._removed,
            removed_bytes=self._bytes,
            left=left,
            left_bytes=left_bytes,
            entries=tuple(self._named),
            dry_run=self._dry_run,
        )
