"""What a recovery is said to copy and run, for each kind of node, without an engine, a store or files."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from flyte_temporal.control.documents import PlannedNode
from flyte_temporal.control.recovering import moved
from flyte_temporal.control.rehearsal import Rehearsal
from flyte_temporal.spec.basis import Basis
from flyte_temporal.spec.bindings import Binding, Constant, InputRef, OutputRef
from flyte_temporal.spec.entities import Closure, LaunchPlanSpec
from flyte_temporal.spec.execution import GateReply, NodePhase, NodeRecord, NodeRef, Recovery
from flyte_temporal.spec.identifiers import NodePath
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.literals import Inline, LiteralValue
from flyte_temporal.spec.lookup_calls import Recalled
from flyte_temporal.spec.nodes import ArrayTarget, GateTarget, LaunchPlanTarget, Node, TaskTarget
from flyte_temporal.spec.types import INTEGER
from flyte_temporal.testing import closures
from tests.workflow.test_structures import body, branch, emitted, mapped, one

HERE = NodeRef(execution="before", node="n0")


@dataclass
class Past:
    """An execution in which some nodes gave a number, and others did not.

    Args:
        gave: What nodes gave, by path.
        why: Why others have nothing to copy.
        graphs: Closures that dynamic tasks gave.
        replies: Answers of gates.
    """

    gave: dict[NodePath, int] = field(default_factory=dict)
    why: dict[NodePath, str] = field(default_factory=dict)
    graphs: dict[NodePath, Closure] = field(default_factory=dict)
    replies: dict[NodePath, GateReply] = field(default_factory=dict)
    asked: dict[NodePath, Basis] = field(default_factory=dict)

    def record(self, path: str) -> NodeRecord | None:
        done = path in self.gave or path in self.graphs
        if not done and path not in self.why:
            return None
        phase = NodePhase.SUCCEEDED if done else NodePhase.FAILED
        return NodeRecord(id=path, name=path, kind="task", phase=phase, attempt_key="k")

    def recall(self, path: str, basis: Basis) -> Recalled:
        self.asked[path] = basis
        if path in self.graphs:
            return Recalled(done=True, spec=path, source=HERE)
        if path in self.replies:
            return Recalled(done=True, reply=self.replies[path], source=HERE)
        if path in self.gave:
            return Recalled(done=True, outputs={"o0": Inline(value=self.gave[path])}, source=HERE)
        return Recalled(reason=self.why.get(path, "it is new"))

    def child(
        self, path: str, closure: Closure, launch_plan: str, inputs: dict[str, LiteralValue]
    ) -> Recalled:
        del closure, launch_plan
        return self.recall(path, Basis(what="child", inputs=dict.fromkeys(inputs, "")))

    def closure(self, digest: str) -> Closure:
        return self.graphs[digest]


def foretold(past: Past, closure: Closure, x: int = 0, rerun: tuple[str, ...] = ()) -> dict[str, str]:
    recovery = Recovery(execution="before", rerun=rerun)
    found: list[PlannedNode] = Rehearsal(recovery, past).of(closure, {"x": Inline(value=x)})
    return {node.id: f"{node.fate} {node.reason}".strip() for node in found}


def flow(*nodes: Node, result: Binding | None = None) -> Closure:
    return closures.closure(
        closures.workflow("shapes.flow", list(nodes), result or closures.out(nodes[-1].id))
    )


CHAIN = flow(
    closures.step("a", InputRef(name="x")),
    closures.step("b", closures.out("a")),
    closures.step("c", closures.out("b")),
)


@pytest.mark.parametrize(
    ("past", "rerun", "expected"),
    [
        (Past({"a": 1, "b": 2, "c": 3}), (), {"a": "copied", "b": "copied", "c": "copied"}),
        (
            Past({"a": 1}, {"b": "it failed before", "c": "it was not reached before"}),
            (),
            {"a": "copied", "b": "runs it failed before", "c": "runs it failed before; it comes after b"},
        ),
        (
            Past({"b": 2, "c": 3}, {"a": "the code of t has changed"}),
            (),
            {"a": "runs the code of t has changed", "b": "open it depends on a", "c": "open it depends on b"},
        ),
        (
            Past({"a": 1, "b": 2, "c": 3}),
            ("b",),
            {"a": "copied", "b": "runs it was asked for", "c": "runs it was asked for"},
        ),
        (
            Past(),
            (),
            {
                "a": "runs it is new",
                "b": "runs it is new; it comes after a",
                "c": "runs it is new; it comes after b",
            },
        ),
    ],
    ids=["all", "failed", "changed", "by-wish", "new"],
)
def test_a_chain(past: Past, rerun: tuple[str, ...], expected: dict[str, str]) -> None:
    assert foretold(past, CHAIN, rerun=rerun) == expected


def test_values_go_on_from_what_is_copied() -> None:
    past = Past({"a": 1, "b": 2, "c": 3})
    foretold(past, CHAIN)
    other = Past({"a": 9, "b": 2, "c": 3})
    foretold(other, CHAIN)
    assert past.asked["a"] == other.asked["a"]
    assert past.asked["b"].inputs != other.asked["b"].inputs


def test_items_of_a_map_are_looked_at_one_by_one() -> None:
    past = Past({"m[0]": 1, "m[2]": 3}, {"m[1]": "it failed before"})
    assert foretold(past, mapped([1, 2, 3])) == {
        "m": "runs 1 of the 3 in it run",
        "m[0]": "copied",
        "m[1]": "runs it failed before",
        "m[2]": "copied",
    }
    assert foretold(Past({"m[0]": 1, "m[1]": 2}), mapped([1, 2]), rerun=("m[1]",))["m[0]"] == "copied"


def test_a_map_over_what_is_not_known_is_open() -> None:
    array = Node(
        id="m",
        target=ArrayTarget(item=TaskTarget(task=closures.STEP), over=("x",)),
        inputs={"x": closures.out("a")},
    )
    closure = one("shapes.open", [closures.step("a", 1), array], OutputRef(node="m", name="o0"))
    assert foretold(Past({"m": 1}), closure)["m"] == "open it depends on a"
    assert foretold(Past(), closure)["m"] == "runs it is new; it comes after a"


def test_a_graph_that_a_dynamic_task_gave_is_looked_into() -> None:
    task = closures.task("shapes.dynamic", "x").model_copy(update={"type": "dynamic"})
    node = Node(id="d", target=TaskTarget(task=task.name), inputs={"x": InputRef(name="x")})
    closure = closures.closure(closures.workflow("shapes.uses", [node], closures.out("d")), task)
    past = Past({"d.n0": 1, "d.n1": 2}, {"d.t": "it failed before"}, {"d": emitted(2)})
    assert foretold(past, closure) == {
        "d": "runs 1 of the 3 in it run",
        "d.n0": "copied",
        "d.n1": "copied",
        "d.t": "runs it failed before",
    }
    assert foretold(Past({"d.n0": 1}), closure) == {"d": "runs it is new"}


def test_the_case_of_a_branch_that_holds_is_looked_into() -> None:
    taken, other = body(closures.step("n1", 1)), body(closures.step("n2", 2))
    closure = one("shapes.cases", [branch((1, taken), (2, other))], OutputRef(node="b", name="o0"))
    past = Past({"b.n1": 1})
    assert foretold(past, closure, 1) == {"b": "copied", "b.n1": "copied"}
    assert foretold(past, closure, 2) == {"b": "runs 1 of the 1 in it run", "b.n2": "runs it is new"}
    assert foretold(past, closure, 3) == {}


def test_sub_workflows_and_what_is_run_by_wish_in_them() -> None:
    inner = closures.workflow(
        "shapes.inner",
        [closures.step("n0", InputRef(name="x")), closures.step("n1", closures.out("n0"))],
        closures.out("n1"),
    )
    nodes = [
        closures.sub_workflow("s", "shapes.inner", InputRef(name="x")),
        closures.step("z", closures.out("s")),
    ]
    closure = closures.closure(closures.workflow("shapes.outer", nodes, closures.out("z")), inner)
    past = Past({"s.n0": 1, "s.n1": 2, "z": 3})
    assert foretold(past, closure, rerun=("s.n1",)) == {
        "s": "runs 1 of the 2 in it run",
        "s.n0": "copied",
        "s.n1": "runs it was asked for",
        "z": "runs it was asked for",
    }


def test_gates_by_what_comes_before_them() -> None:
    gate = Node(id="g", target=GateTarget(gate="input", name="ok", type=INTEGER), after=("a",))
    closure = flow(closures.step("a", 1), gate, closures.step("z", closures.out("g")))
    answered = {"g": GateReply(value=5)}
    assert foretold(Past({"a": 1, "z": 2}, replies=answered), closure) == dict.fromkeys("agz", "copied")
    assert (
        foretold(Past({"z": 2}, replies=answered), closure)["g"] == "runs a, which it comes after, runs anew"
    )


def test_children_are_asked_for_as_a_whole() -> None:
    plan = LaunchPlanSpec(
        name="shapes.plan",
        workflow="shapes.child",
        interface=Interface(
            inputs=closures.task("t", "x").interface.inputs, outputs=closures.task("t").interface.outputs
        ),
    )
    child = closures.workflow("shapes.child", [closures.step("n0", InputRef(name="x"))], closures.out("n0"))
    node = Node(id="lp", target=LaunchPlanTarget(launch_plan=plan.name), inputs={"x": Constant(value=1)})
    made = closures.closure(closures.workflow("shapes.parent", [node], closures.out("lp")), child)
    closure = made.model_copy(update={"launch_plans": {plan.name: plan}})
    assert foretold(Past({"lp": 4}), closure) == {"lp": "copied"}
    assert foretold(Past(why={"lp": "its execution x ended FAILED"}), closure) == {
        "lp": "runs its execution x ended FAILED"
    }


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("train.flow", "train.flow", ()),
        ("train.flow", "fixed.flow", ("train", "fixed")),
        ("jobs.train.flow", "fixed.flow", ("jobs.train", "fixed")),
        ("train.Jobs.flow", "fixed.Jobs.flow", ("train", "fixed")),
        ("train.flow", "fixed.other", ()),
    ],
)
def test_the_modules_of_an_entity_that_has_moved(old: str, new: str, expected: tuple[str, ...]) -> None:
    assert moved(old, new) == expected
