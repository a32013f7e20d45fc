"""The words of `recover`, and its plan as a person sees it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.cli import recover
from flyte_temporal.cli.flags import InputFlags
from flyte_temporal.cli.output import Output
from flyte_temporal.cli.place import Place
from flyte_temporal.cli.recover import _submission
from flyte_temporal.cli.recovery_plan import plan_document, plan_lines
from flyte_temporal.cli.words import read_recover
from flyte_temporal.client import RecoverySubmission
from flyte_temporal.control.documents import Fate, PlannedNode, RecoveryPlan
from flyte_temporal.errors import BadRequest
from flyte_temporal.sdk.loader import find_entity, load_file
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.spec.execution import ExecutionPhase, ExecutionRecord, NodeRef
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.types import STRING
from flyte_temporal.testing.blobs import MemoryBlobStore
from tests.unit.cli.scripted import Screen, record


def test_options_stand_on_both_sides_of_the_id() -> None:
    command = read_recover(["--trust-code", "run-1", "--from", "n1", "--lr", "1", "--from=n2", "--dry-run"])
    interface = Interface(inputs=(Variable(name="lr", type=STRING),))
    given = InputFlags("train", interface).read(command.rest, command.options)
    assert command.id == "run-1"
    assert given.texts == {"lr": "1"}
    assert command.options.switches == {"--trust-code", "--dry-run"}
    assert command.options.all == {"--from": ["n1", "n2"]}


@pytest.mark.parametrize(
    ("words", "inputs", "expected"),
    [
        (["run-1", "--file", "f.py"], [], "f.py"),
        (["run-1", "--file=f.py"], [], "f.py"),
        (["--file", "f.py", "run-1"], ["file"], "f.py"),
        (["run-1", "--file", "data.csv"], ["file"], None),
        (["run-1"], [], None),
    ],
)
def test_the_file_is_found_before_the_inputs_are_known(
    words: list[str], inputs: list[str], expected: str | None
) -> None:
    found = read_recover(words).file(inputs)
    assert (None if found is None else str(found)) == expected


def test_images_are_given_as_for_run() -> None:
    words = ["--launcher", "podman", "--image", "all:1", "run-1", "--image", "tools=tools:1", "--detach"]
    command = read_recover(words)
    InputFlags("train", Interface()).read(command.rest, command.options)
    made = _submission(command, "run-1", None, None)
    assert (made.launcher, made.image, made.images) == ("podman", "all:1", {"tools": "tools:1"})


def test_an_option_of_another_command_is_refused() -> None:
    with pytest.raises(BadRequest, match="--local is not an option of recover"):
        read_recover(["--local", "run-1"])
    assert read_recover([]).id is None


def planned(path: str, fate: Fate, reason: str = "", source: NodeRef | None = None) -> PlannedNode:
    return PlannedNode(id=path, name=path, kind="task", fate=fate, reason=reason, source=source)


def test_a_plan_says_what_is_copied_and_why_the_rest_is_not() -> None:
    nodes = (
        planned("n0", Fate.COPIED, source=NodeRef(execution="older", node="n0")),
        planned("n1", Fate.RUNS, "1 of the 3 in it run"),
        planned("n1[0]", Fate.COPIED, source=NodeRef(execution="before", node="n1[0]")),
        planned("n1[1]", Fate.RUNS, "it failed before"),
        planned("n1[2]", Fate.COPIED),
        planned("n2", Fate.OPEN, "it depends on n1"),
    )
    plan = RecoveryPlan(source="before", nodes=nodes, notes=("The input y is no longer taken.",))
    assert plan_lines(plan) == [
        "Recovers before: 3 of 6 nodes copied, 2 run, 1 decided on the way.",
        "  ✓ n0       n0     copied from older n0",
        "  ▶ n1       n1     runs: 1 of the 3 in it run (2 items copied)",
        "  ▶   n1[1]  n1[1]  runs: it failed before",
        "  ? n2       n2     open: it depends on n1; copied if that is as before",
        "The input y is no longer taken.",
    ]
    document = plan_document(plan)
    assert (document["copied"], document["runs"], document["open"]) == (3, 2, 1)
    assert document["nodes"][0]["source"] == {"execution": "older", "node": "n0"}


def test_a_large_plan_leaves_out_what_is_copied_first() -> None:
    nodes = [planned(f"n{i}", Fate.COPIED) for i in range(500)]
    nodes[300] = planned("n300", Fate.RUNS, "it failed before")
    lines = plan_lines(RecoveryPlan(source="before", nodes=tuple(nodes)))
    assert lines[1:] == ["  ▶ n300  n300  runs: it failed before", "  … and 499 copied"]


HASHES = """
from typing import Annotated
from flyte_temporal import HashMethod, task

def first(text: str) -> str:
    return "first " + text[:1]

@task
def count(text: Annotated[str, HashMethod(first)], n: int = 1) -> int:
    return len(text) * n
"""


class FakeClient:
    """Has one execution, of the task `count`, and notes what is to be recovered."""

    def __init__(self, interface: Interface, values: ValueContext) -> None:
        self.interface = interface
        self._values = values
        self.asked: list[RecoverySubmission] = []

    def execution(self, _id: str) -> FakeClient:
        return self

    def record(self) -> ExecutionRecord:
        made = record(ExecutionPhase.FAILED)
        root = made.request.root.model_copy(update={"kind": "task", "name": "older.count"})
        return made.model_copy(update={"request": made.request.model_copy(update={"root": root})})

    def values(self) -> ValueContext:
        return self._values

    def preview_recovery(self, submission: RecoverySubmission) -> RecoveryPlan:
        self.asked.append(submission)
        return RecoveryPlan(source="e1")


@pytest.mark.parametrize(("with_file", "expected"), [(True, "first a"), (False, None)])
def test_inputs_given_anew_have_the_hash_of_the_author_where_the_code_is_given(
    with_file: bool,
    expected: str | None,
    screen: Screen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "hashes.py"
    file.write_text(HASHES)
    interface = find_entity(load_file(file), "count").interface
    client = FakeClient(interface, ValueContext(MemoryBlobStore(), tmp_path))

    def open_fake(_output: Output, _place: Place) -> Any:
        return nullcontext(client)

    monkeypatch.setattr(recover, "open_client", open_fake)
    words = ["--file", str(file)] if with_file else []
    recover.recover_command(["e1", *words, "--text", "apple", "--dry-run"], screen.output)
    ((name, literal),) = client.asked[0].inputs.items()
    assert (name, literal.hash) == ("text", expected)
