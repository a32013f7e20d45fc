"""docs/api.md says what the code says, and every public name says what it is."""

from __future__ import annotations

from typing import NamedTuple

import flyte_temporal
from tools import write_porting
from tools.api_entry import docstring, entry
from tools.write_api import PAGE, exported, page, without_docstring


def test_the_page_is_as_new_as_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run 'make api'"


def test_the_names_of_the_porting_page_are_as_new_as_the_table() -> None:
    assert write_porting.PAGE.read_text(encoding="utf-8") == write_porting.page(), "run 'make api'"


def test_every_public_name_has_a_docstring_of_its_own() -> None:
    assert without_docstring() == []


def test_every_public_name_stands_once_on_the_page() -> None:
    headings = [line[4:] for line in page().splitlines() if line.startswith("### ")]
    assert sorted(headings) == sorted(exported())
    assert set(flyte_temporal.__all__) <= set(headings)


class Pair(NamedTuple):
    left: int


class Base:
    """Of the base."""


class Heir(Base):
    def lift(self, weight: float = 1.0) -> None:
        """Lift it.

        Args:
            weight: In kilograms;
                more than one line.

        Raises:
            ValueError: If it is too heavy.
        """


def test_an_inherited_or_made_up_docstring_is_none() -> None:
    assert docstring("Heir", Heir, __name__) == ""
    assert docstring("Pair", Pair, __name__) == ""
    assert docstring("Base", Base, __name__) == "Of the base."


LIMIT = 3
"""How many."""


def test_a_constant_has_the_text_below_it() -> None:
    assert docstring("LIMIT", LIMIT, __name__) == "How many."


def test_a_section_has_signature_arguments_and_errors() -> None:
    text = "\n".join(entry("Heir", Heir, __name__))
    assert "`.lift(weight: float = 1.0) -> None`" in text
    assert "- `weight`: In kilograms; more than one line." in text
    assert "**Errors**\n\n- `ValueError`: If it is too heavy." in text
