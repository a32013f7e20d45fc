"""The three styles of docstrings say the same."""

from __future__ import annotations

import pytest

from flyte_temporal.sdk.docstrings import parse

SPHINX = """
Train a model.

It takes a while,
and a machine.

:param data: What to learn
    from.
:param int rounds: How often.
:returns: The model.
:rtype: bytes
"""
GOOGLE = """Train a model.

It takes a while,
and a machine.

Args:
    data (dict[str, list[int]], optional): What to learn
        from.
    rounds: How often.

Returns:
    The model.

Raises:
    ValueError: If it is late: never.
"""
NUMPY = """
Train a model.

It takes a while,
and a machine.

Parameters
----------
data : dict
    What to learn
    from.
rounds : int, optional
    How often.

Returns
-------
bytes
    The model.

Notes
-----
None.
"""


@pytest.mark.parametrize("docstring", [SPHINX, GOOGLE, NUMPY], ids=["sphinx", "google", "numpy"])
def test_each_style_is_read(docstring: str) -> None:
    found = parse(docstring)
    assert found.short == "Train a model."
    assert found.long == "It takes a while,\nand a machine."
    assert found.inputs == {"data": "What to learn from.", "rounds": "How often."}
    assert found.returns == "The model."


def test_numpy_and_google_name_several_parameters_and_outputs() -> None:
    assert parse("X.\n\nParameters\n----------\na, b : int\n    Both.\n").inputs == {
        "a": "Both.",
        "b": "Both.",
    }
    assert parse("X.\n\nReturns\n-------\nleft : int\n    L.\nright : int\n    R.\n").outputs == {
        "left": "L.",
        "right": "R.",
    }
    assert parse("X.\n\nReturns:\n    left: L.\n    right: R.\n").outputs == {"left": "L.", "right": "R."}


@pytest.mark.parametrize(
    ("docstring", "short", "long"),
    [
        (None, "", ""),
        ("", "", ""),
        ("One line", "One line", ""),
        ("Two\nlines.\n\nMore: here.", "Two lines.", "More: here."),
        ("Sum.\n\nArgs: none of them matter.", "Sum.", "Args: none of them matter."),
    ],
)
def test_prose_is_never_refused(docstring: str | None, short: str, long: str) -> None:
    found = parse(docstring)
    assert (found.short, found.long) == (short, long)


def test_a_colon_inside_a_description_stays() -> None:
    assert parse("X.\n\nArgs:\n    a: One of: b, c.").inputs == {"a": "One of: b, c."}
