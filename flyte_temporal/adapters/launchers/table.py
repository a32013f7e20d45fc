"""`Table`: the attempts that a launcher knows, as long as anybody asks about them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Protocol, TypeVar

KEPT_S = 600.0
"""How long an attempt that is over is known without being asked for: longer than whoever has seen its end waits for a
store that does not answer, before he releases it."""

_PAUSE_S = 60.0
"""Pause between two looks through the table."""


class _Attempt(Protocol):
    @property
    def over(self) -> asyncio.Future[Any]:
        """Set when the attempt is over."""


E = TypeVar("E", bound=_Attempt)


class Table(MutableMapping[str, E]):
    """Entries of attempts by key. Who releases an attempt takes it out; what another worker releases, nobody does here.

    Temporal gives an attempt at work to another worker (its heartbeats were lost, its run was continued as new), and only
    that one sees it to its end. So what is over, and was not asked for since a while, is forgotten. That costs nothing: a
    launcher that does not know an attempt finds out about it in the same way as one that never did.

    Args:
        forget: Is told of each entry that is forgotten, for what else a launcher keeps of it.
        clock: Seconds that only grow.
    """

    def __init__(
        self, forget: Callable[[E], None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._forget, self._clock = forget, clock
        self._entries: dict[str, E] = {}
        self._asked: dict[str, float] = {}
        """When each was asked for last."""
        self._next = clock() + _PAUSE_S

    def __getitem__(self, key: str) -> E:
        entry = self._entries[key]
        self._asked[key] = self._clock()
        return entry

    def __setitem__(self, key: str, entry: E) -> None:
        self._look_through()
        self._entries[key], self._asked[key] = entry, self._clock()

    def __delitem__(self, key: str) -> None:
        del self._entries[key], self._asked[key]

    def __contains__(self, key: object) -> bool:
        # Sweeps of what is left behind ask this of everything they find: no sign that somebody needs it.
        self._look_through()
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _look_through(self) -> None:
        now = self._clock()
        if now < self._next:
            return
        self._next = now + _PAUSE_S
        old = [key for key, asked in self._asked.items() if now - asked >= KEPT_S]
        for key in old:
            entry = self._entries[key]
            if entry.over.done():
                del self[key]
                if self._forget is not None:
                    self._forget(entry)
