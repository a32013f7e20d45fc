"""Bad input: the exact message, exit code 2, and nothing started. Platform trouble: exit code 3 with the cause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.command import Command

CASES: list[tuple[str, list[str], str]] = [
    ("unknown command", ["rum"], "No such command 'rum'."),
    (
        "no entity of that name",
        ["run", "FILE", "doubld"],
        "'doubld' does not exist in program.py. Did you mean doubled or double?",
    ),
    (
        "no such file",
        ["run", "nowhere.py", "wf"],
        "There is no file nowhere.py. Give the path of a Python file.",
    ),
    (
        "not Python",
        ["run", "README.md", "wf"],
        "README.md is not a Python file. Give a file that ends in .py.",
    ),
    ("unknown option", ["run", "--frob", "FILE", "doubled"], "--frob is not an option of run."),
    ("unknown input", ["run", "FILE", "doubled", "--m", "1"], "doubled has no input --m. Its inputs: --n."),
    ("missing input", ["run", "FILE", "doubled"], "Missing input --n (int). Give --n VALUE"),
    ("wrong type", ["run", "FILE", "doubled", "--n", "2.5"], "--n: expected int, got '2.5'"),
    ("no value", ["run", "FILE", "doubled", "--n"], "--n needs a value: --n int."),
    ("twice", ["run", "FILE", "doubled", "--n", "1", "--n", "2"], "--n is given twice; give it once."),
    ("stray word", ["run", "FILE", "doubled", "3"], "Unexpected word '3' after doubled."),
    ("bad format", ["run", "-o", "xml", "FILE", "doubled"], "--output takes 'text' or 'json', not 'xml'."),
    (
        "bad id",
        ["run", "--name", "../x", "FILE", "doubled", "--n", "1"],
        "'../x' is not a valid execution id.",
    ),
    (
        "bad launcher",
        ["run", "--launcher", "bus", "FILE", "doubled", "--n", "1"],
        "there is no launcher 'bus'. There are: docker, kubernetes, podman, pool, process.",
    ),
    (
        "no inputs file",
        ["run", "--inputs", "no.json", "FILE", "doubled"],
        "--inputs no.json cannot be read: No such file",
    ),
    (
        "local with a name",
        ["run", "--local", "--name", "a", "FILE", "doubled", "--n", "1"],
        "leave out --local.",
    ),
    (
        "local and held",
        ["run", "--local", "--pause-on-failure", "FILE", "doubled", "--n", "1"],
        "--pause-on-failure is for durable executions; leave it out, or leave out --local.",
    ),
    ("run without a file", ["run"], "run needs a FILE and an ENTITY"),
    ("get without ID", ["get", "nodes"], "Missing argument 'ID'."),
    ("no such phase", ["get", "executions", "--phase", "DONE"], "--phase: 'DONE' is no phase."),
]


@pytest.mark.parametrize(("words", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_bad_usage_is_refused_and_starts_nothing(
    fresh_cli: Command, program: Path, words: list[str], message: str
) -> None:
    done = fresh_cli(*[str(program) if word == "FILE" else word for word in words], expect=2)
    assert message in done.stderr
    assert done.stderr.count("Error: ") == 1
    assert "Traceback" not in done.stderr
    assert not (fresh_cli.home / "metadata.db").exists(), "the stack was started"


def test_all_faults_of_the_inputs_are_listed(fresh_cli: Command, program: Path) -> None:
    done = fresh_cli("run", program, "gated", "--n", "x", expect=2)
    assert "The inputs of gated do not fit:\n  Missing input --path (str)." in done.stderr
    assert "\n  --n: expected int, got 'x'" in done.stderr


def test_a_module_that_raises_shows_the_users_own_lines(fresh_cli: Command, program: Path) -> None:
    program.write_text("import os\n\nvalue = {}['key']\n", encoding="utf-8")
    done = fresh_cli("run", program, "wf", expect=2)
    assert "cannot be imported: KeyError: 'key'" in done.stderr
    assert 'program.py", line 3' in done.stderr
    assert "flyte_temporal/" not in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "must hold an object of inputs"),
        ("{", "expected JSON"),
        ('{"m": 1}', "doubled has no input 'm'."),
        ('{"n": "x"}', "--n: expected int"),
        ('{"n": 1.5}', "--n: expected int"),
    ],
)
def test_bad_files_of_inputs(
    fresh_cli: Command, program: Path, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "inputs.json"
    file.write_text(text, encoding="utf-8")
    assert message in fresh_cli("run", "--inputs", file, program, "doubled", expect=2).stderr


def test_json_on_bad_usage_is_one_document_too(fresh_cli: Command, program: Path) -> None:
    done = fresh_cli("run", "-o", "json", program, "doubled", expect=2)
    assert done.document["id"] is None
    assert done.document["phase"] is None
    assert (done.document["error"]["kind"], done.document["error"]["code"]) == ("user", "InvalidInputs")


def test_debug_shows_the_traceback(fresh_cli: Command, program: Path) -> None:
    assert "Traceback" in fresh_cli("run", "--debug", program, "doubled", expect=2).stderr
    assert "Traceback" in fresh_cli("--debug", "run", program, "doubled", expect=2).stderr


def test_what_user_code_prints_never_reaches_stdout(fresh_cli: Command, program: Path) -> None:
    program.write_text(
        "import os\nprint('loading')\nos.system('echo child')\n" + program.read_text(), encoding="utf-8"
    )
    done = fresh_cli("run", "--local", "-o", "json", program, "doubled", "--n", "2")
    assert json.loads(done.stdout)["outputs"] == {"o0": 8}
    assert [word for word in ("loading", "child", "doubling 2") if word not in done.stderr] == []


def test_a_plain_run_that_fails_ends_with_1(fresh_cli: Command, program: Path) -> None:
    done = fresh_cli("run", "--local", "-o", "json", program, "failing", "--n", "2", expect=1)
    assert done.document["phase"] == "FAILED"
    assert done.document["error"]["message"] == "ValueError: cannot take 2"
    assert 'program.py", line' in done.stderr


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path, program: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    done = Command(blocked / "home")("run", program, "doubled", "--n", "1", expect=3)
    assert str(blocked) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_temporal_program_is_named(tmp_path: Path, program: Path) -> None:
    cli = Command(tmp_path / "h", (("FLYTE_TEMPORAL_LOCAL__TEMPORAL_PROGRAM", "/nonexistent/temporal"),))
    try:
        done = cli("run", "-o", "json", program, "doubled", "--n", "1", expect=3)
        assert "/nonexistent/temporal" in done.document["error"]["message"]
        assert done.document["error"]["kind"] == "system"
    finally:
        cli("down", expect=None)


def test_version_and_help(fresh_cli: Command, program: Path) -> None:
    assert fresh_cli("--version").stdout.startswith("flyte-temporal ")
    assert "Commands:" in fresh_cli("--help").stdout
    assert "--detach" in fresh_cli("run", "--help").stdout
    listing = fresh_cli("run", program).stdout
    assert [
        name for name in ("doubled", "(n: int)", "gated", "(path: str, n: int)") if name not in listing
    ] == []
    assert "--n  int" in fresh_cli("run", program, "doubled", "--help").stdout
    assert not fresh_cli.home.exists()
