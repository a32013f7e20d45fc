"""Orders as JSON, written fast: the task, which is most of an order, is the same for many attempts."""

from __future__ import annotations

from collections import OrderedDict

from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.entities import TaskSpec

_KEPT = 256


class OrderWriter:
    """Writes orders; remembers how the last tasks were written."""

    def __init__(self) -> None:
        # By identity: documents are frozen, and comparing them costs as much as writing them. The task itself is
        # kept, so that its identity is not given to another one.
        self._written: OrderedDict[int, tuple[TaskSpec, bytes]] = OrderedDict()

    def write(self, order: AttemptOrder) -> tuple[bytes, slice]:
        """Return an order as JSON in one line, and where in it the task stands."""
        task = self._task(order.task)
        rest = order.model_dump_json(exclude={"task"}).encode()
        start = len(rest) + len(b',"task":') - 1
        return rest[:-1] + b',"task":' + task + b"}", slice(start, start + len(task))

    def _task(self, task: TaskSpec) -> bytes:
        known = self._written.get(id(task))
        if known is None:
            known = self._written[id(task)] = task, task.model_dump_json().encode()
            if len(self._written) > _KEPT:
                self._written.popitem(last=False)
        return known[1]
