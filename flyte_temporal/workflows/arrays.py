"""`Array`: a running map, or the part of one that is a shard's: an item for each element, so many at once as it allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from flyte_temporal.spec import calls
from flyte_temporal.spec.arrays import check_enough, item_count, required_successes
from flyte_temporal.spec.lists import length
from flyte_temporal.spec.literals import Composite, Inline, LiteralValue
from flyte_temporal.spec.nodes import ArrayTarget, Node
from flyte_temporal.spec.resolving import at
from flyte_temporal.spec.runs import Shard
from flyte_temporal.spec.types import ANY, NONE, ListType
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.scope import Carried, NodeState, Place, Scope


class Array(Scope):
    """The items of an array node, or some of them.

    Args:
        program: The closure.
        parent: The array node; None in a shard, whose root the items are.
        shard: Which items, and their inputs.
    """

    def __init__(self, program: Program, parent: NodeState | None, shard: Shard) -> None:
        super().__init__(program, parent)
        self._shard = shard
        self._target = target = array_target(shard.node)
        self._types = {v.name: v.type for v in program.interface_of(target.item).inputs}
        self._item = Node(
            id=shard.node.id,
            name=shard.node.name,
            target=target.item,
            overrides=shard.node.overrides,
        )
        self._waiting: deque[NodeState] = deque()
        """Items that have no place among those at work yet."""
        self._results: list[dict[str, LiteralValue] | None] = [None] * shard.count
        self.failures = 0
        """Items that have failed for good."""

    def places(self) -> Iterator[Place]:
        """Return the items."""
        shard = self._shard
        positions = range(shard.offset, shard.offset + shard.count)
        return (Place(self._item, f"{shard.path}[{i}]", i) for i in positions)

    def first(self) -> list[NodeState]:
        """Return as many items as may run at once."""
        count = self._shard.count
        at_once = min(self._shard.concurrency or count, count)
        self._waiting = deque(self.states[at_once:])
        return self.states[:at_once]

    def after(self, state: NodeState, outputs: dict[str, LiteralValue] | None) -> list[NodeState]:
        """Take in the end of an item; another one takes its place, if it had one."""
        if outputs is None:
            self.failures += 1
            if state in self._waiting:  # it was aborted before it began
                self._waiting.remove(state)
                return []
        else:
            self._results[self._position(state)] = outputs
        return [self._waiting.popleft()] if self._waiting else []

    def carried(self, marks: str) -> Carried:
        """Return the lists and all results so far: the whole needs them."""
        del marks
        results = {str(i): given for i, given in enumerate(self._results) if given is not None}
        counts = {"failures": self.failures, "waiting": len(self._waiting)}
        return Carried({}, results, counts, self._shard)

    def take_over(self, carried: Carried) -> None:
        """Go on; the items that wait are the last ones."""
        for position, given in carried.outputs.items():
            self._results[int(position)] = given
        self.failures = carried.counts["failures"]
        waiting = carried.counts["waiting"]
        self._waiting = deque(self.states[len(self.states) - waiting :])

    def _position(self, state: NodeState) -> int:
        return (state.index or 0) - self._shard.offset

    @property
    def gives_up(self) -> bool:
        """Return whether so many items have failed that the rest cannot make it good."""
        return self.failed

    @property
    def tolerates(self) -> bool:
        """Return whether enough items can still succeed if one more fails."""
        return self.failures + 1 <= self._shard.allowed

    @property
    def failed(self) -> bool:
        """Return whether too few items can still succeed."""
        return self.failures > self._shard.allowed

    def bears(self, failures: int) -> bool:
        """Return whether enough items can still succeed if so many, and all others under way, fail."""
        return self.failures + max(failures, self.active) <= self._shard.allowed

    @property
    def total(self) -> int:
        """Return the number of items of the whole map."""
        return self._shard.total

    def inputs_of(self, state: NodeState) -> dict[str, LiteralValue]:
        """Return the inputs of an item: its elements, and what is the same for all."""
        return {
            name: self._element(name, literal, self._position(state))
            if name in self._target.over
            else literal
            for name, literal in self._shard.inputs.items()
        }

    def _element(self, name: str, literal: LiteralValue, index: int) -> LiteralValue:
        return at(literal, ListType(element=self._types.get(name, ANY)), (index,))

    def results(self) -> dict[str, LiteralValue]:
        """Return a list of each output; none where an item failed."""
        outputs = self.program.interface_of(self._target.item).outputs
        missing = Inline(value=None, type=NONE)
        return {
            v.name: Composite(
                items=tuple(missing if done is None else done[v.name] for done in self._results)
            )
            for v in outputs
        }


def lists(state: NodeState, inputs: dict[str, LiteralValue]) -> calls.ReadRequest | None:
    """Return a request for the lengths of those lists of a map that travel by reference and do not say it themselves."""
    target = array_target(state.node)
    wishes = {
        name: wish
        for name, wish in wishes_of(state.scope.program, target, inputs).items()
        if length(wish.literal) is None
    }
    return calls.ReadRequest(lengths=wishes) if wishes else None


def wishes_of(
    program: Program, target: ArrayTarget, inputs: dict[str, LiteralValue]
) -> dict[str, calls.Wish]:
    """Return the lists of a map with their types."""
    types = {v.name: v.type for v in program.interface_of(target.item).inputs}
    return {
        name: calls.Wish(literal=inputs[name], type=ListType(element=types.get(name, ANY)))
        for name in target.over
    }


def whole_map(state: NodeState, inputs: dict[str, LiteralValue], read: calls.ReadResult) -> Shard:
    """Return all items of an array node as one shard.

    Args:
        state: The array node.
        inputs: Its inputs.
        read: What `lists` asked for.

    Raises:
        InvalidArrayLength: If its lists differ in length.
        TooFewItems: If more successes are required than there are items.
    """
    target = array_target(state.node)
    lengths = {name: read.lengths.get(name, length(inputs[name]) or 0) for name in target.over}
    count = item_count(lengths)
    check_enough(target, count)
    return Shard(
        spec=state.scope.program.digest,
        # Without what is of no use to items, so that a long list in a binding does not travel with each shard.
        node=state.node.model_copy(update={"inputs": {}, "after": (), "on_failure": None}),
        path=state.path,
        inputs=inputs,
        offset=0,
        count=count,
        total=count,
        allowed=count - required_successes(target, count),
        concurrency=target.concurrency,
    )


def array_target(node: Node) -> ArrayTarget:
    """Return the target of an array node."""
    target = node.target
    if not isinstance(target, ArrayTarget):  # pragma: no cover - the caller sorts kinds
        raise TypeError(f"{node.id} is no map")
    return target
