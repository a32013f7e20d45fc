"""What travels together: from the spec, from measured durations, and never at the cost of idle slots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import Environment
from flyte_temporal.spec.policies import TaskPolicy
from flyte_temporal.spec.runs import RunInput, RunLimits
from flyte_temporal.testing import closures
from flyte_temporal.workflows.body import Body, workflow_body
from flyte_temporal.workflows.forming import MEMBERS, SHORT_S, Forming, in_words
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.scope import NodeState

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def with_policy(closure: Closure, policy: TaskPolicy) -> Closure:
    tasks = {name: task.model_copy(update={"policy": policy}) for name, task in closure.tasks.items()}
    return closure.model_copy(update={"tasks": tasks})


def given(
    closure: Closure, *, slots: int = 2, batches: str = "on", launcher: str = "pool", interpreter: int = 3
) -> RunInput:
    limits = RunLimits(batches=batches, slots=slots)
    run = closures.run_input(closure, "e", 1, limits, Environment(launcher=launcher))
    return run.model_copy(update={"interpreter": interpreter})


def ready(closure: Closure) -> list[NodeState]:
    program = Program(closure, "0" * 64)
    body: Body = workflow_body(program, program.main, {}, None)
    body.states += [NodeState(body, p.node, p.path, order) for order, p in enumerate(body.places())]
    return body.first()


def offered(forming: Forming, states: list[NodeState]) -> list[NodeState]:
    for state in states:
        assert forming.takes(state)
        forming.add(state)
    return states


def sizes(forming: Forming, pending: int = 0, now: datetime = NOW) -> list[int]:
    """Return the sizes of all that is asked for now."""
    found = []
    while group := forming.next(pending, now):
        found.append(len(group))
        pending += 1
    return found


SHORT = TaskPolicy(short=True)


def test_declared_short_siblings_are_spread_evenly_over_the_slots() -> None:
    for width, slots, expected in [(20, 2, [10, 10]), (5, 4, [2, 1, 1, 1]), (3, 8, [1, 1, 1])]:
        closure = with_policy(closures.fan_out(width), SHORT)
        forming = Forming(given(closure, slots=slots))
        offered(forming, ready(closure))
        assert sizes(forming) == expected


def test_a_wide_map_keeps_a_full_batch_waiting_behind_each_slot() -> None:
    closure = with_policy(closures.fan_out(1000), SHORT)
    forming = Forming(given(closure))
    states = offered(forming, ready(closure))
    assert sizes(forming) == [MEMBERS] * 4
    forming.landed(states[0])
    assert sizes(forming, pending=3) == [MEMBERS]


def test_what_is_small_does_not_wait_behind_busy_slots() -> None:
    closure = with_policy(closures.fan_out(30), SHORT)
    forming = Forming(given(closure))
    offered(forming, ready(closure)[:10])
    assert sizes(forming) == [5, 5]
    offered(forming, ready(closure)[10:])
    assert sizes(forming, pending=2) == []
    assert sizes(forming, pending=1) == [20]


def test_a_busy_pool_does_not_keep_short_ones_from_being_asked_for() -> None:
    closure = with_policy(closures.fan_out(10), SHORT)
    forming = Forming(given(closure))
    offered(forming, ready(closure))
    assert sizes(forming, pending=50) == [5, 3]


def test_the_first_of_an_unknown_task_go_alone_and_tell() -> None:
    closure = closures.fan_out(100)
    forming = Forming(given(closure))
    states = offered(forming, ready(closure))
    assert sizes(forming) == [1] * 2
    assert forming.wonders
    forming.measured(states[0], 0.010)
    assert sizes(forming, pending=1) == [20, 20, 20, 19]  # 0.2 s of 10 ms each; the last two slots evenly
    assert not forming.wonders


@pytest.mark.parametrize("known", [False, True])
def test_long_tasks_are_not_held_back(known: bool) -> None:
    closure = closures.fan_out(30)
    forming = Forming(given(closure))
    states = offered(forming, ready(closure))
    assert sizes(forming) == [1] * 2
    if known:
        forming.measured(states[0], 2 * SHORT_S)
        assert sizes(forming) == [1] * 28
    else:
        assert sizes(forming, now=NOW + timedelta(seconds=1)) == [1] * 28


def test_one_outlier_does_not_make_a_task_long() -> None:
    closure = closures.fan_out(30)
    forming = Forming(given(closure))
    states = offered(forming, ready(closure))
    sizes(forming)
    for seconds in (0.8, 0.001):
        forming.measured(states[0], seconds)
    assert max(sizes(forming)) > 1


def test_a_line_of_nodes_travels_as_a_segment() -> None:
    closure = with_policy(closures.chain(30), SHORT)
    forming = Forming(given(closure))
    offered(forming, ready(closure))
    group = forming.next(0, NOW)
    assert [state.path for state in group] == [f"n{i}" for i in range(30)]
    assert in_words(group) == "n0 … n29"


def test_a_segment_ends_where_others_wait_too() -> None:
    nodes = [
        closures.step("a", 1),
        closures.step("b", closures.out("a")),
        closures.step("c", closures.out("b")),
        closures.step("d", closures.out("b")),
    ]
    closure = with_policy(closures.closure(closures.workflow("w.w", nodes, closures.out("d"))), SHORT)
    forming = Forming(given(closure))
    offered(forming, ready(closure))
    assert [state.path for state in forming.next(0, NOW)] == ["a", "b"]


def test_what_could_run_side_by_side_is_not_put_in_line_while_slots_are_idle() -> None:
    closure = with_policy(closures.layers(3, 4), SHORT)
    forming = Forming(given(closure, slots=2))
    offered(forming, ready(closure)[:1])
    assert [state.path for state in forming.next(0, NOW)] == ["n0_0"]


def test_behind_busy_slots_a_whole_corner_of_the_graph_travels() -> None:
    closure = with_policy(closures.layers(3, 6), SHORT)
    forming = Forming(given(closure, slots=2))
    offered(forming, ready(closure))
    first, second = forming.next(0, NOW), forming.next(1, NOW)
    # Layers of 3, 2 and 1 nodes; each stands behind both that it needs.
    assert {state.path for state in first} == {"n0_0", "n0_1", "n0_2", "n1_0", "n1_1", "n2_0"}
    assert len(second) == 6
    order = [state.path for state in first]
    for state in first:
        assert all(order.index(name) < order.index(state.path) for name in state.node.upstream())


def test_what_may_not_travel_together() -> None:
    chain = closures.chain(2)
    for closure, options in [
        (with_policy(chain, TaskPolicy(short=False)), {}),
        (with_policy(chain, TaskPolicy(interruptible=True)), {}),
        (chain, {"batches": "off"}),
        (chain, {"launcher": "process"}),
        (chain, {"interpreter": 2}),
    ]:
        assert not Forming(given(closure, **options)).takes(ready(closure)[0])  # type: ignore[arg-type]
    dynamic = {n: t.model_copy(update={"type": "dynamic"}) for n, t in chain.tasks.items()}
    closure = chain.model_copy(update={"tasks": dynamic})
    assert not Forming(given(closure)).takes(ready(closure)[0])
    retried = ready(chain)[0]
    retried.attempts = 1
    assert not Forming(given(chain)).takes(retried)
    retried.token = "asked for, not begun"
    assert Forming(given(chain)).takes(retried)


def test_images_are_not_mixed() -> None:
    closure = with_policy(closures.layers(2, 4), SHORT)
    tasks = {
        n: t.model_copy(update={"policy": TaskPolicy(short=True, image="other")}) if n == closures.JOIN else t
        for n, t in closure.tasks.items()
    }
    closure = closure.model_copy(update={"tasks": tasks})
    forming = Forming(given(closure, slots=1))
    offered(forming, ready(closure))
    assert sizes(forming) == [4]


def test_nodes_of_a_stopped_scope_are_given_up() -> None:
    closure = with_policy(closures.fan_out(10), SHORT)
    forming = Forming(given(closure))
    states = offered(forming, ready(closure))
    assert forming.drop({id(states[0].scope)}) == states
    assert not forming
    assert sizes(forming) == []
