"""The cache: what a node is remembered by, and the documents that travel with it. Pure.

A key is made by the interpreter, from the spec and from literals alone, so that it is the same wherever and whenever a
node comes to be run. What is in it, and what is not: docs/cache.md, docs/decisions/0038.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from flyte_temporal.spec.contents import content, holds_reference
from flyte_temporal.spec.document import Document, canonical_json, sha256_hex
from flyte_temporal.spec.entities import TaskSpec
from flyte_temporal.spec.identifiers import EntityName, ExecutionId, ExecutionName, NodePath, ProjectName
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.literals import LiteralValue, Offloaded
from flyte_temporal.spec.policies import CacheSettings

_FORM = "flyte_temporal.cache/1"
"""Part of each key. Changed when keys are made in another way, so that old entries are not found by chance."""


class CacheOrder(Document):
    """By what the outputs of a node are to be remembered.

    Args:
        key: Digest of all the rest; what entries are found by.
        task: Name of the task.
        version: Its cache version, with the salt.
        interface: Digest of the names and types that it takes and gives.
        inputs: Digest of its inputs, without those that are ignored.
        token: Of the lease under which it is computed; 0 if there is none.
        lease_s: How long that lease holds each time it is extended.
    """

    key: str
    task: EntityName
    version: str
    interface: str
    inputs: str
    token: int = 0
    lease_s: float = 0.0


class StoredObject(Document):
    """What remembered outputs refer to: they are good only as long as it is there.

    Args:
        key: Its key in the blob store, or its `file://` address if it is not there.
        size: Its size in bytes.
    """

    key: str
    size: int


class CacheEntry(Document):
    """Remembered outputs of a task.

    Args:
        key: What it is found by (`CacheOrder`).
        project: Whose it is.
        domain: Likewise.
        task: Name of the task.
        version: Its cache version.
        interface: Digest of its interface.
        inputs: Digest of its inputs.
        outputs: The outputs; empty if they are too large for a row and stand in `stored`.
        stored: Where the outputs stand as JSON, if they are too large.
        outputs_digest: Digest of the outputs, by content.
        execution: The execution that computed them.
        node: The node there.
        attempt: Number of the attempt.
        attempt_key: Its folder in the blob store.
        objects: What must exist for the outputs to be good.
        size: Bytes of outputs and objects together.
        created_at: When they were stored, UTC.
        last_used_at: When they were last hit, exact to the hour, UTC; at first when they were stored.
    """

    key: str
    project: ProjectName
    domain: ProjectName
    task: EntityName
    version: str
    interface: str
    inputs: str
    outputs: dict[str, LiteralValue] = {}
    stored: Offloaded | None = None
    outputs_digest: str = ""
    execution: ExecutionName
    node: NodePath
    attempt: int = 0
    attempt_key: str = ""
    objects: tuple[StoredObject, ...] = ()
    size: int = 0
    created_at: datetime
    last_used_at: datetime


class EntryUse(Document):
    """What making room has to know of an entry: without what was remembered, thousands of them are small.

    Args:
        key: As of the entry.
        attempt_key: Likewise, which with `created_at` tells it from a later one of the same key.
        size: Bytes of its outputs and objects together.
        created_at: When it was stored, UTC.
        last_used_at: When it was last hit, UTC.
    """

    key: str
    attempt_key: str
    size: int
    created_at: datetime
    last_used_at: datetime


class EntryFilter(Document):
    """Which entries are meant; what is not set does not matter.

    Args:
        project: Their project.
        domain: Their domain.
        key: Their key, or the beginning of it.
        task: Their task: its whole name, or the last part.
        execution: The execution that computed them.
        object: Key of an object that their outputs refer to.
        unused_since: Only those that were not hit since then, UTC.
        limit: At most so many; 0 = all.
    """

    project: ProjectName
    domain: ProjectName
    key: str = ""
    task: str = ""
    execution: str = ""
    object: str = ""
    unused_since: datetime | None = None
    limit: int = 0


class LeaseOwner(Document):
    """The node that computes something while others wait."""

    execution: ExecutionName
    node: NodePath


class Lease(Document):
    """The right to compute what a key stands for. `token` grows with each owner; an old one opens nothing any more."""

    key: str
    owner: LeaseOwner
    token: int


class Reservation(Document):
    """The answer to who asked for a lease.

    Args:
        token: Of the lease that was got; 0 if none was.
        holder: Who has it instead; None if it need not be waited for.
        again_s: In how many seconds that one's lease ends if it is not extended.
    """

    token: int = 0
    holder: LeaseOwner | None = None
    again_s: float = 0.0


FREE_AFTER = 3
"""Owners of a key that fail in a row before those who wait go on by themselves, each with a failure of its own at most:
a hundred that wait for a task which always fails must not fail one after the other."""

FORGIVEN_S = 600.0
"""After so long without an owner, failures of earlier ones no longer count."""

LEASE_KEPT_S = 7 * 24 * 3600.0
"""How long what is left of an ended lease stays, so that its token goes on growing for whoever may still hold an old one."""


class Recipe:
    """How the nodes of one task get their keys; made once for many nodes.

    Args:
        execution: Whose project and domain the entries belong to.
        task: The task.
        settings: Its cache settings, as the node has them.
    """

    def __init__(self, execution: ExecutionId, task: TaskSpec, settings: CacheSettings) -> None:
        self._task = task.name
        self._where = (execution.project, execution.domain)
        self._version = f"{settings.version}-{settings.salt}" if settings.salt else settings.version
        self._types = {
            v.name: (v.type, holds_reference(v.type))
            for v in task.interface.inputs
            if v.name not in settings.ignored_inputs
        }
        self._interface = interface_digest(task.interface)

    def order(self, inputs: Mapping[str, LiteralValue]) -> CacheOrder:
        """Return the key of a node with these inputs, and what it was made from."""
        parts = {
            name: content(inputs[name], type_, references=references)
            for name, (type_, references) in self._types.items()
            if name in inputs
        }
        digest = sha256_hex(canonical_json(parts))
        whole = [_FORM, *self._where, self._task, self._version, self._interface, digest]
        return CacheOrder(
            key=sha256_hex(canonical_json(whole)),
            task=self._task,
            version=self._version,
            interface=self._interface,
            inputs=digest,
        )


def interface_digest(interface: Interface) -> str:
    """Return the digest of the names and types of an interface; defaults and descriptions are not part of it."""
    sides = [
        [[v.name, v.type.model_dump(mode="json")] for v in side]
        for side in (interface.inputs, interface.outputs)
    ]
    return sha256_hex(canonical_json(sides))


def outputs_digest(interface: Interface, outputs: Mapping[str, LiteralValue]) -> str:
    """Return the digest of a task's outputs, by content, as a later node that gets them would see them."""
    parts = {
        v.name: content(outputs[v.name], v.type, references=holds_reference(v.type))
        for v in interface.outputs
        if v.name in outputs
    }
    return sha256_hex(canonical_json(parts))
