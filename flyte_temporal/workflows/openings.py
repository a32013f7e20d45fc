"""`Openings`: nodes that hold others: what is needed to open a branch, a map, or the body of a workflow.

Called by `run` when such a node starts, and by `taking` when what it waited for has come.
"""

from __future__ import annotations

from flyte_temporal.spec import calls
from flyte_temporal.spec.nodes import BranchTarget
from flyte_temporal.spec.runs import RunInput, Shard
from flyte_temporal.workflows.arrays import Array, array_target, whole_map
from flyte_temporal.workflows.body import Body, branch_body
from flyte_temporal.workflows.branches import choose
from flyte_temporal.workflows.gates import Gates
from flyte_temporal.workflows.reads import Reads
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.sharded import ShardedArray, Sizes, uncut
from flyte_temporal.workflows.tree import Tree
from flyte_temporal.workflows.window import Window


class Openings:
    """Opens scopes.

    Args:
        given: The run's input.
        tree: Where they are opened.
        gates: What must know of the gates in them.
        reads: What reads and cuts lists.
        window: What an activation may do.
    """

    def __init__(self, given: RunInput, tree: Tree, gates: Gates, reads: Reads, window: Window) -> None:
        self._version = given.interpreter
        self._tree = tree
        self._gates = gates
        self._reads = reads
        self._window = window
        self._sizes = Sizes(given.limits)

    def read_or_go_on(self, state: NodeState, request: calls.ReadRequest | None) -> None:
        """Go on with a branch or a map at once, or after what it needs has been read."""
        if request is None:
            self.go_on(state, calls.ReadResult())
        else:
            self._window.take()
            self._reads.start(state, request)

    def go_on(self, state: NodeState, read: calls.ReadResult) -> None:
        """Go on with a branch or a map; raises as `open`."""
        target, inputs = state.node.target, state.scope.inputs_of(state)
        if not isinstance(target, BranchTarget):
            self.open_map(state, whole_map(state, inputs, read))
            return
        chosen = choose(target, inputs, read)
        for body in target.bodies():
            if body is not chosen:
                self._tree.pass_over(branch_body(body, state))
        if chosen is None:
            self._tree.skip(state)
        else:
            self.open(branch_body(chosen, state))

    def open_map(self, state: NodeState, whole: Shard, cut: calls.SplitResult | None = None) -> None:
        """Open a map, in shards if it is large and its lists are cut; else have them cut."""
        program = state.scope.program
        target = array_target(state.node)
        size = self._sizes.shard(program, target) if self._version >= 3 else 0
        if self._tree.pausing and self._tree.fits(whole.count * self._sizes.below(program, target)):
            size = 0  # its items can be held only where their states are
        if not size or whole.count <= size:
            self._tree.open(Array(program, state, whole))
            return
        state.items = whole.count
        parts, request = uncut(program, whole, size)
        if request is not None and cut is None:
            self._window.take()
            state.whole = whole
            self._reads.split(state, request)
            return
        self._tree.open(ShardedArray(program, state, whole, parts | (cut.parts if cut else {}), size))

    def open(self, body: Body) -> None:
        """Open a body, whose gates are known from now on.

        Raises:
            LimitExceeded: If the run would have too many nodes.
        """
        self._gates.meet(body.program, body.spec.nodes, body.prefix)
        self._tree.open(body)
