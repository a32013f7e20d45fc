"""What people give for inputs, as flags and in files: each form, and each refusal with flag, expected type and given text."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.cli.flags import Given, InputFlags
from flyte_temporal.cli.inputs_file import read_inputs
from flyte_temporal.cli.words import read_run
from flyte_temporal.cli.yaml_text import parse_yaml
from flyte_temporal.errors import BadRequest, InvalidInputs
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.sdk.types.times import DATETIME, DURATION
from flyte_temporal.spec.interface import Default, Interface, Variable
from flyte_temporal.spec.types import (
    ANY,
    BOOLEAN,
    FLOAT,
    INTEGER,
    STRING,
    BlobType,
    EnumType,
    Field_,
    ListType,
    LiteralType,
    MapType,
    StructType,
    TupleType,
    UnionType,
    optional,
)

POINT = StructType(name="Point", fields=(Field_(name="x", type=INTEGER), Field_(name="y", type=FLOAT)))
COLOR = EnumType(name="Color", values=("r", "b", 3), names=("RED", "BLUE", "THIRD"))
INTS = ListType(element=INTEGER)


def values(folder: Path, type_: LiteralType, *words: str, inputs: str | None = None) -> Any:
    """Return the typed JSON of an input `v` for the words after ENTITY."""
    interface = Interface(inputs=(Variable(name="v", type=type_),))
    return read(folder, interface, *words, inputs=inputs)["v"]


def read(folder: Path, interface: Interface, *words: str, inputs: str | None = None) -> dict[str, Any]:
    command = read_run(["f.py", "wf", *words])
    given = InputFlags("wf", interface).read(command.rest, command.options)
    if inputs is not None:
        given.merge(read_inputs(inputs, "wf", interface))
    return given.values("wf", interface, ValueContext(blobs=None, scratch=folder))


@pytest.mark.parametrize(
    ("type_", "text", "expected"),
    [
        (BOOLEAN, "yes", True),
        (COLOR, "RED", "r"),
        (COLOR, "r", "r"),
        (COLOR, "3", 3),
        (optional(COLOR), "BLUE", "b"),
        (optional(COLOR), "null", None),
        (DURATION, "5m", "PT300S"),
        (DURATION, "1h30m", "PT5400S"),
        (DURATION, "PT1H", "PT3600S"),
        (DURATION, "90", "PT90S"),
        (DURATION, "-1d", "PT-86400S".replace("PT-", "-PT")),
        (DATETIME, "2026-01-31", "2026-01-31T00:00:00+00:00"),
        (DATETIME, "2026-01-31T12:00:00+01:00", "2026-01-31T12:00:00+01:00"),
        (INTS, "[1, 2]", [1, 2]),
        (INTS, " [1]", [1]),
        (POINT, '{"x": 1, "y": 2}', {"x": 1, "y": 2.0}),
        (MapType(key=INTEGER, value=STRING), '{"1": "a"}', [[1, "a"]]),
        (TupleType(elements=(INTEGER, STRING)), '[1, "a"]', [1, "a"]),
        (STRING, "@file.json", "@file.json"),  # a str keeps its @
        (STRING, "a.json", "a.json"),
        (optional(STRING), "@x", "@x"),
        (UnionType(variants=(INTS, STRING)), "@x", {"variant": 1, "value": "@x"}),
    ],
)
def test_a_flag(tmp_path: Path, type_: LiteralType, text: str, expected: Any) -> None:
    assert values(tmp_path, type_, "--v", text) == expected
    assert values(tmp_path, type_, f"--v={text}") == expected


@pytest.mark.parametrize(
    ("name", "content", "type_", "expected"),
    [
        ("a.json", "[1, 2]", INTS, [1, 2]),
        ("a.yaml", "- 1\n- 2\n", INTS, [1, 2]),
        ("a.yml", "x: 1\ny: 2\n", POINT, {"x": 1, "y": 2.0}),
        ("a.yml", "x: 1\ny: 2\n", optional(POINT), {"x": 1, "y": 2.0}),
        ("a.txt", '{"x": 1, "y": 2}', POINT, {"x": 1, "y": 2.0}),
        ("a.yaml", "1: no\n", MapType(key=INTEGER, value=STRING), [[1, "no"]]),
        ("a.yaml", "a: [1, null]", ANY, {"a": [1, None]}),
        ("a.json", "\ufeff[1]", INTS, [1]),
    ],
)
def test_a_file_for_one_input(
    tmp_path: Path, name: str, content: str, type_: LiteralType, expected: Any
) -> None:
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    assert values(tmp_path, type_, "--v", f"@{file}") == expected
    if file.suffix != ".txt":
        assert values(tmp_path, type_, "--v", str(file)) == expected


@pytest.mark.parametrize(
    ("type_", "words", "message"),
    [
        (INTEGER, ["--v", "2.5"], "--v: expected int, got '2.5'"),
        (FLOAT, ["--v", "x"], "--v: expected float, got 'x'"),
        (BOOLEAN, ["--v", "maybe"], "--v: expected bool (true, false, yes, no, 1 or 0), got 'maybe'"),
        (COLOR, ["--v", "red"], "--v: expected one of RED, BLUE, THIRD, got 'red'"),
        (
            DURATION,
            ["--v", "5 parsecs"],
            "--v: expected duration (such as 90s, 1h30m or PT90S), got '5 parsecs'",
        ),
        (
            DATETIME,
            ["--v", "soon"],
            "--v: expected datetime (such as 2026-01-31T12:00:00+01:00, or now), got 'soon'",
        ),
        (
            INTS,
            ["--v", "1,2"],
            "--v: expected list[int] as JSON, got '1,2' (Extra data: line 1 column 2 (char 1))",
        ),
        (INTS, ["--v", '["a"]'], "--v: item [0]: expected int, got str 'a'"),
        (POINT, ["--v", '{"x": 1}'], "--v: Point lacks the field 'y'"),
        (
            INTS,
            ["--v", "@none.json"],
            "--v @none.json cannot be read: No such file or directory. Give a JSON or YAML file.",
        ),
        (BlobType(), ["--v", "none.txt"], "--v: the file 'none.txt' does not exist"),
        (
            INTEGER,
            [],
            "Missing input --v (int). Give --v VALUE, or pass it in a JSON or YAML file with --inputs FILE.",
        ),
    ],
)
def test_a_wrong_value_says_flag_type_and_text(
    tmp_path: Path, type_: LiteralType, words: list[str], message: str
) -> None:
    with pytest.raises(InvalidInputs) as refused:
        values(tmp_path, type_, *words)
    assert refused.value.message == message


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    interface = Interface(
        inputs=(
            Variable(name="a", type=INTEGER),
            Variable(name="b", type=BOOLEAN, default=Default(value=False)),
            Variable(name="c", type=INTS),
            Variable(name="d", type=STRING),
            Variable(name="e", type=STRING),
        )
    )
    words = ["--a", "x", "--b", "perhaps", "--zzz", "1", "2", "--c", "@no.yaml", "--e", "1", "--e", "2"]
    with pytest.raises(InvalidInputs) as refused:
        read(tmp_path, interface, *words)
    assert refused.value.message.splitlines() == [
        "The inputs of wf do not fit:",
        "  wf has no input --zzz. Its inputs: --a, --b, --c, --d, --e.",
        "  --c @no.yaml cannot be read: No such file or directory. Give a JSON or YAML file.",
        "  --e is given twice; give it once.",
        "  --a: expected int, got 'x'",
        "  --b: expected bool (true, false, yes, no, 1 or 0), got 'perhaps'",
        "  Missing input --d (str). Give --d VALUE, or pass it in a JSON or YAML file with --inputs FILE.",
    ]


TWO = Interface(inputs=(Variable(name="a", type=INTEGER), Variable(name="b", type=STRING)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.json", '{"a": 1, "b": "no"}'),
        ("in.yaml", "a: 1\nb: no\n"),
        ("in.yml", "{a: 1, b: 'no'}"),
        ("in", '{"a": 1, "b": "no"}'),
    ],
)
def test_flags_win_over_the_file(tmp_path: Path, name: str, content: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    assert read(tmp_path, TWO, inputs=str(file)) == {"a": 1, "b": "no"}
    assert read(tmp_path, TWO, "--a", "2", inputs=str(file)) == {"a": 2, "b": "no"}


@pytest.mark.parametrize("text", ['{"a": 1, "b": "x"}', "a: 1\nb: x\n"])
def test_inputs_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert read(tmp_path, TWO, inputs="-") == {"a": 1, "b": "x"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.json", "[1]", "must hold an object of inputs"),
        ("in.json", '{"a": 1, "a": 2}', "the key 'a' stands twice in one JSON object."),
        ("in.json", '{"a": NaN}', 'NaN is not JSON; write it as a string, "NaN".'),
        ("in.json", '{"aa": 1, "q": 2}', "wf has no input 'aa'. Did you mean 'a'?"),
        ("in.json", '{"aa": 1, "q": 2}', "wf has no input 'q'."),
        ("in.json", "{", "expected JSON"),
        ("in.yaml", "a: 1\na: 2", "line 2: the key 'a' stands twice."),
        ("in.yaml", "a: &x 1\nb: *x", "line 1: anchors and aliases (& and *) are not read"),
        (
            "in.yaml",
            "a: !!python/object/apply:os.system ['id']",
            "line 1: the tag 'tag:yaml.org,2002:python/",
        ),
        ("in.yaml", "a: .nan", 'line 1: write "NaN" as text.'),
        ("in.yaml", "a: [1", "line 2: while parsing a flow sequence, did not find expected"),
        (
            "in.yaml",
            "a: 1\n---\nb: 2",
            "line 2: expected a single document in the stream, but found another document.",
        ),
        ("in.yaml", "? [1]\n: 2", "line 1: a key must be plain text."),
        ("in.yaml", "a: " + "[" * 65 + "]" * 65, "nested deeper than 64 levels."),
        ("in.yaml", "a: " + "x" * 70_000, "YAML of more than 64 KiB is not read; give JSON."),
        ("in.json", '{"b": "' + "x" * 4_200_000 + '"}', "holds more than 4 MiB."),
        ("none.json", None, "cannot be read: No such file or directory."),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadRequest) as refused:
        read_inputs(str(file), "wf", TWO)
    assert message in refused.value.message
    assert f"--inputs {file}" in refused.value.message


def test_binary_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "in.json"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(BadRequest, match="it is not UTF-8 text"):
        read_inputs(str(file), "wf", TWO)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("", None),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("2026-01-31", "2026-01-31"),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
        ("1: {true: x}", {"1": {"true": "x"}}),
        ("'1'", "1"),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
    ],
)
def test_words_of_yaml_mean_what_json_could_hold(text: str, expected: Any) -> None:
    found = parse_yaml(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("bomb", ["[" * 60_000, "- " * 30_000, "{a: " * 15_000, "? " * 30_000])
def test_a_bomb_is_refused_soon(bomb: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidInputs):
        parse_yaml(bomb)
    assert time.process_time() - started < 5


def test_without_pyyaml_the_message_has_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(BadRequest, match=r"pip install \"flyte-temporal\[cli\]\""):
        parse_yaml("a: 1")


NAMES = Interface(
    inputs=tuple(
        Variable(name=name, type=STRING if name != "local" else BOOLEAN, default=Default(value=None))
        for name in ("name", "output", "local", "help", "inputs", "class_", "_private", "a_b", "no_a", "A_b")
    )
)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--name", "x"], {"name": "x"}),
        (["--output", "x"], {"output": "x"}),
        (["--inputs", "x"], {"inputs": "x"}),
        (["--help", "x"], {"help": "x"}),
        (["--local"], {"local": "true"}),
        (["--no-local"], {"local": "false"}),
        (["--class_", "x"], {"class_": "x"}),
        (["--class-", "x"], {"class_": "x"}),
        (["--_private", "x"], {"_private": "x"}),
        (["--a-b", "x"], {"a_b": "x"}),
        (["--A_b", "x", "--a_b", "y"], {"A_b": "x", "a_b": "y"}),
        (["--no-a", "x"], {"no_a": "x"}),
    ],
)
def test_names_that_collide_or_are_odd(words: list[str], expected: dict[str, str]) -> None:
    command = read_run(["f.py", "wf", *words])
    given = InputFlags("wf", NAMES).read(command.rest, command.options)
    assert given == Given(texts=expected, named=set(expected))
    assert command.options.values == {}


def test_what_is_printed_can_be_given_again(tmp_path: Path) -> None:
    shown = {"x": 1, "y": 2.5}
    assert values(tmp_path, POINT, "--v", json.dumps(shown)) == shown


def test_what_a_launch_plan_has_fixed_is_refused_in_both_ways(tmp_path: Path) -> None:
    command = read_run(["f.py", "nightly", "--when", "now"])
    given = InputFlags("nightly", TWO, {"when"}).read(command.rest, command.options)
    assert given.faults == ["--when is fixed by the launch plan nightly; leave it out."]
    file = tmp_path / "in.json"
    file.write_text('{"when": 1}')
    with pytest.raises(BadRequest, match="'when' is fixed by the launch plan nightly; leave it out"):
        read_inputs(str(file), "nightly", TWO, {"when"})
