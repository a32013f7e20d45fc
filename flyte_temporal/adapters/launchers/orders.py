"""Orders as JSON, written fast: the task and the environment, which are most of an order, are the same for many attempts."""

from __future__ import annotations

from collections import OrderedDict

from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.execution import Environment

_KEPT = 256


class OrderWriter:
    """Writes orders; remembers how the last tasks, environments and stores were written."""

    def __init__(self) -> None:
        # By identity: documents are frozen, and comparing them costs as much as writing them. The document itself is
        # kept, so that its identity is not given to another one.
        self._written: OrderedDict[object, tuple[Document, bytes]] = OrderedDict()

    def write(self, order: AttemptOrder) -> tuple[bytes, slice]:
        """Return an order as JSON in one line, and where in it the task stands."""
        task = self._part(id(order.task), order.task)
        environment = self._part(_identity(order.environment), order.environment)
        storage = self._part(id(order.storage), order.storage)
        shared = b',"environment":' + environment + b',"storage":' + storage
        rest = order.model_dump_json(exclude={"task", "environment", "storage"}).encode()
        start = len(rest) + len(shared) + len(b',"task":') - 1
        return rest[:-1] + shared + b',"task":' + task + b"}", slice(start, start + len(task))

    def _part(self, key: object, part: Document) -> bytes:
        known = self._written.get(key)
        if known is None:
            known = self._written[key] = part, part.model_dump_json().encode()
            if len(self._written) > _KEPT:
                self._written.popitem(last=False)
        return known[1]


def _identity(environment: Environment) -> tuple[object, ...]:
    """Return what tells environments apart: each request has read its own copy of the execution's."""
    bundle = environment.bundle
    return (
        environment.launcher,
        environment.interpreter,
        environment.image,
        (bundle.sha256, bundle.key, bundle.size) if bundle is not None else None,
        tuple(environment.env.items()),
    )
