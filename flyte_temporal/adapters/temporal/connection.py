"""Connects to Temporal, patiently: a starting process waits for a server that is just coming up."""

from __future__ import annotations

import asyncio
import time

from temporalio.client import Client
from temporalio.service import GrpcCompression

from flyte_temporal.adapters.temporal.converter import data_converter
from flyte_temporal.config.settings import TemporalSettings
from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.ports.blob_store import BlobStore

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


async def connect(settings: TemporalSettings, blobs: BlobStore) -> Client:
    """Return a connected client.

    Args:
        settings: Address, namespace, and how long to wait.
        blobs: Where large payloads go.

    Raises:
        PlatformUnavailable: If the server did not answer in time.
    """
    deadline = time.monotonic() + settings.connect_timeout_s
    pause = _FIRST_PAUSE_S
    while True:
        try:
            return await Client.connect(
                settings.address,
                namespace=settings.namespace,
                data_converter=data_converter(blobs),
                grpc_compression=GrpcCompression.NONE,
            )
        except RuntimeError as error:
            if time.monotonic() > deadline:
                raise PlatformUnavailable(
                    f"Temporal did not answer at {settings.address} within {settings.connect_timeout_s:g} s: {error}. "
                    "Is the server running, and is the address right?"
                ) from error
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_S)
