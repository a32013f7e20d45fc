"""The words of `run` are taken apart: our options before FILE or after ENTITY, an input wins over an option."""

from __future__ import annotations

import pytest

from flyte_temporal.cli.flags import InputFlags
from flyte_temporal.cli.words import read_run
from flyte_temporal.errors import BadRequest
from flyte_temporal.spec.interface import Default, Interface, Variable
from flyte_temporal.spec.types import BOOLEAN, FLOAT, INTEGER, STRING, ListType, optional

INTERFACE = Interface(
    inputs=(
        Variable(name="learning_rate", type=FLOAT),
        Variable(name="epochs", type=INTEGER, default=Default(value=1)),
        Variable(name="verbose", type=BOOLEAN, default=Default(value=False)),
        Variable(name="dry", type=optional(BOOLEAN), default=Default()),
        Variable(name="name", type=STRING, default=Default(value="")),
        Variable(name="no_header", type=STRING, default=Default(value="")),
        Variable(name="ids", type=ListType(element=INTEGER), default=Default(value=[])),
    )
)


def parse(*words: str) -> tuple[dict[str, str], dict[str, str], set[str]]:
    command = read_run(words)
    given = InputFlags("train", INTERFACE).read(command.rest, command.options)
    if given.faults:
        raise BadRequest("\n".join(given.faults))
    return given.texts, command.options.values, command.options.switches


def test_options_stand_before_the_file_and_after_the_entity() -> None:
    texts, values, switches = parse(
        "--local", "-o", "json", "f.py", "train", "--learning_rate", "0.1", "--detach", "--project=p"
    )
    assert texts == {"learning_rate": "0.1"}
    assert values == {"--output": "json", "--project": "p"}
    assert switches == {"--local", "--detach"}


def test_an_input_wins_over_an_option_of_the_same_name_after_the_entity() -> None:
    texts, values, _ = parse("--name", "id-1", "f.py", "train", "--name", "Ada")
    assert texts == {"name": "Ada"}
    assert values == {"--name": "id-1"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--verbose"], {"verbose": "true"}),
        (["--no-verbose"], {"verbose": "false"}),
        (["--verbose", "false"], {"verbose": "false"}),
        (["--verbose", "True", "--epochs", "2"], {"verbose": "True", "epochs": "2"}),
        (["--verbose=false"], {"verbose": "false"}),
        (["--verbose", "--epochs", "2"], {"verbose": "true", "epochs": "2"}),
        (["--no-dry"], {"dry": "false"}),
        (["--learning-rate", "-0.5"], {"learning_rate": "-0.5"}),
        (["--learning-rate=-1e-3"], {"learning_rate": "-1e-3"}),
        (["--name=--odd=value"], {"name": "--odd=value"}),
        (["--name", ""], {"name": ""}),
        (["--no-header", "x"], {"no_header": "x"}),
        (["--ids", "[1, 2]"], {"ids": "[1, 2]"}),
    ],
)
def test_forms_of_flags(words: list[str], expected: dict[str, str]) -> None:
    assert parse("f.py", "train", *words)[0] == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--frob", "f.py", "train"], "--frob is not an option of run."),
        (["--output"], "--output needs a value: --output text|json."),
        (["--name", "--local", "f.py"], "Write --name=--local if that is its value."),
        (["--project", "a", "--project", "b", "f.py"], "--project is given twice"),
        (
            ["f.py", "train", "--learning_rat", "1"],
            "train has no input --learning_rat. Did you mean --learning_rate?",
        ),
        (["f.py", "train", "--zzz", "1"], "train has no input --zzz. Its inputs: --learning_rate, --epochs"),
        (["f.py", "train", "0.1"], "Unexpected word '0.1' after train. Inputs are given as --NAME VALUE."),
        (["f.py", "train", "--epochs", "1", "--epochs", "2"], "--epochs is given twice"),
        (["f.py", "train", "--epochs"], "--epochs needs a value: --epochs int."),
        (
            ["f.py", "train", "--no-verbose=true"],
            "--no-verbose takes no value. Write --verbose=true instead.",
        ),
        (["f.py", "train", "--no-epochs"], "train has no input --no-epochs."),
    ],
)
def test_bad_words_are_refused_with_the_remedy(words: list[str], message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse(*words)
    assert message in refused.value.message


def test_only_the_file() -> None:
    command = read_run(["f.py"])
    assert (str(command.file), command.entity) == ("f.py", None)
