"""Orders by way of the blob store: how an attempt reaches a container, which shares nothing else with its launcher.

The launcher leaves the order below the attempt's own key before it makes the container, and the reason of a stop before
it tells the container to stop; the runtime reads both. Apart from `scratch`, by which attempts on this machine agree with
their launchers over files and locks.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping

from pydantic import ValidationError

from flyte_temporal.errors import LauncherError
from flyte_temporal.ports.blob_store import BlobStore, Put
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, Claim, Intent, StorageConfig
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.storage.blobs import open_store

STORAGE = "FLYTE_TEMPORAL_STORAGE"
"""Environment variable of a container: the `StorageConfig` as JSON. Credentials are never in it."""

ECHO = "FLYTE_TEMPORAL_ECHO"
"""Environment variable of a container on whose own output somebody wants to read what its task prints (`kubectl logs`)."""


def leave(store: BlobStore, order: AttemptOrder) -> str:
    """Store an order and return its key. Idempotent: the first one stands, whoever asks again.

    Raises:
        StorageError: If the store refused or did not answer.
    """
    leave_new(store, order)
    return keys.order(order.attempt)


def leave_new(store: BlobStore, order: AttemptOrder) -> bool:
    """Store an order as `leave` does; return whether there was none, so that nobody can have begun it."""
    return store.put_new(keys.order(order.attempt), canonical_bytes(order)) is Put.CREATED


def claim(store: BlobStore, wanted: Claim) -> Claim:
    """Claim an attempt for a container, or for nobody, before it begins; return whose claim stands: only one ever does.

    Raises:
        StorageError: If the store refused or did not answer.
    """
    key = keys.claim(wanted.attempt)
    if store.put_new(key, canonical_bytes(wanted)) is Put.CONFLICT:
        return claimed(store, wanted.attempt) or wanted
    return wanted


def begin(store: BlobStore, attempt: AttemptId) -> str:
    """Claim an attempt for this container, before anything of the user's runs; return why it may not run here, if so.

    Raises:
        StorageError: If the store refused or did not answer.
    """
    mine = Claim(attempt=attempt, by=f"{socket.gethostname()}/{secrets.token_hex(8)}")
    standing = claim(store, mine)
    if standing == mine:
        return ""
    who = f"{standing.by} runs or ran it" if standing.began else "it was stopped before it began"
    return f"Attempt {attempt.label} is not run here: {who}."


def claimed(store: BlobStore, attempt: AttemptId) -> Claim | None:
    """Return whose claim on an attempt stands; None if it has not begun.

    Raises:
        StorageError: If the store did not answer.
    """
    data = store.get(keys.claim(attempt))
    return Claim.read(data) if data is not None else None


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
