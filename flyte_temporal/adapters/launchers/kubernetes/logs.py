"""`PodLogs`: what containers without our runtime print, from the cluster's API into the blob store, while they run.

One request for each log, which stays open until its container has ended; a log has one writer, this worker. It is a
convenience: nothing here ever fails an attempt, and what cannot be read holds one up for a bounded time only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from flyte_temporal.adapters.launchers.kubernetes.api import LOGS_FOLLOWED, LOGS_READ, ApiFailure
from flyte_temporal.adapters.launchers.kubernetes.entries import Entry
from flyte_temporal.adapters.launchers.kubernetes.looks import Look
from flyte_temporal.adapters.launchers.kubernetes.stamps import Lines
from flyte_temporal.errors import StorageError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.storage.logs import CHUNK_BYTES, INTERVAL_S
from flyte_temporal.storage.streamed_logs import StreamedLog

T = TypeVar("T")

_log = logging.getLogger(__name__)

_PIECE = 256 * 1024
_HELD = 32 * 1024 * 1024
"""What is held of all logs of a cluster in memory, before more of them is read; but so much more that each may hold `_PIECE`."""
_THREADS = 4
"""A store that stalls must not take the threads in which claims and orders are written."""
_FIRST_S = 1.0
_MOST_S = 30.0
_LINGER_S = 3.0
"""How long a stream may be silent that the end of its container should have ended."""
_IDLE_S = 10.0
"""How long the end of an attempt waits for a log of which nothing comes."""
_WAIT_S = 60.0
"""How long it waits for one of which much comes."""
_WORDS_S = 2.0


@dataclass
class Lanes:
    """Who may read at once on a cluster.

    Args:
        followed: Places for containers that run.
        read: Places for those that have ended.
        at_once: How many have a place.
    """

    followed: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOGS_FOLLOWED))
    read: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOGS_READ))
    at_once: int = 0

    @property
    def piece(self) -> int:
        """How much of a log is stored at once: the more, the sooner it is read, before its node puts it away."""
        return max(_PIECE, min(CHUNK_BYTES, _HELD // max(1, self.at_once)))


class PodLogs:
    """Readers of logs.

    Args:
        blobs: The blob store.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._lanes: dict[str, Lanes] = {}
        self._readers: dict[str, _Reader] = {}
        self._threads: ThreadPoolExecutor | None = None

    def look(self, entry: Entry, found: Look) -> None:
        """Begin to read once there may be something to read; short pods are never seen running."""
        if entry.order.task.container is None or not (found.running or found.exit_code is not None):
            return
        key = entry.attempt.key
        reader = self._readers.get(key)
        if reader is None:
            self._threads = self._threads or ThreadPoolExecutor(_THREADS, thread_name_prefix="pod-logs")
            lanes = self._lanes.setdefault(entry.cluster.name, Lanes())
            reader = self._readers[key] = _Reader(entry, StreamedLog(self._blobs, key), lanes, self._threads)
        if found.exit_code is not None or found.over:
            reader.ended.set()

    async def finish(self, entry: Entry) -> int:
        """Wait for the end of the log of a container that has ended; return the number of its chunks.

        Whatever is in the way, it comes back soon, and says in the log what is missing there.
        """
        reader = self._readers.get(entry.attempt.key)
        return await reader.finish() if reader is not None else 0

    def drop(self, attempt_key: str) -> None:
        """Forget the log of an attempt whose result has been committed."""
        reader = self._readers.pop(attempt_key, None)
        if reader is not None:
            reader.task.cancel()

    async def close(self) -> None:
        """Let go of all logs; another worker goes on with them."""
        tasks = [reader.task for reader in self._readers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._readers.clear()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


class _Reader:
    """Reads one log.

    Args:
        entry: Whose.
        log: Where it goes.
        lanes: For a place among those who read.
        threads: In which it is stored.
    """

    def __init__(self, entry: Entry, log: StreamedLog, lanes: Lanes, threads: ThreadPoolExecutor) -> None:
        self._entry = entry
        self._out = log
        self._lanes = lanes
        self._threads = threads
        self._container = entry.primary
        self._lines = Lines()
        self._due = 0.0
        """When what waits is to be stored."""
        self._moved_at = time.monotonic()
        self._got = False
        self._queued = False
        self._why = "nothing was heard of it"
        self.ended = asyncio.Event()
        self.task = asyncio.create_task(self._run_safely(), name=f"log of {entry.attempt.label}")

    async def finish(self) -> int:
        """Wait for the end; see `PodLogs.finish`."""
        self.ended.set()
        end = time.monotonic() + _WAIT_S
        self._moved_at = time.monotonic()
        while not self.task.done():
            now = time.monotonic()
            idle_s = 0.0 if self._queued else now - self._moved_at
            if now >= end or idle_s >= _IDLE_S:
                self.task.cancel()
                await asyncio.gather(self.task, return_exceptions=True)
                await self._say(f"the rest of this log could not be read in time: {self._why}")
                break
            await asyncio.wait((self.task,), timeout=min(end - now, _IDLE_S - idle_s))
        return self._out.chunks

    async def _run_safely(self) -> None:
        try:
            await self._run()
        except Exception:  # noqa: BLE001 - a log that nobody can read is no reason to fail
            _log.exception("The log of %s is not read", self._entry.attempt.label)

    async def _run(self) -> None:
        place = await self._stored(self._out.resume)
        self._lines = Lines(place.nanos, place.taken)
        pause_s = _FIRST_S
        while not self._out.over:
            self._got, began = False, time.monotonic()
            try:
                async with self._turn():
                    whole = await self._read()
            except ApiFailure as failure:
                self._why = str(failure)
                if (words := self._hopeless(failure)) is not None:
                    await self._flush()
                    await self._say(words)
                    return
                await self._rest(min(_MOST_S, failure.retry_after_s or pause_s))
            else:
                if whole and not self.ended.is_set():
                    # The news of its end is on its way; or something between here and there was replaced.
                    await self._rest(pause_s)
                if whole and self.ended.is_set():
                    break
            # One that stood for long was good, though its container said nothing.
            good = self._got or time.monotonic() - began > 2 * _MOST_S
            pause_s = _FIRST_S if good else min(_MOST_S, pause_s * 2)
        await self._flush()

    def _hopeless(self, failure: ApiFailure) -> str | None:
        """Return what to say of a log that will never be read, if so."""
        if failure.status == 403:
            words = (
                f"this log cannot be read: the worker lacks the right to `get` `pods/log` in {self._entry.namespace}; an "
                "operator has to grant it (deploy/k8s/domain/access.yaml)"
            )
            _log.warning("%s: %s", self._entry.attempt.label, words)
            return words
        if self.ended.is_set() and failure.status in {400, 404}:
            return f"the rest of this log is gone with its pod: {failure.message}"
        return None

    async def _read(self) -> bool:
        """Read on until the stream ends; return False if it was cut, because it should have ended and has not."""
        follow, lines = not self.ended.is_set(), Lines(self._lines.nanos, self._lines.taken)
        self._lines = lines
        entry = self._entry
        stream = entry.cluster.api.log(
            entry.namespace, entry.name, self._container, lines.since, follow=follow
        )
        over = asyncio.ensure_future(self.ended.wait())
        next_ = asyncio.ensure_future(_next(stream))
        try:
            while True:
                # What is heard from now on counts from the end: it may have been silent for long before.
                waits = {next_} if over.done() else {next_, over}
                done, _ = await asyncio.wait(
                    waits, timeout=self._patience_s(over.done() and follow), return_when=FIRST_COMPLETED
                )
                if over in done and follow:
                    self._moved_at = time.monotonic()
                if next_ in done:
                    data = next_.result()
                    if data is None:
                        self._take(lines.end())
                        return True
                    self._got = True
                    self._take(lines.feed(data))
                    next_ = asyncio.ensure_future(_next(stream))
                elif over.done() and follow and time.monotonic() - self._moved_at >= _LINGER_S:
                    return False
                if self._out.pending >= self._lanes.piece or (
                    self._out.pending and time.monotonic() >= self._due
                ):
                    await self._flush()
                    if self._out.over:
                        return True
        finally:
            over.cancel()
            next_.cancel()
            await asyncio.gather(over, next_, return_exceptions=True)
            await stream.aclose()

    def _patience_s(self, lingers: bool) -> float | None:  # noqa: FBT001 - of its one caller
        now = time.monotonic()
        ends = [self._due] if self._out.pending else []
        ends += [self._moved_at + _LINGER_S] if lingers else []
        return max(0.0, min(ends) - now) if ends else None

    def _take(self, text: bytes) -> None:
        self._moved_at = time.monotonic()
        if text and not self._out.pending:
            self._due = self._moved_at + INTERVAL_S
        self._out.add(text)

    async def _flush(self) -> None:
        await self._stored(lambda: self._out.flush(self._lines.nanos, self._lines.taken))

    async def _stored(self, work: Callable[[], T]) -> T:
        """Do something in the store, as often as it takes."""
        pause_s = _FIRST_S
        while True:
            try:
                done = await asyncio.get_running_loop().run_in_executor(self._threads, work)
            except StorageError as error:
                self._why = str(error)
                await self._rest(pause_s)
                pause_s = min(_MOST_S, pause_s * 2)
            else:
                self._moved_at = time.monotonic()
                return done

    async def _say(self, words: str) -> None:
        """Store a last line; a store that is away is not waited for."""
        with suppress(StorageError, TimeoutError):
            async with asyncio.timeout(_WORDS_S):
                await asyncio.get_running_loop().run_in_executor(self._threads, self._out.end, words)

    async def _rest(self, seconds: float) -> None:
        """Wait; the end of the container is a reason to look at once, and from then on soon."""
        if self.ended.is_set():
            await asyncio.sleep(min(seconds, _FIRST_S))
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ended.wait()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Have a place among those who read; that of those who follow is not waited for after the end."""
        place, began = self._lanes.followed, time.monotonic()
        self._queued = True
        try:
            if not await self._got_in(place):
                place = self._lanes.read
                await place.acquire()
        finally:
            self._queued = False
        # That others are before it is no reason to give it up; that its tries lead to nothing is.
        self._moved_at += time.monotonic() - began
        self._lanes.at_once += 1
        try:
            yield
        finally:
            self._lanes.at_once -= 1
            place.release()

    async def _got_in(self, place: asyncio.Semaphore) -> bool:
        """Take a place among those who follow; return False if the container has ended before there was one."""
        if self.ended.is_set():
            return False
        taking, over = asyncio.ensure_future(place.acquire()), asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait((taking, over), return_when=FIRST_COMPLETED)
        finally:
            over.cancel()
            taking.cancel()
            await asyncio.gather(taking, over, return_exceptions=True)
            got = not taking.cancelled()
        return got


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    return await anext(stream, None)
