"""`Catalog`: remembered outputs by key, and leases on keys that are being computed. Synchronous; callers use threads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from flyte_temporal.spec.cache import CacheEntry, EntryFilter, EntryUse, Lease, LeaseOwner, Reservation


class Catalog(Protocol):
    """Entries of all projects. Keys hold project and domain, so that no project finds what another one stored.

    Leases are judged by the clock of the store, never by that of a caller. Every method raises `PlatformUnavailable` if
    the store does not answer.
    """

    quick: bool
    """Whether a few entries are found within a millisecond (a local file), so that an event loop may do it itself: to
    wait for a thread costs more, and several times as much on a busy machine."""

    def find(self, keys: Collection[str]) -> dict[str, CacheEntry]:
        """Return the entries that there are, by key."""

    def used(self, keys: Collection[str], at: datetime) -> None:
        """Note that entries were hit."""

    def put(self, entries: Sequence[tuple[CacheEntry, Lease | None]]) -> list[bool]:
        """Store entries, each replacing an older one of its key; a lease ends with it, as a success.

        Returns:
            For each whether it was stored; not so if it was computed under a lease that somebody else has taken over.
        """

    def drop(self, entries: Sequence[CacheEntry | EntryUse]) -> int:
        """Remove entries, unless others have taken their place by now; return how many were removed."""

    def reserve(self, keys: Sequence[str], owners: Sequence[LeaseOwner], lease_s: float) -> list[Reservation]:
        """Ask for a lease on each key; a holder that asks again gets a new token, so that its older self is fenced off.

        Whoever gets none is noted as one that waits, see `release`. A key whose last owners have all failed is free for
        all: who asks while somebody else holds it gets no lease and need not wait.

        Args:
            keys: What is to be computed.
            owners: By whom, one for each key.
            lease_s: How long a lease holds unless it is extended.
        """

    def extend(self, lease: Lease, lease_s: float) -> bool:
        """Let a lease hold from now on; return whether it is the one on its key.

        One that has run out is, as long as nobody else has taken the key: more nodes may be given leases than may be at work.
        """

    def release(self, leases: Sequence[Lease], *, failed: bool) -> None:
        """End leases without an entry, if they still are the ones on their keys."""

    def take_waiting(self, keys: Collection[str]) -> dict[str, list[str]]:
        """Return, by the name of their execution, the keys for which others wait, and forget that they do."""

    def forget_leases(self) -> int:
        """Forget leases that ended longer than `LEASE_KEPT_S` ago, and who waited for them; return how many they were."""

    def entries(self, wanted: EntryFilter) -> list[CacheEntry]:
        """Return entries, the most recently used first."""

    def uses(self, wanted: EntryFilter, after: EntryUse | None = None) -> list[EntryUse]:
        """Return what `entries` does, without outputs and objects, so that all of them can be gone through in pages.

        Args:
            wanted: Which; its `limit` is the length of a page.
            after: The last one of the page before. It need not be there any more.
        """
