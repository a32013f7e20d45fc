"""The nodes of an execution as they are listed: the plan and the records in one, without the items of maps in shards.

Those are counted, and given in pages when they are asked for: an execution may have a hundred thousand of them, and a watcher
reads the listing ten times a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from flyte_temporal.control.closures import Closures
from flyte_temporal.control.plan import merge_plan, planned_nodes
from flyte_temporal.errors import NotFound
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec.execution import ExecutionRecord, NodeRecord
from flyte_temporal.spec.listing import ALL, NodeFilter

PAGE = 1_000
"""Records that are read at once where all are gone through."""


class Listing:
    """Reads nodes. Synchronous; callers use threads.

    Args:
        store: Where the records are.
        closures: Finds what an execution runs.
    """

    def __init__(self, store: MetadataStore, closures: Closures) -> None:
        self._store = store
        self._closures = closures

    def nodes(self, record: ExecutionRecord, wanted: NodeFilter = ALL) -> list[NodeRecord]:
        """Return the nodes that are wanted; if none in particular are, all but the items of maps in shards."""
        if wanted != ALL:
            return self._store.nodes(record.request.id, wanted)
        plan = planned_nodes(self._closures.find(record.request.spec))
        recorded = self._store.nodes(record.request.id, NodeFilter(in_shards=False))
        merged = merge_plan(plan, recorded, over=record.phase.terminal)
        return [self._counted(record, node) if node.items else node for node in merged]

    def _counted(self, record: ExecutionRecord, node: NodeRecord) -> NodeRecord:
        counts = self._store.item_phases(record.request.id, node.id)
        return node.model_copy(update={"item_phases": counts})

    def find(self, record: ExecutionRecord, wanted: str) -> Sequence[NodeRecord]:
        """Return the node of a path or a name, and those below it but for the items of maps in shards.

        Raises:
            NotFound: If there is none.
        """
        listed = self.nodes(record)
        chosen = [n for n in listed if n.id == wanted or n.id.startswith((f"{wanted}.", f"{wanted}["))]
        chosen = chosen or [n for n in listed if wanted in {n.name, n.task}]
        if not chosen and "[" in wanted:
            # An item of a map in shards, which has few nodes below it.
            chosen = self._store.nodes(record.request.id, NodeFilter(below=wanted))
        if not chosen:
            known = ", ".join(f"{n.id} ({n.name})" for n in listed[:20])
            raise NotFound(f"The execution has no node {wanted!r}. It has: {known}.")
        return chosen

    def each(self, record: ExecutionRecord, wanted: str | None) -> Iterator[NodeRecord]:
        """Yield a node and all below it, or all nodes, each map in shards followed by its items; read in pages.

        Raises:
            NotFound: If there is no such node; at once.
        """
        return self.with_items(record, self.nodes(record) if wanted is None else self.find(record, wanted))

    def with_items(
        self,
        record: ExecutionRecord,
        listed: Sequence[NodeRecord],
        bare: Callable[[NodeRecord], bool] | None = None,
    ) -> Iterator[NodeRecord]:
        """Yield nodes, each map in shards followed by its items, which are read in pages.

        Args:
            record: Their execution.
            listed: The nodes.
            bare: Says of which maps no items are wanted.
        """
        for node in listed:
            alone = not node.items or (bare is not None and bare(node))
            yield node
            page = NodeFilter(below=node.id, in_shards=True, limit=PAGE)
            while not alone and (found := self._store.nodes(record.request.id, page)):
                yield from found
                page = page.model_copy(update={"offset": page.offset + len(found)})
