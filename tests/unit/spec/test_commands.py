"""Commands of containers: templates, and values as text."""

from __future__ import annotations

import pytest

from flyte_temporal.errors import InputTooLarge
from flyte_temporal.spec.commands import rendered
from flyte_temporal.spec.entities import ContainerSpec, TaskSpec
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import Composite, Inline, LiteralValue, Offloaded
from flyte_temporal.spec.types import (
    BOOLEAN,
    FLOAT,
    INTEGER,
    STRING,
    BlobType,
    ListType,
    LiteralType,
    optional,
)


def shown(type_: LiteralType, literal: LiteralValue, input_dir: str = "") -> str:
    task = TaskSpec(
        name="t",
        interface=Interface(inputs=(Variable(name="x", type=type_),)),
        container=ContainerSpec(image="i", command=("run", "{{.inputs.x}}"), input_dir=input_dir),
    )
    command, arguments = rendered(task, {"x": literal})
    assert (command[0], len(command), arguments) == ("run", 2, [])
    return command[1]


@pytest.mark.parametrize(
    ("type_", "value", "text"),
    [
        (INTEGER, 7, "7"),
        (INTEGER, "0x20000000000001", str(2**53 + 1)),
        (FLOAT, 0.5, "0.5"),
        (BOOLEAN, True, "true"),
        (STRING, "two words; $(rm) {{.inputs.x}}", "two words; $(rm) {{.inputs.x}}"),
        (STRING, "-flag", "-flag"),
        (optional(INTEGER), None, ""),
        (ListType(element=STRING), ["a", "ü"], '["a", "ü"]'),
        (BlobType(), {"uri": "s3://b/k"}, "s3://b/k"),
    ],
)
def test_values(type_: LiteralType, value: object, text: str) -> None:
    assert shown(type_, Inline(value=value)) == text


def test_a_file_is_its_path_where_there_are_files() -> None:
    assert shown(BlobType(), Inline(value={"uri": "s3://b/k"}), "/in/") == "/in/x"
    assert shown(INTEGER, Inline(value=1), "/in") == "1"


def test_what_several_nodes_gave() -> None:
    made = Composite(items=(Inline(value=1), Inline(value=2)))
    assert shown(ListType(element=INTEGER), made) == "[1, 2]"


@pytest.mark.parametrize(
    ("literal", "problem"),
    [
        (Inline(value="x" * 200_000), r"is too large for a command \(200,000 bytes; at most 102,400 bytes\)"),
        (Inline(value="a\0b"), "has a zero byte"),
        (Offloaded(key="k", sha256="0", size=99), "is too large for a command .it is stored apart"),
    ],
)
def test_what_has_no_place_in_a_command(literal: LiteralValue, problem: str) -> None:
    with pytest.raises(InputTooLarge, match=rf"The input x of t {problem}.*write input_data_dir="):
        shown(STRING, literal)
    with pytest.raises(InputTooLarge, match=r"read it from /in/x, without {{\.inputs\.x}} in the command"):
        shown(STRING, literal, "/in/")


@pytest.mark.parametrize("args", [("{{.inputs.x}}{{.inputs.x}}",), ("{{.inputs.x}}",) * 12])
def test_what_has_no_place_together(args: tuple[str, ...]) -> None:
    interface = Interface(inputs=(Variable(name="x", type=STRING),))
    task = TaskSpec(name="t", interface=interface, container=ContainerSpec(image="i", args=args))
    with pytest.raises(InputTooLarge, match="The inputs x of t are together too large"):
        rendered(task, {"x": Inline(value="x" * 99_000)})
    assert "".join(rendered(task, {"x": Inline(value="x")})[1]) == "x" * "".join(args).count("{{")


def test_outputs_are_paths_and_spaces_do_not_matter() -> None:
    container = ContainerSpec(
        image="i", command=("{{ outputs.y }}",), args=("a{{inputs.x}}b",), output_dir="/out"
    )
    interface = Interface(inputs=(Variable(name="x", type=STRING),))
    task = TaskSpec(name="t", interface=interface, container=container)
    assert rendered(task, {"x": Inline(value=" ")}) == (["/out/y"], ["a b"])
