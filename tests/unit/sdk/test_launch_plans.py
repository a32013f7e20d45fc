"""Launch plans: their interface, their spec, and how they run plainly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flyte_temporal import (
    CronSchedule,
    Email,
    FixedRate,
    LaunchPlan,
    Options,
    PagerDuty,
    Slack,
    WorkflowExecutionPhase,
    task,
    workflow,
)
from flyte_temporal.compiler import compile_entity
from flyte_temporal.config.settings import LimitSettings
from flyte_temporal.control.requests import complete_inputs
from flyte_temporal.errors import CompileError, InvalidInputs
from flyte_temporal.spec.entities import LaunchPlanSpec, Schedule
from flyte_temporal.spec.literals import Inline


@task
def weigh(a: int, b: int, at: datetime) -> int:
    return a + 10 * b + 0 * at.year


@workflow(default_options=Options(labels={"team": "a"}, max_parallelism=3))
def weights(a: int, b: int = 2, at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> int:
    """Weighs."""
    return weigh(a=a, b=b, at=at)


nightly = LaunchPlan.create(
    "nightly",
    weights,
    default_inputs={"a": 1},
    fixed_inputs={"b": 4},
    schedule=CronSchedule("0 3 * * *", kickoff_time_input_arg="at", timezone="Europe/Berlin"),
    notifications=[
        Email([WorkflowExecutionPhase.FAILED], ["me@example.org"]),
        Slack(["ABORTED"], ["channel@example.org"]),
        PagerDuty([WorkflowExecutionPhase.FAILED], ["service@example.org"]),
    ],
    labels={"owner": "me"},
    annotations={"note": "x"},
    max_parallelism=7,
)
plain = LaunchPlan.get_default_launch_plan(None, weights)


@workflow
def calls(a: int) -> tuple[int, int]:
    return nightly(a=a), plain(a=a)


def test_the_spec_holds_all_that_was_said() -> None:
    closure = compile_entity(nightly)
    spec = closure.entity()
    assert isinstance(spec, LaunchPlanSpec)
    assert (closure.root.kind, closure.root.name) == ("launch_plan", "nightly")
    assert spec.workflow == weights.name
    assert closure.main().name == weights.name
    assert [v.name for v in spec.interface.inputs] == ["a", "at"]
    assert spec.interface.inputs[0].default is not None
    assert spec.interface.inputs[0].default.value == 1
    assert spec.fixed_inputs == {"b": Inline(value=4)}
    assert spec.schedule == Schedule(cron="0 3 * * *", time_zone="Europe/Berlin", kickoff_time_input="at")
    assert [n["kind"] for n in spec.notifications] == ["email", "slack", "pager_duty"]
    assert spec.notifications[0] == {"kind": "email", "phases": ["FAILED"], "recipients": ["me@example.org"]}
    assert (spec.labels, spec.annotations, spec.max_parallelism) == ({"owner": "me"}, {"note": "x"}, 7)
    assert spec.description == "Weighs."


def test_the_default_launch_plan_has_the_name_and_options_of_its_workflow() -> None:
    spec = compile_entity(plain).entity()
    assert isinstance(spec, LaunchPlanSpec)
    assert (spec.name, spec.labels, spec.max_parallelism) == (weights.name, {"team": "a"}, 3)
    assert spec.interface == weights.interface
    assert LaunchPlan.get_or_create(weights) is plain


def test_plain_runs_merge_given_default_and_fixed_inputs() -> None:
    assert nightly() == 41
    assert nightly(a=3) == 43
    assert plain(a=3) == 23
    assert calls(a=5) == (45, 25)


def test_a_call_in_a_workflow_starts_the_launch_plan() -> None:
    closure = compile_entity(calls)
    targets = [node.target.model_dump() for node in closure.workflows[calls.name].nodes]
    assert targets == [
        {"kind": "launch_plan", "launch_plan": "nightly"},
        {"kind": "launch_plan", "launch_plan": weights.name},
    ]
    assert set(closure.launch_plans) == {"nightly", weights.name}


def test_the_control_plane_merges_and_refuses_as_well() -> None:
    closure, limits = compile_entity(nightly), LimitSettings()
    complete = complete_inputs(closure, {}, limits)
    assert {n: v.value for n, v in complete.items() if isinstance(v, Inline)} == {
        "a": 1,
        "b": 4,
        "at": "2026-01-01T00:00:00+00:00",
    }
    with pytest.raises(InvalidInputs, match="'b' of nightly is fixed by its launch plan"):
        complete_inputs(closure, {"b": Inline(value=1)}, limits)


def test_the_same_launch_plan_is_found_again() -> None:
    made = LaunchPlan.get_or_create(weights, "again", default_inputs={"a": 9})
    assert LaunchPlan.get_or_create(weights, "again", default_inputs={"a": 9}) is made
    with pytest.raises(CompileError, match="with other options, made at"):
        LaunchPlan.get_or_create(weights, "again", default_inputs={"a": 8})
    with pytest.raises(CompileError, match="has a launch plan 'again' already"):
        LaunchPlan.create("again", weights)
    with pytest.raises(CompileError, match="default launch plan of a workflow has no options"):
        LaunchPlan.get_or_create(weights, default_inputs={"a": 9})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fixed_inputs": {"x": 1}}, "has no input 'x'; it takes: a, b, at"),
        ({"fixed_inputs": {"a": 1}, "default_inputs": {"a": 1}}, "'a' is fixed and has a default besides"),
        ({"fixed_inputs": {"a": "one"}}, "the fixed value of its input 'a' cannot be used"),
        ({"default_inputs": {"a": 1.5}}, "the default value of its input 'a' cannot be used"),
        ({"default_inputs": [1]}, "default_inputs=.* must be a dict"),
        ({"schedule": "daily"}, "must be a CronSchedule"),
        ({"schedule": FixedRate(timedelta(hours=1))}, "nobody gives its input 'a' then"),
        (
            {"schedule": FixedRate(timedelta(hours=1), "when"), "default_inputs": {"a": 1}},
            "gives the time to 'when', which is no input of it",
        ),
        (
            {
                "schedule": FixedRate(timedelta(hours=1), "at"),
                "fixed_inputs": {"at": datetime(2026, 1, 1, tzinfo=UTC)},
            },
            "gives the time to 'at', which is fixed",
        ),
        (
            {"schedule": FixedRate(timedelta(hours=1), "b"), "default_inputs": {"a": 1}},
            "takes int and not datetime",
        ),
        ({"max_parallelism": -1}, "must be a whole number, 0 or more"),
        ({"labels": {"a": 1}}, "must map texts to texts"),
        ({"notifications": ["me"]}, "must be a list of Email"),
        ({"retries": 1}, "has no option 'retries'"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CompileError, match=message):
        compile_entity(LaunchPlan("wrong", weights, options, "here.py:1", __name__))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("0 6 * *", "has 4 fields, but there are five"),
        ("0 0 6 * * ?", "has 6 fields"),
        ("60 * * * *", "the minute '60' must be 0 to 59"),
        ("* 24 * * *", "the hour '24' must be 0 to 23"),
        ("* * 0 * *", "the day of month '0' must be 1 to 31"),
        ("* * * 13 *", "the month '13' must be 1 to 12 or JAN to DEC"),
        ("* * * * 8", "the day of week '8' must be 0 to 7 or SUN to SAT"),
        ("*/0 * * * *", "must be a whole number above 0"),
        ("10-5 * * * *", "runs backwards"),
        ("? * * * *", "the minute '\\?'"),
        ("0 0 30 2 *", "is never due: none of its months has a day 30"),
        ("0 0 31 4,6 *", "is never due"),
        ("", "must be a text"),
        ("@often", "has 1 fields"),
    ],
)
def test_a_wrong_cron_expression_is_refused(expression: str, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        CronSchedule(schedule=expression)


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("@daily", "0 0 * * *"),
        ("hourly", "0 * * * *"),
        ("*/5 1-5/2,7 * JAN-mar MON", "*/5 1-5/2,7 * JAN-mar MON"),
        ("0 0 ? * 1", "0 0 * * 1"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("0 0 30 2 1", "0 0 30 2 1"),
    ],
)
def test_a_right_cron_expression_is_kept(expression: str, kept: str) -> None:
    assert CronSchedule(expression).document().cron == kept


def test_other_parts_of_schedules_and_notifications_are_checked() -> None:
    assert FixedRate(timedelta(minutes=5)).document() == Schedule(every_s=300)
    with pytest.raises(CompileError, match="at least a second"):
        FixedRate(timedelta(0))
    with pytest.raises(CompileError, match="not a known time zone"):
        CronSchedule("@daily", timezone="Berlin")
    with pytest.raises(CompileError, match="is not how an execution ends"):
        Email(["RUNNING"], ["a@b"])
    with pytest.raises(CompileError, match="is not a mail address"):
        Email(["FAILED"], ["nobody"])
    with pytest.raises(CompileError, match="with at least one element"):
        Email([], ["a@b"])
    with pytest.raises(CompileError, match="starts a workflow, not"):
        LaunchPlan.create("x", weigh)  # type: ignore[call-overload]
