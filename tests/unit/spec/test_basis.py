"""When an earlier result stands for a later one."""

from __future__ import annotations

from typing import Any

import pytest

from flyte_temporal.spec.basis import basis_of_gate, basis_of_task, difference, identity
from flyte_temporal.spec.entities import ContainerSpec, Root, TaskSpec
from flyte_temporal.spec.execution import Recovery
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import Composite, Inline, LiteralValue
from flyte_temporal.spec.nodes import GateTarget
from flyte_temporal.spec.policies import CacheSettings, Overrides, Resources, ResourceValues, TaskPolicy
from flyte_temporal.spec.pruning import pruned, same_work
from flyte_temporal.spec.types import INTEGER, STRING, BlobType, ListType
from flyte_temporal.testing import closures

TASK = TaskSpec(
    name="m.fit",
    interface=Interface(
        inputs=(Variable(name="x", type=INTEGER), Variable(name="xs", type=ListType(element=INTEGER))),
        outputs=(Variable(name="o0", type=INTEGER),),
    ),
    code="c1",
)
GIVEN: dict[str, LiteralValue] = {"x": Inline(value=1), "xs": Inline(value=[1, 2])}


@pytest.mark.parametrize(
    ("task", "inputs", "expected"),
    [
        ({}, {}, ""),
        ({"description": "other words"}, {}, ""),
        ({"policy": TaskPolicy(resources=Resources(requests=ResourceValues(mem="9Gi")))}, {}, ""),
        ({}, {"xs": Composite(items=(Inline(value=1), Inline(value=2)))}, ""),
        ({"name": "m.other"}, {}, "it was m.fit before and is m.other now"),
        ({"code": "c2"}, {}, "the code of m.fit has changed"),
        ({"container": ContainerSpec(image="i")}, {}, "the code of m.fit has changed"),
        ({"policy": TaskPolicy(env={"A": "1"})}, {}, "the code of m.fit has changed"),
        (
            {"interface": Interface(outputs=(Variable(name="o0", type=STRING),))},
            {},
            "the types of what m.fit",
        ),
        ({}, {"x": Inline(value=2)}, "the value of x has changed"),
        ({}, {"x": Inline(value=2), "xs": Inline(value=[])}, "the value of x, xs has changed"),
    ],
)
def test_what_makes_a_difference(
    task: dict[str, Any], inputs: dict[str, LiteralValue], expected: str
) -> None:
    old = basis_of_task(TASK, GIVEN)
    new = basis_of_task(TASK.model_copy(update=task), {**GIVEN, **inputs})
    found = difference(old, new)
    assert found.startswith(expected) if expected else not found


def test_trusted_code_makes_none_but_all_else_does() -> None:
    old, new = basis_of_task(TASK, GIVEN), basis_of_task(TASK.model_copy(update={"code": "c2"}), GIVEN)
    assert not difference(old, new, trust_code=True)
    other = basis_of_task(TASK, {**GIVEN, "x": Inline(value=7)})
    assert difference(old, other, trust_code=True)


def test_a_cache_version_stands_for_the_code_and_a_node_may_have_its_own() -> None:
    policy = TaskPolicy(cache=CacheSettings(enabled=True, version="3"))
    versioned = TASK.model_copy(update={"policy": policy})
    assert identity(versioned) == identity(versioned.model_copy(update={"code": "c2"})) == "3"
    override = Overrides(cache=CacheSettings(enabled=True, version="3", salt="s"))
    assert identity(versioned.overridden(override)) == "3-s"


def test_files_are_equal_by_content_and_user_hashes_count() -> None:
    task = TASK.model_copy(
        update={"interface": Interface(inputs=(Variable(name="f", type=BlobType(format="csv")),))}
    )
    here, there = ({"uri": f"s3://{where}/f.csv", "sha256": "a" * 64} for where in ("a", "b"))
    assert basis_of_task(task, {"f": Inline(value=here)}) == basis_of_task(task, {"f": Inline(value=there)})
    hashed = [basis_of_task(TASK, {"x": Inline(value=v, hash="same")}) for v in (1, 2)]
    assert hashed[0] == hashed[1]


def test_gates_rest_on_their_name_their_kind_and_the_value_that_is_approved() -> None:
    gate = GateTarget(gate="approve", name="ok", type=INTEGER)
    old = basis_of_gate(gate, {"value": Inline(value=1)})
    assert not difference(old, basis_of_gate(gate, {"value": Inline(value=1)}))
    assert difference(old, basis_of_gate(gate, {"value": Inline(value=2)}))
    renamed = gate.model_copy(update={"name": "sure"})
    assert difference(old, basis_of_gate(renamed, {"value": Inline(value=1)}))


def test_names_move_with_their_module() -> None:
    recovery = Recovery(execution="e", module=("train", "fixed"))
    assert [recovery.renamed(n) for n in ("train.fit", "trainer.fit", "lib.fit")] == [
        "fixed.fit",
        "trainer.fit",
        "lib.fit",
    ]


def test_what_an_entity_does_not_need_makes_no_difference_to_it() -> None:
    inner = closures.workflow("shapes.inner", [closures.step("n0", 1)], closures.out("n0"))
    other = closures.workflow("shapes.other", [closures.step("n0", 2, name=closures.JOIN)], None)
    whole = closures.closure(closures.workflow("shapes.main", [], None), inner, other)
    root = Root(kind="workflow", name="shapes.inner")
    part = pruned(whole, root)
    assert (set(part.tasks), set(part.workflows)) == ({closures.STEP}, {"shapes.inner"})
    mine = whole.model_copy(update={"root": root})

    def changed(name: str) -> Any:
        task = mine.tasks[name].model_copy(update={"code": "c2"})
        return mine.model_copy(update={"tasks": {**mine.tasks, name: task}})

    assert same_work(mine, changed(closures.JOIN), trust_code=False)
    assert not same_work(mine, changed(closures.STEP), trust_code=False)
    assert same_work(mine, changed(closures.STEP), trust_code=True)
