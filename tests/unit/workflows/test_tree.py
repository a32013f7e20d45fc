"""What the books of a run say: where something ends that nobody has asked to end, and where failure handlers are at work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flyte_temporal.spec.entities import Closure, FailurePolicy, WorkflowSpec
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, NodePhase
from flyte_temporal.spec.nodes import Node, TaskTarget, WorkflowTarget
from flyte_temporal.spec.policies import Overrides, Timeouts
from flyte_temporal.spec.verdicts import NODE_ABORTED
from flyte_temporal.testing import closures
from flyte_temporal.workflows.body import workflow_body
from flyte_temporal.workflows.deadlines import Due
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.records import Records
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.tree import Tree

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HANDLER = TaskTarget(task=closures.STEP)
FAILED = ErrorDocument(kind=ErrorKind.USER, code="UserCodeError", message="no", recoverable=False)
ABORTED = FAILED.model_copy(update={"code": NODE_ABORTED})


def opened(closure: Closure) -> Tree:
    given = closures.run_input(closure, "e", 1)
    states: list[NodeState] = []
    tree = Tree(given, Records(given, states, NOW), states, lambda: NOW)
    program = Program(closure, given.request.spec)
    tree.open(workflow_body(program, program.main, dict(given.request.inputs), None))
    return tree


def begun(tree: Tree) -> NodeState:
    """Return the next task, which is at work now."""
    state = tree.ready.popleft()
    tree.begin(state)
    return state


def in_a_sub_workflow(inner: WorkflowSpec) -> tuple[Tree, NodeState]:
    """Return the books of a run whose only node runs a workflow, and that node."""
    node = Node(id="s", target=WorkflowTarget(workflow=inner.name), inputs=closures.step("s", 1).inputs)
    tree = opened(closures.closure(closures.workflow("shapes.outer", [node], closures.out("s")), inner))
    outer = tree.ready_free.popleft()
    tree.begin(outer)
    tree.open(workflow_body(outer.scope.program, inner, outer.scope.inputs_of(outer), outer))
    return tree, outer


def inner(**changes: object) -> WorkflowSpec:
    return closures.chain(1).main().model_copy(update={"name": "shapes.inner", **changes})


def test_a_node_whose_work_was_ended_from_outside_fails_instead_of_having_no_outputs() -> None:
    tree, outer = in_a_sub_workflow(inner())
    work = begun(tree)
    tree.stop(work.scope)
    tree.abort(work)
    assert (work.phase, outer.phase) == (NodePhase.ABORTED, NodePhase.FAILED)
    assert tree.failure is not None
    assert (tree.failure.code, tree.failure.node) == ("NodeAborted", "s")


def test_the_whole_time_of_a_node_does_not_end_its_failure_handler() -> None:
    """Its workflow goes on with other nodes, so that it is neither over nor stopping while the handler is at work."""
    limit = Overrides(timeouts=Timeouts(total_s=60))
    node = closures.step("n", 1).model_copy(update={"on_failure": HANDLER, "overrides": limit})
    spec = closures.workflow("shapes.lenient", [node, closures.step("other", 1)], closures.out("n"))
    lenient = FailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE
    tree = opened(closures.closure(spec.model_copy(update={"failure_policy": lenient})))
    state, other = begun(tree), begun(tree)
    assert not Due(NOW + timedelta(seconds=60), 1, state, 60).over
    tree.fail(state, FAILED)
    handler = begun(tree)
    assert (handler.scope.handles, state.phase) == (state, NodePhase.RUNNING)
    assert Due(NOW + timedelta(seconds=60), 1, state, 60).over
    tree.succeed(handler, {})
    assert (state.phase, other.phase) == (NodePhase.FAILED, NodePhase.RUNNING)


def test_a_node_can_be_aborted_while_the_failure_handler_of_what_it_runs_is_at_work() -> None:
    tree, outer = in_a_sub_workflow(inner(on_failure=HANDLER))
    tree.fail(begun(tree), FAILED)
    handler = begun(tree)
    tree.doom(outer, ABORTED)
    assert handler in tree.to_cancel
    tree.abort(handler)
    assert (handler.phase, outer.phase) == (NodePhase.ABORTED, NodePhase.FAILED)


def left_in_doubt(policy: FailurePolicy) -> tuple[Tree, list[NodeState]]:
    """Return a chain of which the first is to be tried again, and the second may be at work: a batch was lost."""
    nodes = [closures.step("a", 1), closures.step("b", closures.out("a")), closures.step("c", 1)]
    spec = closures.workflow("shapes.chain", nodes, closures.out("b"))
    tree = opened(closures.closure(spec.model_copy(update={"failure_policy": policy})))
    first, last, second = begun(tree), begun(tree), tree.states[1]
    second.attempts, second.token, second.tokens = 1, "t", ["t"]
    second.scope.active += 1
    tree.begin(second)
    tree.leave(second, known=False)
    assert (second.phase, list(tree.ready)) == (NodePhase.QUEUED, [])
    return tree, [first, second, last]


@pytest.mark.parametrize("how", ["a node fails", "the run is aborted"])
def test_what_was_left_in_doubt_and_waits_is_seen_to_end_when_its_scope_stops(how: str) -> None:
    tree, (first, second, last) = left_in_doubt(FailurePolicy.FAIL_IMMEDIATELY)
    if how == "a node fails":
        tree.fail(last, FAILED)
    else:
        tree.stop_all()
    assert list(tree.to_prove) == [second]
    for state in (first, second, last):
        if not state.phase.terminal:
            assert tree.root is not None
            assert not tree.root.settled
            tree.abort(state)
    assert second.phase is NodePhase.ABORTED
    assert tree.root is not None
    assert tree.root.closed


def test_so_it_is_when_nothing_else_is_left_to_do() -> None:
    tree, (first, second, last) = left_in_doubt(FailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
    tree.succeed(last, {})
    tree.fail(first, FAILED)
    assert list(tree.to_prove) == [second]
    assert tree.failure is None
    tree.abort(second)
    assert tree.failure is not None
