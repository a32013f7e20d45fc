"""Placeholders in scripts become references to variables; whatever the value, the shell never parses it."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyte_temporal.sdk.shell_script import QuotedHereDocument, Reference, fill, references, rewrite


def rewritten(script: str) -> str:
    return rewrite(script, lambda reference: "_".join(reference.path))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo {inputs.x}", 'echo "${x}"'),
        ('echo "a {inputs.x} b"', 'echo "a ${x} b"'),
        ("echo 'a {inputs.x} b'", "echo 'a '\"${x}\"' b'"),
        ('echo "$(cat {inputs.x})"', 'echo "$(cat "${x}")"'),
        ('echo "$(cat "{inputs.x}")" {inputs.x}', 'echo "$(cat "${x}")" "${x}"'),
        ("echo `cat {inputs.x}`", 'echo `cat "${x}"`'),
        ("echo \\'{inputs.x}", 'echo \\\'"${x}"'),
        ('echo \\"{inputs.x}', 'echo \\""${x}"'),
        ("# it's {inputs.x}\necho {inputs.y}", '# it\'s {inputs.x}\necho "${y}"'),
        ("echo a#'b'{inputs.x}", "echo a#'b'\"${x}\""),
        ("cat <<E\nit's {inputs.x}\nE\necho {inputs.x}", 'cat <<E\nit\'s ${x}\nE\necho "${x}"'),
        ("cat <<-E\n\t{inputs.x}\n\tE\n{inputs.x}", 'cat <<-E\n\t${x}\n\tE\n"${x}"'),
        ("cat <<A <<B\n{inputs.a}\nA\n{inputs.b}\nB\n", "cat <<A <<B\n${a}\nA\n${b}\nB\n"),
        ("cat <<< {inputs.x}", 'cat <<< "${x}"'),
        ("echo $((1<<n)) {inputs.x}\nn", 'echo $((1<<n)) "${x}"\nn'),
        ("f() { echo ${HOME:-x} {inputs.x}; }", 'f() { echo ${HOME:-x} "${x}"; }'),
        ("awk '{print $1}' {inputs.p.name} > {outputs.y}", 'awk \'{print $1}\' "${p_name}" > "${y}"'),
        ("echo {input.x} {inputs} {x}", "echo {input.x} {inputs} {x}"),
    ],
)
def test_a_placeholder_is_one_word_wherever_it_stands(script: str, expected: str) -> None:
    assert rewritten(script) == expected


@pytest.mark.parametrize("delimiter", ["'E'", '"E"', "\\E"])
def test_nothing_is_replaced_in_a_quoted_here_document(delimiter: str) -> None:
    with pytest.raises(QuotedHereDocument, match=r"\{inputs\.x\}"):
        rewritten(f"cat <<{delimiter}\n{{inputs.x}}\nE\n")


def test_a_location_takes_values_as_text() -> None:
    text = "{inputs.a}/{inputs.b.c}.txt"
    assert fill(text, str) == text
    assert references(text + "{inputs.a}") == [
        Reference("inputs", ("a",)),
        Reference("inputs", ("b", "c")),
    ]


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60))
def test_any_text_comes_through_the_shell_unchanged(value: str) -> None:
    script = rewritten(
        "printf '%s|' {inputs.x} \"{inputs.x}\" 'a{inputs.x}b' \"$(printf '%s.' {inputs.x})\"\ncat <<E\n{inputs.x}\nE\n"
    )
    assigned = f"x={shlex.quote(value)}\n"
    done = subprocess.run(["bash", "-c", assigned + script], capture_output=True, check=True)
    assert done.stdout.decode() == f"{value}|{value}|a{value}b|{value}.|{value}\n"
    assert done.stderr == b""
