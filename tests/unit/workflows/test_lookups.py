"""When a node that waits for another one's outputs asks again, and by which key nodes are asked for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio import workflow

from flyte_temporal.spec import lookup_calls
from flyte_temporal.spec.cache import interface_digest
from flyte_temporal.spec.execution import CacheStatus, Environment, Fix, MendedTask, NodeRef
from flyte_temporal.spec.policies import CacheSettings, Overrides
from flyte_temporal.testing import closures
from flyte_temporal.workflows import lookups
from flyte_temporal.workflows.body import workflow_body
from flyte_temporal.workflows.fixes import Fixes
from flyte_temporal.workflows.inbox import Inbox
from flyte_temporal.workflows.lookups import WAITS, Lookups, asks_after
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.recovering import Recovering
from flyte_temporal.workflows.scope import NodeState
from tests.workflow.caching import cached

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = (CacheSettings(enabled=True, version=f"auto-{which}") for which in ("old", "new"))


@pytest.mark.parametrize("told", [4, 1_023, 1_024, 5_000])
def test_the_pause_between_questions_stays_at_its_longest_however_often_it_was_told(told: int) -> None:
    assert asks_after(told, 30, mine=False) == WAITS.max_s


def test_the_pause_grows_and_ends_with_the_lease() -> None:
    assert [asks_after(told, 30, mine=False) for told in range(4)] == [1, 2, 4, 8]
    assert asks_after(3, 2, mine=False) == 2.1
    assert asks_after(0, 30, mine=True) == WAITS.max_s
    assert asks_after(0, -1, mine=True) == 0.1


@pytest.mark.parametrize(
    ("holder", "granted", "seconds"),
    [("n1", True, WAITS.max_s), ("n1", False, WAITS.initial_s), ("other", True, WAITS.initial_s)],
    ids=["of this run", "of its shard", "of another execution"],
)
async def test_only_who_is_woken_by_its_own_run_asks_late(
    monkeypatch: pytest.MonkeyPatch, holder: str, *, granted: bool, seconds: float
) -> None:
    async def no_pause(_seconds: float, _why: str) -> None:
        """The clock stands still."""

    monkeypatch.setattr(workflow, "now", lambda: NOW)
    monkeypatch.setattr(lookups, "pause", no_pause)
    asked = Asked()
    first = NodeState(asked.state.scope, closures.step("n1", 1), "n1", 0)
    for state in (first, asked.state):
        assert asked.lookups.take(state)
        asked.lookups._item(state)
    if granted:
        assert asked.lookups.settle(first, lookup_calls.LookupAnswer(token=7))
    of = NodeRef(execution="e" if holder == "n1" else "other", node="n1")
    assert not asked.lookups.settle(asked.state, lookup_calls.LookupAnswer(holder=of, again_s=30))
    assert asked.state.again_at == NOW + timedelta(seconds=seconds)
    await asyncio.sleep(0)


class Asked:
    """A node of a cached task, the lookups of its run, and the code that is brought into it."""

    def __init__(self, override: CacheSettings | None = None) -> None:
        node = closures.step("n0", 1)
        if override is not None:
            node = node.model_copy(update={"overrides": Overrides(cache=override)})
        closure = closures.closure(closures.workflow("shapes.one", [node], closures.out("n0")))
        closure = cached(closure, version=OLD.version)
        given = closures.run_input(closure, "e", 1)
        program = Program(closure, given.request.spec)
        self.interface = interface_digest(closure.tasks[closures.STEP].interface)
        scope = workflow_body(program, program.main, dict(given.request.inputs), None)
        self.state = NodeState(scope, node, "n0", 0)
        self.fixes = Fixes(given.request, NOW)
        self.lookups = Lookups(given, Inbox(), Recovering(None), self.fixes)

    def mend(self, cache: CacheSettings = NEW, bundle: str = "fixed") -> None:
        task = MendedTask(name=closures.STEP, interface=self.interface, cache=cache)
        where = Environment(interpreter=bundle)
        self.fixes.add(Fix(spec="f" * 64, environment=where, tasks={closures.STEP: task}))

    def version(self) -> str:
        """Ask for it, as far as that goes without Temporal."""
        item = self.lookups._item(self.state)
        assert item.key == (self.state.memo.key if self.state.memo else "")
        return self.state.memo.version if self.state.memo else ""


def test_a_node_that_was_queued_before_code_was_fixed_is_asked_for_by_the_key_of_the_new_code() -> None:
    """Likewise one that waited for another node: it is queued once more."""
    asked = Asked()
    assert asked.lookups.take(asked.state)
    assert asked.version() == "auto-old"
    asked.mend()
    assert (asked.version(), asked.state.fix) == ("auto-new", 1)


def test_a_node_whose_fixed_code_is_not_cached_is_remembered_by_nothing() -> None:
    asked = Asked()
    assert asked.lookups.take(asked.state)
    assert asked.version() == "auto-old"
    asked.mend(CacheSettings())
    assert (asked.version(), asked.state.cache) == ("", CacheStatus.DISABLED)


def test_a_computed_version_of_a_node_alone_is_another_one_with_each_fixed_code() -> None:
    found = []
    for bundles in ([], ["one"], ["one"], ["two"]):
        asked = Asked(override=OLD)
        for bundle in bundles:
            asked.mend(CacheSettings(), bundle)
        found.append(asked.version())
    assert found[0] == "auto-old"
    assert found[1] == found[2]
    assert len(set(found)) == 3


def test_a_version_of_the_authors_own_stays() -> None:
    asked = Asked(override=CacheSettings(enabled=True, version="7"))
    asked.mend()
    assert asked.version() == "7"
