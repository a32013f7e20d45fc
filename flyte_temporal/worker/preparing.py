"""What an installation needs before its first worker: `python -m flyte_temporal.worker.preparing`.

A job of deploy/temporal runs it, with the workers' own settings and image, at each installation and upgrade: Temporal's
namespace, its search attributes, and the tables of the metadata store. Everything that is there already stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from datetime import timedelta

from temporalio.client import Client

from flyte_temporal.adapters.temporal.attributes import add_search_attributes
from flyte_temporal.adapters.temporal.connection import connect
from flyte_temporal.adapters.temporal.namespaces import ensure_namespace
from flyte_temporal.config.settings import Settings
from flyte_temporal.errors import FlyteTemporalError, PlatformUnavailable
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.worker.wiring import open_metadata

_log = logging.getLogger("flyte_temporal.preparing")

_PAUSE_S = 1.0


async def prepare(settings: Settings) -> None:
    """Make what is missing; any number of times, also at once.

    Args:
        settings: The environment of the workers.

    Raises:
        PlatformUnavailable: If Temporal or the metadata store does not answer in time, or refuses.
    """
    own = settings.temporal
    client = await connect(own, open_store(settings.storage.config()))
    new = await ensure_namespace(client, timedelta(days=own.retention_days))
    _log.info("Temporal's namespace %s %s", own.namespace, "is made" if new else "was there")
    await _add_attributes(client, own.connect_timeout_s)
    _log.info("It has our search attributes")
    open_metadata(settings).close()
    _log.info("The metadata store has its tables")


async def _add_attributes(client: Client, within_s: float) -> None:
    """Add the search attributes; each part of the server hears of a new namespace only after some seconds."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return await add_search_attributes(client)
        except PlatformUnavailable:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_PAUSE_S)


def main() -> int:
    """Prepare; return the exit code: 0, or 3 if a part of the platform is missing."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        asyncio.run(prepare(Settings.load()))
    except FlyteTemporalError as error:
        _log.error("%s", error)
        return 3
    return 0


if __name__ == "__main__":
    code = main()
    # Processes that used temporalio may crash at interpreter exit (temporal.md §0.10).
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)
