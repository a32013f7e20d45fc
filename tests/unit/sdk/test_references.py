"""References to what others registered, and mocks that answer for entities."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from flyte_temporal import (
    LaunchPlan,
    eager,
    reference_launch_plan,
    reference_task,
    reference_workflow,
    task,
    workflow,
)
from flyte_temporal.compiler import compile_entity
from flyte_temporal.control.plan import check_plan
from flyte_temporal.errors import BadRequest, CompileError
from flyte_temporal.sdk.conversions import OutputInvalid
from flyte_temporal.sdk.references import NotMocked
from flyte_temporal.testing import patch, task_mock


@reference_task(project="shared", domain="production", name="etl.clean", version="v1")
def clean(rows: list[int]) -> list[int]:
    return []


@reference_workflow(project="shared", domain="production", name="etl.all", version="v2")
def etl(rows: list[int]) -> tuple[int, str]:
    return 0, ""


@reference_launch_plan(project="shared", domain="production", name="etl.nightly", version="v3")
def nightly(n: int = 3) -> None: ...


@task
def total(rows: list[int]) -> int:
    return sum(rows)


@workflow
def uses(rows: list[int]) -> tuple[int, int, str]:
    nightly()
    first, second = etl(rows=rows)
    return total(rows=clean(rows=rows)), first, second


plan = LaunchPlan.get_default_launch_plan(None, uses)


def test_the_closure_keeps_typed_references() -> None:
    closure = compile_entity(uses)
    kept = closure.references
    assert [(r.kind, r.project, r.domain, r.name, r.version) for r in kept.values()] == [
        ("workflow", "shared", "production", "etl.all", "v2"),
        ("task", "shared", "production", "etl.clean", "v1"),
        ("launch_plan", "shared", "production", "etl.nightly", "v3"),
    ]
    assert kept["etl.all"].interface == etl.interface
    targets = {n.id: n.target.kind for n in closure.main().nodes}
    assert targets == {"n0": "launch_plan", "n1": "workflow", "n2": "task", "n3": "task"}
    assert closure.interface_of(closure.main().nodes[2].target).outputs == clean.interface.outputs


def test_a_start_with_a_reference_is_refused() -> None:
    with pytest.raises(
        CompileError,
        match=r"Node nightly of .*uses runs a launch_plan that is registered elsewhere \(shared/production/etl",
    ):
        check_plan(compile_entity(uses), 100)
    with pytest.raises(CompileError, match="clean is a reference to something"):
        compile_entity(clean)


def test_a_plain_run_needs_mocks() -> None:
    with pytest.raises(
        NotMocked, match=r"nightly is a reference to the launch plan etl.nightly .*task_mock\(nightly\)"
    ):
        uses(rows=[1])
    with task_mock(nightly) as started, task_mock(etl) as whole, task_mock(clean) as cleaned:
        whole.return_value = (7, "seven")
        cleaned.side_effect = lambda rows: rows[1:]
        assert uses(rows=[1, 2, 3]) == (5, 7, "seven")
        assert plan(rows=[1, 2]) == (2, 7, "seven")
        started.assert_called_with(n=3)
        whole.assert_called_with(rows=[1, 2])
    with pytest.raises(NotMocked):
        uses(rows=[1])


def test_two_references_of_one_name_must_be_one() -> None:
    @reference_task(project="shared", domain="production", name="etl.clean", version="v9")
    def other(rows: list[int]) -> list[int]:
        return []

    @workflow
    def wf(rows: list[int]) -> list[int]:
        return other(rows=clean(rows=rows))

    with pytest.raises(CompileError, match=r"Two references have the name 'etl.clean'"):
        compile_entity(wf)


@pytest.mark.parametrize("place", [("No!", "d", "n", "v"), ("p", "d", "two words", "v"), ("p", "d", "n", "")])
def test_a_wrong_place_is_refused(place: tuple[str, str, str, str]) -> None:
    with pytest.raises(CompileError, match="@reference_task: "):
        reference_task(*place)


@patch(total)
def test_patch_gives_the_mock_first(mock: MagicMock) -> None:
    mock.return_value = 9
    assert total(rows=[1]) == 9
    mock.assert_called_once_with(rows=[1])


@patch(total)
def test_patch_leaves_fixtures_alone(mock: MagicMock, tmp_path: Path) -> None:
    mock.return_value = 1
    assert tmp_path.exists()
    assert total(rows=[]) == 1


def test_mocks_nest_are_typed_and_end() -> None:
    with task_mock(total) as outer:
        outer.return_value = 1
        with task_mock(total) as inner:
            inner.side_effect = KeyError("x")
            with pytest.raises(KeyError):
                total(rows=[])
        assert total(rows=[]) == 1
        outer.return_value = "one"
        with pytest.raises(OutputInvalid, match="Output 'o0' of total is not what it declares"):
            total(rows=[])
    assert total(rows=[4]) == 4


def test_an_eager_function_can_be_mocked_too() -> None:
    @eager
    async def whole(n: int) -> int:
        return n

    with task_mock(whole) as mock:
        mock.return_value = 5
        assert asyncio.run(whole(n=1)) == 5


def test_only_entities_have_mocks() -> None:
    with pytest.raises(BadRequest, match="takes a task, workflow"), task_mock(len):
        pass
