"""An event loop in a thread, on which the synchronous client runs the asynchronous one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class BackgroundLoop:
    """Started by its first use. The thread is a daemon: a script need not close its client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result. Ctrl-C in the calling thread cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._running())
        try:
            return future.result()
        except BaseException:
            if future.cancel():
                with contextlib.suppress(concurrent.futures.CancelledError):
                    future.result(timeout=1.0)
            raise

    def begin(self, work: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine without waiting for it; how it ends is of no interest."""
        future = asyncio.run_coroutine_threadsafe(work, self._running())
        future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def iterate(self, work: AsyncGenerator[T, None]) -> Iterator[T]:
        """Yield what an asynchronous generator yields, and close it in any case."""

        async def following() -> list[T]:
            # A list instead of StopAsyncIteration, which may not pass through a future.
            return [item async for item in _first(work)]

        async def close() -> None:
            await work.aclose()

        try:
            while got := self.run(following()):
                yield got[0]
        finally:
            self.run(close())

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="flyte-temporal client", daemon=True
                )
                self._thread.start()
            return self._loop


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _first(work: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    with contextlib.suppress(StopAsyncIteration):
        yield await work.__anext__()
