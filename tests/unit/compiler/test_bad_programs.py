"""Programs that must be refused when they are compiled, each with the exact message."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.loader import find_entity, load_file

TABLE = tomllib.loads(Path(__file__).with_name("bad_programs.toml").read_text())


@pytest.mark.parametrize("case", TABLE["case"], ids=lambda case: case["name"].replace(" ", "-"))
def test_a_wrong_program_is_refused_with_file_line_and_remedy(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "bad.py"
    file.write_text(TABLE["prelude"] + case["program"])
    with pytest.raises(CompileError) as caught:
        compile_entity(find_entity(load_file(file), "wf"))
    assert caught.value.message == case["message"]
    assert type(caught.value).__name__ == case["error"]


def test_every_message_names_the_line_of_the_program() -> None:
    lines = len(TABLE["prelude"].splitlines())
    for case in TABLE["case"]:
        file, line, _ = case["message"].split(":", 2)
        assert file == "bad.py", case["name"]
        assert lines < int(line) <= lines + len(case["program"].splitlines()), case["name"]


def test_the_prelude_alone_is_a_right_program(tmp_path: Path) -> None:
    file = tmp_path / "good.py"
    file.write_text(TABLE["prelude"] + "@workflow\ndef wf(n: int) -> float:\n    return half(n=n)\n")
    assert compile_entity(find_entity(load_file(file), "wf")).root.name == "good.wf"


def test_the_table_has_many_programs_and_none_twice() -> None:
    cases = TABLE["case"]
    for key in ("name", "program"):
        values = [case[key].strip() for case in cases]
        assert sorted({value for value in values if values.count(value) > 1}) == [], key
    assert len(cases) >= 60
