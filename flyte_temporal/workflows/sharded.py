"""`ShardedArray`: a map of so many items that shards run them: runs of their own, for a part of the items each.

Its nodes are the shards. No item has a state here, so what a run holds in memory does not grow with the map. `shards`
starts them and watches them; what a shard does with its items is `arrays` again. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from flyte_temporal.spec import calls
from flyte_temporal.spec.execution import ErrorDocument
from flyte_temporal.spec.lists import piece
from flyte_temporal.spec.literals import Inline, Joined, LiteralValue
from flyte_temporal.spec.nodes import ArrayTarget, BranchTarget, Node, Target, TaskTarget, WorkflowTarget
from flyte_temporal.spec.runs import RunLimits, RunOutput, Shard
from flyte_temporal.workflows.arrays import array_target, wishes_of
from flyte_temporal.workflows.failures import OTHERS
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.scope import Carried, NodeState, Place, Scope

AT_ONCE = 4
"""Shards of one map at work at once. Each keeps up to a few hundred attempts in flight, which is more than a worker runs; a
second one fills the places that the last items of the first leave, and two more spread over other workers."""

PART_BYTES = 1024
"""Largest part of a list, and largest element of a part, that travels inline: a thousand stay well below 2 MiB."""

UNKNOWN = 50
"""Nodes below a dynamic task or a map inside an item, which nobody knows before it runs."""


class Sizes:
    """How many nodes items bring into a run, and so how many of them fit one.

    Args:
        limits: The limits of the run.
    """

    def __init__(self, limits: RunLimits) -> None:
        self._limits = limits

    def shard(self, program: Program, target: ArrayTarget) -> int:
        """Return how many items a shard of a map has at most; 0 if it is not to be run in shards."""
        if not self._limits.shard:
            return 0
        # Half of what a run may hold: retries and failure handlers add to it.
        fit = self._limits.nodes // 2 // self.below(program, target)
        return max(1, min(self._limits.shard, fit))

    @staticmethod
    def below(program: Program, target: ArrayTarget) -> int:
        """Return how many nodes an item of a map brings, itself included; what is known only as it runs is guessed."""
        return _below(program, target.item, {})


def _below(program: Program, target: Target, done: dict[str, int]) -> int:
    match target:
        case WorkflowTarget():
            name = target.workflow
            if name not in done:
                done[name] = 0
                done[name] = sum(_of_node(program, n, done) for n in program.closure.workflows[name].nodes)
            return 1 + done[name]
        case BranchTarget():
            inner = (n for body in target.bodies() for n in body.nodes)
            return 1 + sum(_of_node(program, n, done) for n in inner)
        case ArrayTarget():
            return 1 + UNKNOWN
        case TaskTarget() if program.is_dynamic(target):
            return 1 + UNKNOWN
        case _:
            return 1


def _of_node(program: Program, node: Node, done: dict[str, int]) -> int:
    return _below(program, node.target, done)


def uncut(
    program: Program, whole: Shard, size: int
) -> tuple[dict[str, tuple[LiteralValue, ...]], calls.SplitRequest | None]:
    """Return the parts of those lists of a map that can be cut here, and a request for those that must be read.

    Args:
        program: The closure.
        whole: All items of the map.
        size: Items of a shard.
    """
    target = array_target(whole.node)
    parts: dict[str, tuple[LiteralValue, ...]] = {}
    wishes: dict[str, calls.Wish] = {}
    for name, wish in wishes_of(program, target, whole.inputs).items():
        pieces = [
            piece(wish.literal, start, min(size, whole.count - start))
            for start in range(0, whole.count, size)
        ]
        found = tuple(each for each in pieces if each is not None)
        if len(found) == len(pieces):
            parts[name] = found
        else:
            wishes[name] = wish
    if not wishes:
        return parts, None
    return parts, calls.SplitRequest(lists=wishes, size=size, inline_bytes=PART_BYTES)


@dataclass
class Room:
    """What a run leaves for a shard.

    Args:
        most: Attempts and children at once in the whole run.
        free: How many of them are free; the same as `most` if those of shards do not count.
    """

    most: int
    free: int


class ShardedArray(Scope):
    """The shards of an array node.

    Args:
        program: The closure.
        parent: The array node.
        whole: All its items; of `inputs` those that are the same for each.
        parts: The lists, cut.
        size: Items of a shard; the last one has what is left.
    """

    holds_shards = True

    def __init__(
        self,
        program: Program,
        parent: NodeState,
        whole: Shard,
        parts: dict[str, tuple[LiteralValue, ...]],
        size: int,
    ) -> None:
        super().__init__(program, parent)
        same = {name: value for name, value in whole.inputs.items() if name not in parts}
        self._whole = whole.model_copy(update={"inputs": same})
        self._parts = parts
        self._size = size
        self._shards = -(-whole.total // size)
        self._waiting: deque[NodeState] = deque()
        """Shards that have no place among those at work yet."""
        self._failed_before = 0
        """Items that have failed for good, of shards that ended in an earlier run of the execution."""
        self._lost = False
        """Whether a shard has failed, which it does only if the whole map must."""
        self._ended = 0
        self._results: dict[int, dict[str, LiteralValue]] = {}

    def places(self) -> Iterator[Place]:
        """Return the shards. Their paths are names for the run itself; they are no nodes of the execution."""
        path, total = self._whole.path, self._whole.total
        for number, first in enumerate(range(0, total, self._size)):
            last = min(first + self._size, total) - 1
            yield Place(self._whole.node, f"{path}[{first}-{last}]", number)

    def first(self) -> list[NodeState]:
        """Return as many shards as may run at once."""
        self._waiting = deque(self.states[self._lanes :])
        return self.states[: self._lanes]

    @property
    def _lanes(self) -> int:
        return min(AT_ONCE, self._whole.concurrency or AT_ONCE)

    def after(self, state: NodeState, outputs: dict[str, LiteralValue] | None) -> list[NodeState]:
        """Take in that a shard has ended, badly if there are no outputs; another one takes its place."""
        number = state.index or 0
        state.share = 0
        self._ended += self.count(number)
        if outputs is None:
            self._lost = True
        elif outputs:
            self._results[number] = outputs
        self._show()
        return [self._waiting.popleft()] if self._waiting else []

    def carried(self, marks: str) -> Carried:
        """Return the lists in parts and the results of shards so far: the whole needs them."""
        failed = self._failed_before + sum(s.failed_items for s in self.states if s.phase.terminal)
        counts = {
            "size": self._size,
            "failed": failed,
            "lost": int(self._lost),
            "ended": self._ended,
            "waiting": len(self._waiting),
        }
        results = {str(number): given for number, given in self._results.items()}
        # What is ended can no longer be asked for.
        nothing = Inline(value=None)
        parts = {
            name: tuple(part if mark == "." else nothing for part, mark in zip(found, marks, strict=True))
            for name, found in self._parts.items()
        }
        return Carried({}, results, counts, self._whole, parts)

    def take_over(self, carried: Carried) -> None:
        """Go on; the shards that wait are the last ones."""
        self._results = {int(number): given for number, given in carried.outputs.items()}
        self._failed_before = carried.counts["failed"]
        self._lost = bool(carried.counts["lost"])
        self._ended = carried.counts["ended"]
        self._waiting = deque(self.states[len(self.states) - carried.counts["waiting"] :])

    def count(self, number: int) -> int:
        """Return how many items a shard has."""
        return min(self._size, self._whole.total - number * self._size)

    def holder(self, path: str) -> NodeState | None:
        """Return the shard that has the item of a path, or what is in that item; None if it is of no item of this map."""
        position, closed, _ = path.removeprefix(f"{self._whole.path}[").partition("]")
        if not path.startswith(f"{self._whole.path}[") or not closed or not position.isdecimal():
            return None
        number = int(position) // self._size
        return next((state for state in self.states if state.index == number), None)

    def told(self, state: NodeState, failed: int) -> None:
        """Take in how many items of a shard have failed so far."""
        state.failed_items = max(failed, state.failed_items)
        state.reason = f"{state.failed_items:,} items have failed" if state.failed_items else ""
        self._show()

    @property
    def failures(self) -> int:
        """Return how many items have failed for good, as far as shards have told."""
        return self._failed_before + sum(state.failed_items for state in self.states)

    def take(self, state: NodeState, given: RunOutput) -> None:
        """Take in how the items of a shard ended."""
        if given.shard is not None:
            self.told(state, given.shard.failed)
            self.errors += given.shard.errors[: max(0, OTHERS + 1 - len(self.errors))]

    def _show(self) -> None:
        if self.parent is None:  # pragma: no cover - a map in shards stands in a workflow
            return
        more = f", {self.failures:,} have failed" if self.failures else ""
        self.parent.reason = f"{self._ended:,} of {self._whole.total:,} items have ended{more}"

    @property
    def gives_up(self) -> bool:
        """Return whether so many items have failed that the rest cannot make it good."""
        return self.failed

    @property
    def failed(self) -> bool:
        """Return whether too few items can still succeed."""
        return self._lost or self.failures > self._whole.allowed

    def inputs_of(self, state: NodeState) -> dict[str, LiteralValue]:
        """Return what a shard is given: its part of each list, and what is the same for all items."""
        number = state.index or 0
        return {**self._whole.inputs, **{name: parts[number] for name, parts in self._parts.items()}}

    def order(self, state: NodeState, room: Room) -> Shard:
        """Return what a shard that is to start runs, and count what it takes of the map's concurrency.

        Args:
            state: The shard.
            room: What the run leaves for it. Together the shards take no more of it than there is.
        """
        lanes = min(self._lanes, self._shards, room.most)
        if self._whole.concurrency:
            left = self._whole.concurrency - sum(each.share for each in self.states)
            state.share = max(1, min(-(-self._whole.concurrency // lanes), left))
        state.parallel = max(1, min(-(-room.most // lanes), room.free))
        return self.shard(state)

    def shard(self, state: NodeState) -> Shard:
        """Return what a shard that was ordered runs."""
        number = state.index or 0
        return self._whole.model_copy(
            update={
                "inputs": self.inputs_of(state),
                "offset": number * self._size,
                "count": self.count(number),
                "concurrency": state.share,
                "parallel": state.parallel,
            }
        )

    def results(self) -> dict[str, LiteralValue]:
        """Return a list of each output, made of those of the shards."""
        target = array_target(self._whole.node)
        numbers = range(self._shards)
        counts = tuple(self.count(number) for number in numbers)
        return {
            v.name: Joined(parts=tuple(self._results[number][v.name] for number in numbers), counts=counts)
            for v in self.program.interface_of(target.item).outputs
        }


def short(errors: list[ErrorDocument]) -> tuple[ErrorDocument, ...]:
    """Return the first of some errors, all but the very first without their tracebacks."""
    first = [error.model_copy(update={"others": ()}) for error in errors[:OTHERS]]
    return tuple(
        error if i == 0 else error.model_copy(update={"traceback": "", "message": error.message[:500]})
        for i, error in enumerate(first)
    )
