"""Which nodes may run: a graph per workflow, and progress through it. Pure; O(edges of the node) per finished node."""

from __future__ import annotations

from collections.abc import Sequence

from flyte_temporal.errors import CompileError
from flyte_temporal.spec.nodes import Node


class Graph:
    """Edges between the nodes of one workflow or branch body; made once, shared by all its scopes.

    Args:
        nodes: The nodes, in the order in which the workflow's body made them.
        outside: For a branch body, the ids of the nodes around it; those that it needs have ended before it starts.

    Raises:
        CompileError: If an id is doubled, an edge leads nowhere, or the nodes form a cycle.
    """

    def __init__(self, nodes: Sequence[Node], outside: frozenset[str] = frozenset()) -> None:
        self.nodes: dict[str, Node] = {node.id: node for node in nodes}
        if len(self.nodes) != len(nodes):
            raise CompileError("two nodes of one workflow have the same id")
        self.downstream: dict[str, list[str]] = {node.id: [] for node in nodes}
        self.waits_for: dict[str, int] = {}
        for node in nodes:
            upstream = [name for name in node.upstream() if name not in outside]
            self.waits_for[node.id] = len(upstream)
            for source in upstream:
                if source not in self.downstream:
                    raise CompileError(f"node {node.id} waits for {source}, which does not exist")
                self.downstream[source].append(node.id)
        self._refuse_cycles()

    def _refuse_cycles(self) -> None:
        progress = Progress(self)
        todo = progress.first()
        seen = 0
        while todo:
            seen += 1
            todo.extend(progress.finish(todo.pop()))
        if seen != len(self.nodes):
            stuck = [name for name, count in progress.left.items() if count > 0]
            raise CompileError(f"these nodes wait for each other: {', '.join(stuck[:10])}")


class Progress:
    """How far one scope has come in its graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.left: dict[str, int] = dict(graph.waits_for)

    def first(self) -> list[str]:
        """Return the nodes that wait for nothing, in declared order."""
        return [name for name, count in self.left.items() if count == 0]

    def finish(self, node: str) -> list[str]:
        """Note that a node has ended well; return the nodes that may run now because of it, in declared order."""
        ready = []
        for name in self.graph.downstream[node]:
            self.left[name] -= 1
            if self.left[name] == 0:
                ready.append(name)
        return ready
