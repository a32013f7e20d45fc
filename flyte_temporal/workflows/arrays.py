"""`Array`: a running map: one item for each element of its lists, so many at once as it allows."""

from __future__ import annotations

from collections.abc import Iterator

from flyte_temporal.spec import calls
from flyte_temporal.spec.arrays import check_enough, item_count, too_many_failed
from flyte_temporal.spec.literals import Composite, Inline, LiteralValue, Offloaded
from flyte_temporal.spec.nodes import ArrayTarget, Node
from flyte_temporal.spec.resolving import at
from flyte_temporal.spec.types import ANY, NONE, ListType
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.scope import NodeState, Place, Scope


class Array(Scope):
    """The items of an array node.

    Args:
        program: The closure.
        parent: The array node.
        inputs: Its inputs.
        count: Number of items.
    """

    def __init__(
        self, program: Program, parent: NodeState, inputs: dict[str, LiteralValue], count: int
    ) -> None:
        super().__init__(program, parent)
        target = self._target = _target(parent)
        self._count = count
        check_enough(target, count)
        self._inputs = inputs
        self._types = {v.name: v.type for v in program.interface_of(target.item).inputs}
        self._item = Node(
            id=parent.node.id,
            name=parent.node.name,
            target=target.item,
            overrides=parent.node.overrides,
        )
        self._next = 0
        self._results: list[dict[str, LiteralValue] | None] = [None] * count
        self._failures = 0

    def places(self) -> Iterator[Place]:
        """Return the items."""
        path = self.parent.path if self.parent else ""
        return (Place(self._item, f"{path}[{i}]", i) for i in range(self._count))

    def first(self) -> list[NodeState]:
        """Return as many items as may run at once."""
        self._next = min(self._target.concurrency or self._count, self._count)
        return self.states[: self._next]

    def after(self, state: NodeState, outputs: dict[str, LiteralValue] | None) -> list[NodeState]:
        """Take in the end of an item; another one takes its place."""
        if outputs is None:
            self._failures += 1
        elif state.index is not None:
            self._results[state.index] = outputs
        following = self.states[self._next : self._next + 1]
        self._next += len(following)
        return following

    @property
    def gives_up(self) -> bool:
        """Return whether so many items have failed that the rest cannot make it good."""
        return self.failed

    @property
    def failed(self) -> bool:
        """Return whether too few items can still succeed."""
        return too_many_failed(self._target, self._count, self._failures)

    def bears(self, failures: int) -> bool:
        """Return whether enough items can still succeed if so many, and all others under way, fail."""
        worst = self._failures + max(failures, self.active)
        return not too_many_failed(self._target, self._count, min(worst, self._count))

    def inputs_of(self, state: NodeState) -> dict[str, LiteralValue]:
        """Return the inputs of an item: its elements, and what is the same for all."""
        return {
            name: self._element(name, literal, state.index or 0) if name in self._target.over else literal
            for name, literal in self._inputs.items()
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
    target = _target(state)
    types = {v.name: v.type for v in state.scope.program.interface_of(target.item).inputs}
    wishes = {
        name: calls.Wish(literal=inputs[name], type=ListType(element=types.get(name, ANY)))
        for name in target.over
        if length(inputs[name]) is None
    }
    return calls.ReadRequest(lengths=wishes) if wishes else None


def open_array(state: NodeState, inputs: dict[str, LiteralValue], read: calls.ReadResult) -> Array:
    """Return the running map of an array node.

    Raises:
        InvalidArrayLength: If its lists differ in length.
    """
    target = _target(state)
    lengths = {name: read.lengths.get(name, length(inputs[name]) or 0) for name in target.over}
    return Array(state.scope.program, state, inputs, item_count(lengths))


def _target(state: NodeState) -> ArrayTarget:
    target = state.node.target
    if not isinstance(target, ArrayTarget):  # pragma: no cover - the caller sorts kinds
        raise TypeError(f"{state.path} is no map")
    return target


def length(literal: LiteralValue) -> int | None:
    """Return the number of elements of a list; None if it travels by reference and must be asked for."""
    match literal:
        case Composite():
            return len(literal.items)
        case Offloaded():
            return literal.count if not literal.path else None
        case Inline():
            value = literal.value
            return len(value) if isinstance(value, list) else 0
