"""`MemoryCatalog`: the catalog in dictionaries, under the contract suite of the real one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from flyte_temporal.spec.cache import (
    FORGIVEN_S,
    FREE_AFTER,
    LEASE_KEPT_S,
    CacheEntry,
    EntryFilter,
    EntryUse,
    Lease,
    LeaseOwner,
    Reservation,
)


@dataclass
class _Held:
    owner: LeaseOwner
    token: int
    until: float
    failures: int = 0


class MemoryCatalog:
    """Keeps everything in this process; safe for threads.

    Args:
        clock: Seconds that only grow.
    """

    quick = True

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, CacheEntry] = {}
        self._leases: dict[str, _Held] = {}
        self._waiting: dict[str, set[str]] = {}

    def find(self, keys: Collection[str]) -> dict[str, CacheEntry]:
        """Return the entries that there are, by key."""
        with self._lock:
            return {key: self._entries[key] for key in keys if key in self._entries}

    def used(self, keys: Collection[str], at: datetime) -> None:
        """Note that entries were hit."""
        with self._lock:
            for key in keys:
                if key in self._entries:
                    self._entries[key] = self._entries[key].model_copy(update={"last_used_at": at})

    def put(self, entries: Sequence[tuple[CacheEntry, Lease | None]]) -> list[bool]:
        """Store entries; see the port."""
        with self._lock:
            return [self._put(entry, lease) for entry, lease in entries]

    def _put(self, entry: CacheEntry, lease: Lease | None) -> bool:
        if lease is not None:
            held = self._leases.get(lease.key)
            if not _is_of(held, lease):
                return False
            held.until, held.failures = self._clock(), 0  # type: ignore[union-attr]
        self._entries[entry.key] = entry
        return True

    def drop(self, entries: Sequence[CacheEntry | EntryUse]) -> int:
        """Remove entries, unless others have taken their place."""
        with self._lock:
            mine = [e.key for e in entries if _same(self._entries.get(e.key), e)]
            for key in mine:
                del self._entries[key]
            return len(mine)

    def reserve(self, keys: Sequence[str], owners: Sequence[LeaseOwner], lease_s: float) -> list[Reservation]:
        """Ask for a lease on each key; see the port."""
        with self._lock:
            return [self._reserve(key, owner, lease_s) for key, owner in zip(keys, owners, strict=True)]

    def _reserve(self, key: str, owner: LeaseOwner, lease_s: float) -> Reservation:
        now, held = self._clock(), self._leases.get(key)
        if held is None or held.until <= now or held.owner == owner:
            token = held.token + 1 if held is not None else 1
            failures = held.failures if held is not None and held.until > now - FORGIVEN_S else 0
            self._leases[key] = _Held(owner, token, now + lease_s, failures)
            return Reservation(token=token)
        if held.failures >= FREE_AFTER:
            return Reservation()
        self._waiting.setdefault(key, set()).add(owner.execution)
        return Reservation(holder=held.owner, again_s=held.until - now)

    def extend(self, lease: Lease, lease_s: float) -> bool:
        """Let a lease hold for longer."""
        with self._lock:
            held = self._leases.get(lease.key)
            if held is None or not _is_of(held, lease):
                return False
            held.until = self._clock() + lease_s
            return True

    def release(self, leases: Sequence[Lease], *, failed: bool) -> None:
        """End leases without an entry."""
        with self._lock:
            for lease in leases:
                held = self._leases.get(lease.key)
                if held is not None and _is_of(held, lease):
                    held.until = self._clock()
                    held.failures += failed

    def take_waiting(self, keys: Collection[str]) -> dict[str, list[str]]:
        """Return, by the name of their execution, the keys for which others wait, and forget that they do."""
        found: dict[str, list[str]] = {}
        with self._lock:
            for key in keys:
                for execution in sorted(self._waiting.pop(key, ())):
                    found.setdefault(execution, []).append(key)
        return found

    def forget_leases(self) -> int:
        """Forget leases that ended long ago, and who waited for them."""
        with self._lock:
            old = [key for key, held in self._leases.items() if held.until < self._clock() - LEASE_KEPT_S]
            for key in old:
                del self._leases[key]
                self._waiting.pop(key, None)
            return len(old)

    def entries(self, wanted: EntryFilter) -> list[CacheEntry]:
        """Return entries, the most recently used first."""
        return self._in_order(wanted)[: wanted.limit or None]

    def uses(self, wanted: EntryFilter, after: EntryUse | None = None) -> list[EntryUse]:
        """Return what `entries` does, without outputs and objects; see the port."""
        found = [entry for entry in self._in_order(wanted) if after is None or _rank(entry) > _rank(after)]
        return [_use(entry) for entry in found[: wanted.limit or None]]

    def _in_order(self, wanted: EntryFilter) -> list[CacheEntry]:
        with self._lock:
            return sorted((e for e in self._entries.values() if _matches(e, wanted)), key=_rank)


def _use(entry: CacheEntry) -> EntryUse:
    return EntryUse(**{name: getattr(entry, name) for name in EntryUse.model_fields})


def _rank(entry: CacheEntry | EntryUse) -> tuple[float, str]:
    return -entry.last_used_at.timestamp(), entry.key


def _is_of(held: _Held | None, lease: Lease) -> bool:
    return held is not None and (held.owner, held.token) == (lease.owner, lease.token)


def _same(found: CacheEntry | None, entry: CacheEntry | EntryUse) -> bool:
    return found is not None and (found.attempt_key, found.created_at) == (
        entry.attempt_key,
        entry.created_at,
    )


def _matches(entry: CacheEntry, wanted: EntryFilter) -> bool:
    return (
        (entry.project, entry.domain) == (wanted.project, wanted.domain)
        and entry.key.startswith(wanted.key)
        and (not wanted.task or entry.task == wanted.task or entry.task.endswith(f".{wanted.task}"))
        and (not wanted.execution or entry.execution == wanted.execution)
        and (not wanted.object or wanted.object in {stored.key for stored in entry.objects})
        and (wanted.unused_since is None or entry.last_used_at < wanted.unused_since)
    )
