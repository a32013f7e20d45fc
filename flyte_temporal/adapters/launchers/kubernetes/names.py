"""Names, labels and annotations of what we make on a cluster. Pure: all of it follows from the attempt's id.

So whoever looks for an attempt's pod knows its name, and nobody ever searches for one.
"""

from __future__ import annotations

import hashlib
import re

from flyte_temporal.spec.identifiers import AttemptId, ExecutionId

PREFIX = "flyte-temporal/"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "flyte-temporal"
ATTEMPT = f"{PREFIX}attempt"
EXECUTION = f"{PREFIX}execution"
PROJECT = f"{PREFIX}project"
DOMAIN = f"{PREFIX}domain"
SHARD = f"{PREFIX}shard"
INSTALLATION = f"{PREFIX}installation"
"""Label with whose an object is: workers of several installations may have pods in one namespace."""
SPOT = f"{PREFIX}interruptible"
SPEC_HASH = f"{PREFIX}spec-hash"
"""Annotation with a digest of the pod's specification, for people who compare two pods; whose a pod is, `KEY` says (0061)."""
KEY = f"{PREFIX}attempt-key"
"""Annotation with the attempt's key: its whole identity, which no label can hold."""
PRIMARY = "primary"
"""Name of the container that runs the task, unless a template names another."""

_NAME = 63


def pod_name(attempt: AttemptId) -> str:
    """Return the name of an attempt's pod: execution and node for people, a digest of the attempt's key, its number."""
    slug = _slug(attempt.node)[-20:].strip("-") or "n"
    return f"{_first(attempt.execution)}-{slug}-{_digest(attempt.key)}-{attempt.number}"[:_NAME].rstrip("-")


def installation_of(root: str) -> str:
    """Return how the objects of an installation are marked: by the root of its blob store, which all its workers have."""
    return _digest(root.rstrip("/"))


def owner_name(execution: ExecutionId, installation: str = "") -> str:
    """Return the name of the object to which all pods of an execution belong; two installations may have one of each name."""
    whole = f"{installation}/{_of(execution)}" if installation else _of(execution)
    return f"{_first(execution)}-{_digest(whole)}"


def shard_of(execution: ExecutionId, shards: int) -> int:
    """Return in which part of the pods those of an execution are."""
    return int(hashlib.sha256(_of(execution).encode()).hexdigest()[:8], 16) % shards


def execution_labels(execution: ExecutionId, installation: str = "") -> dict[str, str]:
    """Return the labels of everything that belongs to an execution."""
    mark = {INSTALLATION: installation} if installation else {}
    return {
        **mark,
        MANAGED_BY: MANAGER,
        PROJECT: label(execution.project),
        DOMAIN: label(execution.domain),
        EXECUTION: label(execution.name),
    }


def pod_labels(attempt: AttemptId, shards: int, installation: str = "") -> dict[str, str]:
    """Return the labels of an attempt's pod."""
    return {
        **execution_labels(attempt.execution, installation),
        ATTEMPT: _digest(attempt.key),
        SHARD: str(shard_of(attempt.execution, shards)),
    }


def selector(shards: int, shard: int) -> str:
    """Return which pods belong to a part."""
    return f"{MANAGED_BY}={MANAGER}" + (f",{SHARD}={shard}" if shards > 1 else "")


def label(text: str) -> str:
    """Return a text as the value of a label; one that has to be cut gets a digest, so that two stay two."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]", "-", text).strip("._-")
    if cleaned == text and len(text) <= _NAME:
        return text
    return f"{cleaned[:50].rstrip('._-')}-{_digest(text)}".lstrip("-")


def _first(execution: ExecutionId) -> str:
    return _slug(execution.name)[:8].strip("-") or "x"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _of(execution: ExecutionId) -> str:
    return f"{execution.project}/{execution.domain}/{execution.name}"
