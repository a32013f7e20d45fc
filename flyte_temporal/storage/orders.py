"""Orders by way of the blob store: how an attempt reaches a container, which shares nothing else with its launcher.

The launcher leaves the order below the attempt's own key before it makes the container, and the reason of a stop before
it tells the container to stop; the runtime reads both. Apart from `scratch`, by which attempts on this machine agree with
their launchers over files and locks.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from flyte_temporal.errors import LauncherError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, Intent, StorageConfig
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.storage.blobs import open_store

STORAGE = "FLYTE_TEMPORAL_STORAGE"
"""Environment variable of a container: the `StorageConfig` as JSON. Credentials are never in it."""


def leave(store: BlobStore, order: AttemptOrder) -> str:
    """Store an order and return its key. Idempotent: the first one stands, whoever asks again.

    Raises:
        StorageError: If the store refused or did not answer.
    """
    key = keys.order(order.attempt)
    store.put_new(key, canonical_bytes(order))
    return key


def storage_of(environment: Mapping[str, str]) -> StorageConfig:
    """Return how the environment of a container says that the blob store is reached.

    Raises:
        LauncherError: If it does not say so.
    """
    given = environment.get(STORAGE, "")
    try:
        return StorageConfig.model_validate_json(given)
    except ValidationError as error:
        raise LauncherError(
            f"The environment variable {STORAGE} must hold how the blob store is reached, as JSON such as "
            f'{{"root": "s3://bucket/prefix"}}; it is {given!r}. Launchers set it.'
        ) from error


def read(key: str, storage: StorageConfig) -> AttemptOrder:
    """Return the order under a key; it reaches the blob store as its container does.

    Raises:
        LauncherError: If there is none.
        StorageError: If the store did not answer.
    """
    data = open_store(storage).get(key)
    if data is None:
        raise LauncherError(f"There is no order {key} in {storage.root}.")
    return AttemptOrder.read(data).model_copy(update={"storage": storage})


def request_stop(store: BlobStore, attempt: AttemptId, intent: Intent) -> None:
    """Leave a note that an attempt is being stopped, before it is told; the first intent stands.

    One that has not begun finds the note and does not begin any more.

    Raises:
        StorageError: If the store refused or did not answer.
    """
    store.put_new(keys.stop(attempt), intent.encode())


def stop_reason(store: BlobStore, attempt: AttemptId) -> Intent:
    """Return why an attempt is being stopped; `Intent.NONE` if nobody asked to stop it.

    Raises:
        StorageError: If the store did not answer.
    """
    found = store.get(keys.stop(attempt))
    if found is None:
        return Intent.NONE
    word = found.decode(errors="replace")
    # One of another release is still a request.
    return Intent(word) if word in {*Intent} and word else Intent.CANCEL
