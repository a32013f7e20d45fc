"""Where things stand in the blob store. Keys are made here from checked ids only, never from user text."""

from __future__ import annotations

from flyte_temporal.spec.identifiers import AttemptId, ExecutionId


def blob(sha256: str) -> str:
    """Return the key of content-addressed data."""
    return f"blobs/sha256/{sha256[:2]}/{sha256}"


def digest_in(key: str) -> str:
    """Return the digest that a key of content-addressed data says; empty for other keys."""
    return key.rpartition("/")[2] if key.startswith("blobs/sha256/") else ""


def closure(sha256: str) -> str:
    """Return the key of a compiled closure."""
    return f"specs/sha256/{sha256}.json"


def bundle(sha256: str) -> str:
    """Return the key of a code bundle."""
    return f"bundles/sha256/{sha256}.tar.gz"


def payload(sha256: str) -> str:
    """Return the key of a payload that was too large for Temporal's history."""
    return f"payloads/sha256/{sha256[:2]}/{sha256}"


def manifest(attempt: AttemptId) -> str:
    """Return the key of an attempt's manifest."""
    return manifest_of(attempt.key)


def manifest_of(attempt_key: str) -> str:
    """Return the key of the manifest of an attempt that is known by its folder."""
    return f"{attempt_key}/manifest.json"


def order(attempt: AttemptId) -> str:
    """Return the key of an attempt's order, for attempts in containers."""
    return f"{attempt.key}/order.json"


def stop(attempt: AttemptId) -> str:
    """Return the key of the note that an attempt in a container is being stopped."""
    return f"{attempt.key}/stop"


def staged(attempt: AttemptId) -> str:
    """Return the key of a manifest that counts only when somebody knows how the attempt's container ended."""
    return f"{attempt.key}/staged.json"


def deck(attempt_key: str) -> str:
    """Return the key of an attempt's deck."""
    return f"{attempt_key}/deck.html"


def claim(attempt: AttemptId) -> str:
    """Return the key of who may run an attempt in a container: whoever creates it, and nobody else ever."""
    return f"{attempt.key}/claim.json"


def log_prefix(attempt_key: str) -> str:
    """Return the folder of an attempt's log chunks."""
    return f"{attempt_key}/logs"


def log_chunk(attempt_key: str, number: int) -> str:
    """Return the key of one log chunk; numbers count from 0 without gaps."""
    return f"{log_prefix(attempt_key)}/{number:06d}.log"


def log_place(attempt_key: str) -> str:
    """Return the key of how far a log is stored that workers read as a stream (`storage.streamed_logs`)."""
    return f"{log_prefix(attempt_key)}/place.json"


def attempts_prefix(execution: ExecutionId, node: str) -> str:
    """Return the folder that holds all attempts of a node; `AttemptId.key` lies below it."""
    return f"attempts/{execution.project}/{execution.domain}/{execution.name}/{node}"


CHECKPOINTS = "checkpoints/"
"""What the keys of all checkpoints begin with: stores may keep them more carefully than what is made again anyway."""


def checkpoints(execution: ExecutionId, node: str) -> str:
    """Return the folder of a node's checkpoints; all its attempts share it."""
    return f"{CHECKPOINTS}{execution.project}/{execution.domain}/{execution.name}/{node}"
