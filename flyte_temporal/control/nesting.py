"""Nodes as a tree by their paths: each below the node that holds it. Pure; used for listings and by the command line."""

from __future__ import annotations

from collections.abc import Sequence

from flyte_temporal.spec.execution import NodeRecord


def nested(nodes: Sequence[NodeRecord]) -> list[tuple[int, NodeRecord]]:
    """Return nodes with their depth, each right behind the node that holds it, siblings in the given order.

    A node whose parent has no record (it is on its way) stands below the nearest ancestor that has one.
    """
    known = {node.id for node in nodes}
    children: dict[str, list[NodeRecord]] = {}
    for node in nodes:
        children.setdefault(_nearest(node.id, known), []).append(node)
    found: list[tuple[int, NodeRecord]] = []
    # A stack instead of recursion: the depth of nesting is the user's, not ours to bound.
    waiting = [(0, node) for node in reversed(children.get("", []))]
    while waiting:
        depth, node = waiting.pop()
        found.append((depth, node))
        waiting.extend((depth + 1, below) for below in reversed(children.get(node.id, [])))
    return found


def parent(path: str) -> str:
    """Return the path of the node that holds another: `n0.n1[2]` is held by `n0.n1`, which is held by `n0`."""
    if path.endswith("]"):
        return path[: path.rindex("[")]
    return path.rpartition(".")[0]


def _nearest(path: str, known: set[str]) -> str:
    above = parent(path)
    while above and above not in known:
        above = parent(above)
    return above
