"""What the books of a run say where something ends that nobody has asked to end."""

from __future__ import annotations

from datetime import UTC, datetime

from flyte_temporal.spec.execution import NodePhase
from flyte_temporal.spec.nodes import Node, WorkflowTarget
from flyte_temporal.testing import closures
from flyte_temporal.workflows.body import workflow_body
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.records import Records
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.tree import Tree

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_node_whose_work_was_ended_from_outside_fails_instead_of_having_no_outputs() -> None:
    inner = closures.chain(1).main().model_copy(update={"name": "shapes.inner"})
    node = Node(id="s", target=WorkflowTarget(workflow="shapes.inner"), inputs=closures.step("s", 1).inputs)
    closure = closures.closure(closures.workflow("shapes.outer", [node], closures.out("s")))
    closure = closure.model_copy(update={"workflows": {**closure.workflows, inner.name: inner}})
    given = closures.run_input(closure, "outer", 1)
    states: list[NodeState] = []
    tree = Tree(given, Records(given, states, NOW), states, lambda: NOW)
    program = Program(closure, given.request.spec)
    tree.open(workflow_body(program, program.main, dict(given.request.inputs), None))
    outer = tree.ready_free.popleft()
    tree.begin(outer)
    tree.open(workflow_body(program, inner, outer.scope.inputs_of(outer), outer))
    work = tree.ready.popleft()
    tree.begin(work)
    tree.stop(work.scope)
    tree.abort(work)
    assert (work.phase, outer.phase) == (NodePhase.ABORTED, NodePhase.FAILED)
    assert tree.failure is not None
    assert (tree.failure.code, tree.failure.node) == ("NodeAborted", "s")
