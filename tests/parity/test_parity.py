"""Every feature, both ways, compared with what its `.toml` states.

`TEST_LAUNCHER=podman` runs the durable half in containers (make test-containers).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers import engines
from tests.e2e.command import LIMITS, Command, Done
from tests.e2e.forking import forked
from tests.parity.case import CASES, Case, cases, matches

ANSWERED_WITHIN_S = 60.0
SECRETS = {"_FSEC_DB_PASSWORD": "s3cret ", "_FSEC_SHOP_LEVEL": "IMMEDIATE"}
"""Secrets of the cases' tasks, in the environment of whoever starts the stack (docs/secrets.md)."""


WRITES = """
from pathlib import Path
from flyte_temporal import task

@task
def write() -> str:
    Path("t.csv").write_text("b,2")
    return str(Path("t.csv").absolute())
"""
REPRESENTATIVE = {
    "conditional-8-nested",
    "dynamic-3-sort",
    "failures-0-goes_on",
    "launch_plans-4-both",
    "map_task-6-some_may_fail",
    "node_handlers-0-in_a_sub_workflow",
}
"""A case of each shape, run with everything in batches."""


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    variables = tuple({**SECRETS, **engines.chosen()}.items())
    with forked(tmp_path_factory.mktemp("home") / "h", variables) as command:
        try:
            yield command
        finally:
            command("down", expect=None)


@pytest.fixture(scope="module")
def cli_with_batches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    batches = (f"{LIMITS}BATCHES", "always")
    command = Command(tmp_path_factory.mktemp("home") / "h", (*SECRETS.items(), batches))
    try:
        yield command
    finally:
        command("down", expect=None)


def check(case: Case, done: Done) -> None:
    if case.refused:
        assert done.code == 2, done
        assert case.refused in " ".join(done.stderr.split()), done.stderr
        return
    assert done.stdout, done.stderr
    document = done.document
    if case.error is not None:
        assert done.code == 1, done
        assert document["phase"] == "FAILED", document
        found = document["error"]
        wanted = dict(case.error)
        assert wanted.pop("message", "") in found["message"], found
        assert {name: found.get(name) for name in wanted} == wanted
        return
    assert (done.code, document["phase"], document["error"]) == (0, "SUCCEEDED", None), done
    expected = case.outputs or {}
    assert document["outputs"].keys() == expected.keys()
    differing = {k: v for k, v in document["outputs"].items() if not matches(expected[k], v)}
    assert differing == {}


def test_each_file_states_its_runs() -> None:
    assert {f.stem for f in CASES.glob("*.py")} == {f.stem for f in CASES.glob("*.toml")}


@pytest.mark.slow
@pytest.mark.parametrize("case", cases("plain"), ids=str)
def test_plain(cli: Command, tmp_path: Path, case: Case) -> None:
    words = case.words(tmp_path)
    if case.answers:
        answers = tmp_path / "answers.json"
        answers.write_text(json.dumps(case.answers), encoding="utf-8")
        words += ["--answers", str(answers)]
    check(case, cli("run", "--local", "-o", "json", *words, expect=None))


@pytest.mark.slow
def test_a_program_writes_into_a_folder_of_its_commands_own(cli: Command, tmp_path: Path) -> None:
    """Not into the repository, where others of the same name are."""
    (program := tmp_path / "writes.py").write_text(WRITES)
    (path,) = cli("run", "--local", "-o", "json", program, "write").document["outputs"].values()
    assert Path(path).parent.parent == cli.home.parent


@pytest.mark.slow
@pytest.mark.parametrize("case", cases("durable"), ids=str)
def test_durable(cli: Command, tmp_path: Path, case: Case) -> None:
    runs_durably(cli, tmp_path, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in cases("durable") if str(case) in REPRESENTATIVE], ids=str)
def test_batches_change_nothing(cli_with_batches: Command, tmp_path: Path, case: Case) -> None:
    """Few, of each shape one; `make chaos` runs all of them, and with batches off."""
    runs_durably(cli_with_batches, tmp_path, case)


def test_each_representative_is_a_case() -> None:
    assert {str(case) for case in cases("durable")} >= REPRESENTATIVE


def runs_durably(cli: Command, tmp_path: Path, case: Case) -> None:
    words = case.words(tmp_path)
    if not case.answers:
        done = cli("run", "-o", "json", *words, expect=None)
        check(case, done)
    else:
        started = cli("run", "--detach", "-o", "json", *words)
        _answer(cli, started.document["id"], case.answers)
        done = cli("wait", "-o", "json", started.document["id"], expect=None)
        check(case, done)
    if case.nodes:
        rows = cli("get", "nodes", "-o", "json", done.document["id"]).document
        phases = {row["id"]: row["phase"] for row in rows}
        assert {name: phases.get(name) for name in case.nodes} == case.nodes


def _answer(cli: Command, execution: str, answers: dict[str, Any]) -> None:
    for gate, value in answers.items():
        match value:
            case True:
                words = ["approve", execution, gate]
            case False:
                words = ["reject", execution, gate]
            case str():
                words = ["set-input", execution, gate, value]
            case _:
                words = ["set-input", execution, gate, json.dumps(value)]
        deadline = time.monotonic() + ANSWERED_WITHIN_S
        # A gate of a dynamic task is only known once the task has run.
        while cli(*words, expect=None).code != 0:
            assert time.monotonic() < deadline, f"{words} was never taken"
