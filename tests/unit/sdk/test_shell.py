"""Shell tasks: what a script gets, what it gives, and how it fails."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal import FlyteFile, OutputLocation, ShellTask, kwtypes
from flyte_temporal.compiler import compile_entity
from flyte_temporal.sdk import shell
from flyte_temporal.sdk.plain import run_plain
from flyte_temporal.sdk.shell import ScriptFailed, text_of


@dataclasses.dataclass
class Point:
    x: int
    label: str


class Color(str, Enum):  # noqa: UP042 - the older way, whose text in an f-string is "Color.RED"
    RED = "red"


def says(type_: Any, location: str = "said", **options: Any) -> list[OutputLocation]:
    return [OutputLocation("said", type_, location, **options)]


def task(script: str, **options: Any) -> ShellTask:
    return ShellTask("tests.shell", script=script, **options)


echo = ShellTask(
    "tests.echo",
    script="printf %s {inputs.p.label} > {outputs.said}",
    inputs=kwtypes(p=Point),
    output_locs=says(str, "deep/{inputs.p.x}.txt"),
)


def test_attributes_of_values_and_templated_locations(tmp_path: Path) -> None:
    assert run_plain(echo, {"p": Point(3, "a b")}, tmp_path) == {"said": "a b"}
    assert [f.read_text() for f in tmp_path.rglob("deep/3.txt")] == ["a b"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "True"),
        (1.5, "1.5"),
        (Color.RED, "red"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        ([1, "ä"], '[1, "ä"]'),
        ({"a": datetime(2026, 1, 2, tzinfo=UTC)}, '{"a": "2026-01-02T00:00:00+00:00"}'),
        (Point(1, "p"), '{"x": 1, "label": "p"}'),
        (Path("/a b"), "/a b"),
    ],
)
def test_how_a_script_reads_values(value: Any, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("type_", "written", "value"),
    [(int, "12", 12), (float, "1e3", 1000.0), (bool, "true", True), (str, " a\nb", " a\nb")],
)
def test_an_output_can_be_what_a_file_says(type_: Any, written: str, value: Any) -> None:
    made = task("printf '%s\\n' {inputs.x} > {outputs.said}", inputs=kwtypes(x=str), output_locs=says(type_))
    assert run_plain(made, {"x": written}) == {"said": value}


def test_what_is_no_number_is_refused_with_what_was_said() -> None:
    made = task("echo many > {outputs.said}", output_locs=says(int))
    with pytest.raises(ScriptFailed, match="declared as int, but the script wrote 'many'"):
        run_plain(made, {})


def test_a_missing_output_names_its_place() -> None:
    with pytest.raises(ScriptFailed, match=r"did not leave the output 'said'.*\{outputs\.said\}"):
        run_plain(task("true", output_locs=says(FlyteFile)), {})


def test_a_failure_shows_the_last_lines_of_standard_error() -> None:
    lines = "for i in $(seq 100); do echo line $i >&2; done; exit 3"
    with pytest.raises(ScriptFailed) as caught:
        run_plain(task(lines), {})
    assert caught.value.message.startswith(
        "The script of shell ended with exit code 3. It said last:\nline 81\n"
    )
    assert caught.value.message.endswith("line 100")


def test_what_is_printed_goes_where_python_prints(capsys: pytest.CaptureFixture[str]) -> None:
    run_plain(task("echo out; echo err >&2"), {})
    assert capsys.readouterr() == ("out\n", "err\n")


def test_debug_prints_the_script_without_values(capsys: pytest.CaptureFixture[str]) -> None:
    run_plain(task("true {inputs.x}", inputs=kwtypes(x=str), debug=True), {"x": "private"})
    said = capsys.readouterr().out
    assert "true" in said
    assert "private" not in said


def test_a_value_may_be_larger_than_an_argument_can_be() -> None:
    made = task("x={inputs.x}; echo ${#x} > {outputs.said}", inputs=kwtypes(x=str), output_locs=says(int))
    assert run_plain(made, {"x": "a" * 1_000_000}) == {"said": 1_000_000}


def test_values_are_not_in_the_environment_of_children() -> None:
    made = task("true {inputs.x}; env > {outputs.said}", inputs=kwtypes(x=str), output_locs=says(str))
    assert "needle" not in run_plain(made, {"x": "needle"})["said"]


def test_the_script_sees_no_arguments_and_its_own_name() -> None:
    made = task('echo "$#|${0##*/}" > {outputs.said}', output_locs=says(str))
    assert run_plain(made, {}) == {"said": "0|script.sh"}


def test_a_null_character_is_refused() -> None:
    with pytest.raises(ScriptFailed, match="null character"):
        run_plain(task("echo {inputs.x}", inputs=kwtypes(x=str)), {"x": "a\0b"})


def test_the_posix_shell_will_do() -> None:
    made = task(
        "printf %s {inputs.x} > {outputs.said}", inputs=kwtypes(x=str), output_locs=says(str), shell="/bin/sh"
    )
    assert run_plain(made, {"x": "$(id) 'q'"}) == {"said": "$(id) 'q'"}


def test_a_process_left_behind_does_not_hold_the_task() -> None:
    begun = time.monotonic()
    run_plain(task("sleep 30 & echo done"), {})
    assert time.monotonic() - begun < 20


def test_a_stopped_task_stops_its_script(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    made = task(
        f"trap 'echo stopped > {tmp_path}/trapped; exit 1' TERM; touch {tmp_path}/ready; sleep 60 & wait"
    )

    def stop() -> None:
        deadline = time.monotonic() + 30
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    # Whoever starts the tests in the background may have had SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_plain(made, {})
    assert (tmp_path / "trapped").read_text() == "stopped\n"


def test_a_task_that_is_stopped_before_its_output_is_read_stops_its_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = task(
        f"trap 'echo stopped > {tmp_path}/trapped; exit 1' TERM; touch {tmp_path}/ready; sleep 60 & wait"
    )

    def interrupted(*_: object) -> None:
        deadline = time.monotonic() + 30
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        raise KeyboardInterrupt

    monkeypatch.setattr(shell, "_readers", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_plain(made, {})
    assert (tmp_path / "trapped").read_text() == "stopped\n"


def test_a_script_file_stands_beside_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "job.sh").write_text("echo from a file > {outputs.said}\n")
    (tmp_path / "filed.py").write_text(
        "from flyte_temporal import OutputLocation, ShellTask\n"
        "t = ShellTask('filed.t', script_file='job.sh', output_locs=[OutputLocation('said', str, 'said')])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import importlib

    made = importlib.import_module("filed").t
    try:
        assert run_plain(made, {}) == {"said": "from a file"}
        spec = compile_entity(made).tasks["filed.t"]
    finally:
        del sys.modules["filed"]
    assert spec.type == "shell"
    assert spec.config["script"] == "echo from a file > {outputs.said}\n"
    assert spec.entry is not None
    assert (spec.entry.module, spec.entry.name) == ("filed", "t")
