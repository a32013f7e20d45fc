"""Conditions on rows of nodes. Paths are compared as text by their beginnings: LIKE would ignore case on SQLite."""

from __future__ import annotations

from sqlalchemy import ColumnElement, func, or_

from flyte_temporal.adapters.store.schema import nodes
from flyte_temporal.spec.listing import NodeFilter
from flyte_temporal.spec.runs import SHARDED_ORDER


def conditions(wanted: NodeFilter) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter; its limit and offset are not among them."""
    found: list[ColumnElement[bool]] = []
    if wanted.below:
        beginning = func.substr(nodes.c.node, 1, len(wanted.below) + 1)
        found.append(
            or_(nodes.c.node == wanted.below, beginning.in_([f"{wanted.below}.", f"{wanted.below}["]))
        )
    if wanted.phases:
        found.append(nodes.c.phase.in_([phase.value for phase in wanted.phases]))
    if wanted.in_shards is not None:
        inside = nodes.c.position >= SHARDED_ORDER
        found.append(inside if wanted.in_shards else ~inside)
    return found


def items_of(path: str) -> list[ColumnElement[bool]]:
    """Return the conditions by which a row is one of an item of a map, and not of a node below it."""
    size = len(path) + 1
    return [
        func.substr(nodes.c.node, 1, size) == f"{path}[",
        func.substr(nodes.c.node, size + 1).not_like("%.%"),
    ]
