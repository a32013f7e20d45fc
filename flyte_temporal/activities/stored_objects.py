"""From outputs to a catalog entry: which objects they refer to, how large all of it is, and where the outputs stand.

Apart from `remembering` because it reads and writes the blob store, in a thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from flyte_temporal.errors import UnsupportedSpec
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.cache import CacheEntry, StoredObject, outputs_digest
from flyte_temporal.spec.contents import holds_reference, references_in
from flyte_temporal.spec.document import canonical_bytes, canonical_json, sha256_hex
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.literals import Composite, Inline, Joined, LiteralValue, Offloaded
from flyte_temporal.spec.lookup_calls import StoreItem
from flyte_temporal.spec.trees import Tree
from flyte_temporal.spec.types import ANY, ListType, LiteralType, MapType

ROW_BYTES = 64 * 1024
"""Outputs whose JSON is larger stand in the blob store, and only a reference in the row."""


def make_entry(
    blobs: BlobStore, execution: ExecutionId, item: StoreItem, interface: Interface, at: datetime
) -> CacheEntry:
    """Return the entry of a node's outputs.

    Args:
        blobs: Where outputs stand that are too large for a row, and the manifests of directories.
        execution: The execution that computed them.
        item: The node.
        interface: What its task takes and gives.
        at: Now, UTC.

    Raises:
        StorageError: If the blob store did not answer.
    """
    objects = _Objects(blobs)
    for variable in interface.outputs:
        if variable.name in item.outputs:
            objects.add(item.outputs[variable.name], variable.type)
    outputs, stored = item.outputs, None
    data = canonical_json({name: json.loads(canonical_bytes(value)) for name, value in outputs.items()})
    if len(data) > ROW_BYTES:
        sha256 = sha256_hex(data)
        stored = Offloaded(key=keys.blob(sha256), sha256=sha256, size=len(data))
        blobs.put_new(stored.key, data, sha256)
        objects.found[stored.key] = stored.size
        outputs = {}
    memo = item.memo
    return CacheEntry(
        key=memo.key,
        project=execution.project,
        domain=execution.domain,
        task=memo.task,
        version=memo.version,
        interface=memo.interface,
        inputs=memo.inputs,
        outputs=outputs,
        stored=stored,
        outputs_digest=outputs_digest(interface, item.outputs),
        execution=execution.name,
        node=item.node,
        attempt=item.attempt,
        attempt_key=item.attempt_key,
        objects=tuple(StoredObject(key=key, size=size) for key, size in sorted(objects.found.items())),
        size=sum(objects.found.values()) + (0 if stored else len(data)),
        created_at=at,
        last_used_at=at,
    )


class _Objects:
    """Objects by key, or by address where they are files of this machine outside of the store."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.found: dict[str, int] = {}

    def add(self, literal: LiteralValue, type_: LiteralType) -> None:
        written = literal.type or type_
        match literal:
            case Inline():
                self._add_value(literal.value, written)
            case Offloaded():
                self.found[literal.key] = literal.size
                whole = literal.whole or written
                if holds_reference(whole):
                    data = self._blobs.get(literal.key, literal.sha256)
                    self._add_value(None if data is None else json.loads(data), whole)
            case Composite():
                for part, kind in _parts(literal, written):
                    self.add(part, kind)
            case Joined():
                for part in literal.parts:
                    self.add(part, written)

    def _add_value(self, value: Any, type_: LiteralType) -> None:
        for reference in references_in(value, type_):
            self._add_reference(reference)

    def _add_reference(self, reference: Mapping[str, Any]) -> None:
        uri, size = str(reference.get("uri", "")), reference.get("size")
        key = self._blobs.key(uri)
        if key is None:
            # What is elsewhere is the author's; only on this disk is it cheap to look whether it is there.
            if urlsplit(uri).scheme == "file" and isinstance(size, int) and "files" not in reference:
                self.found[uri] = size
        elif "files" in reference and reference.get("sha256"):
            self._add_tree(key, str(reference["sha256"]))
        elif isinstance(size, int):
            self.found[key] = size

    def _add_tree(self, key: str, sha256: str) -> None:
        data = self._blobs.get(key, sha256)
        if data is None:
            return
        self.found[key] = len(data)
        try:
            tree = Tree.read(data)
        except UnsupportedSpec:
            return
        self.found.update((keys.blob(file.sha256), file.size) for file in tree.files)


def _parts(literal: Composite, written: LiteralType) -> Iterator[tuple[LiteralValue, LiteralType]]:
    element: LiteralType = ANY
    if isinstance(written, ListType):
        element = written.element
    elif isinstance(written, MapType):
        element = written.value
    for item in literal.items:
        yield item, element
