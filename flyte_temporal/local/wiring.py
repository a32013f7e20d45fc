"""Picks adapters and joins them to the use cases. The imports here are the heavy ones: 2 s on a slow machine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from flyte_temporal.adapters.store.sql import SqlMetadataStore
from flyte_temporal.adapters.temporal.attributes import add_search_attributes
from flyte_temporal.adapters.temporal.connection import connect
from flyte_temporal.adapters.temporal.engine import TemporalEngine
from flyte_temporal.config.settings import Settings
from flyte_temporal.control.usecases import Control, Ports
from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.local.stack import Stack
from flyte_temporal.ports.clock import SystemClock
from flyte_temporal.storage.blobs import open_store

_LOOK_S = 0.05


@dataclass(frozen=True)
class Wired:
    """The use cases, and the store that must be closed after them."""

    control: Control
    store: SqlMetadataStore


async def wire(stack: Stack) -> Wired:
    """Return the use cases, connected.

    Args:
        stack: Its server may still be coming up.

    Raises:
        PlatformUnavailable: If the metadata store or Temporal cannot be used.
    """
    settings = Settings.load()
    store = SqlMetadataStore(
        settings.metadata.url,
        synchronous=settings.metadata.durability,
        busy_timeout_s=settings.metadata.busy_timeout_s,
    )
    store.upgrade()
    blobs = open_store(settings.storage.config())
    connecting = asyncio.create_task(connect(settings.temporal, blobs))
    try:
        await _unless_it_dies(connecting, stack)
        client = await connecting
        await add_search_attributes(client)
    finally:
        connecting.cancel()
    engine = TemporalEngine(client, settings.temporal.task_queue, settings.temporal.task_timeout_s)
    return Wired(Control(Ports(engine, store, blobs, SystemClock(), store.catalog), settings), store)


async def _unless_it_dies(connecting: asyncio.Task[object], stack: Stack) -> None:
    """Wait for the connection, but not for a server that cannot start: a taken port, a damaged database."""
    server = stack.children.get("temporal")
    while not connecting.done():
        if server is not None and server.failing:
            raise PlatformUnavailable(
                f"The Temporal server does not start. {server.problem} Its last words: {server.output(600)}"
            )
        await asyncio.wait([connecting], timeout=_LOOK_S)
