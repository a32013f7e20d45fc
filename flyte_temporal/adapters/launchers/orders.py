"""Orders as JSON, written fast: the task and the environment, which are most of an order, are the same for many attempts."""

from __future__ import annotations

from collections import OrderedDict

from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.document import Document

_KEPT = 256


class OrderWriter:
    """Writes orders; remembers how the last tasks, environments and stores were written."""

    def __init__(self) -> None:
        # By identity: documents are frozen, and comparing them costs as much as writing them. The document itself is
        # kept, so that its identity is not given to another one.
        self._written: OrderedDict[int, tuple[Document, bytes]] = OrderedDict()

    def write(self, order: AttemptOrder) -> tuple[bytes, slice]:
        """Return an order as JSON in one line, and where in it the task stands."""
        task = self._part(order.task)
        shared = (
            b',"environment":' + self._part(order.environment) + b',"storage":' + self._part(order.storage)
        )
        rest = order.model_dump_json(exclude={"task", "environment", "storage"}).encode()
        start = len(rest) + len(shared) + len(b',"task":') - 1
        return rest[:-1] + shared + b',"task":' + task + b"}", slice(start, start + len(task))

    def _part(self, part: Document) -> bytes:
        known = self._written.get(id(part))
        if known is None:
            known = self._written[id(part)] = part, part.model_dump_json().encode()
            if len(self._written) > _KEPT:
                self._written.popitem(last=False)
        return known[1]
