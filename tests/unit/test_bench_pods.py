"""What the bench of pods compares is comparable: nobody has a pod of the other beside it, or always comes second."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bench.pods import in_turn, summary


class Node:
    """Notes what happens on it; a pod that was begun is there until somebody waits for it to be gone."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.there = False
        self.bench = SimpleNamespace(order=lambda *_: None)

    async def emptied(self, _within_s: float) -> None:
        self.there = False

    async def pod(self, name: str) -> float:
        assert not self.there, "the pod before is still there"
        self.there = True
        self.began.append(name)
        return float(len(self.began))

    async def alone(self, _order: Any) -> float:
        return await self.pod("alone")

    async def ours(self, _order: Any) -> float:
        return await self.pod("ours")


async def test_both_ways_take_turns_at_being_first_and_begin_on_an_empty_node() -> None:
    node: Any = Node()
    pairs = await in_turn(node, 4, node.alone, node.ours)
    assert node.began == ["alone", "ours", "ours", "alone"] * 2
    assert pairs == [(1.0, 2.0), (4.0, 3.0), (5.0, 6.0), (8.0, 7.0)]


def test_what_ours_costs_is_told_within_pairs() -> None:
    """A slow minute makes both ways of one pair slow; between medians over all pairs it would show as a difference."""
    assert summary([(1.0, 1.2), (9.0, 9.2), (1.0, 1.2), (1.0, 8.0)]) == {
        "rounds": 4,
        "bare_s": 1.0,
        "ours_s": 4.6,
        "overhead_s": 0.2,
    }
