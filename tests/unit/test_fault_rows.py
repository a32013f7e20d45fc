"""Every row of the fault matrix has a test, and the page names them all."""

from __future__ import annotations

import pytest

from tests.faults.rows import MATRIX, PAGE, proofs, written


@pytest.mark.parametrize("row", MATRIX)
def test_every_row_has_a_test(row: int) -> None:
    assert proofs()[row], f"no test is marked with pytest.mark.row({row}): {MATRIX[row][0]}"


def test_no_test_names_a_row_that_is_not_there() -> None:
    assert proofs().keys() == MATRIX.keys()


def test_the_page_names_the_tests_of_now() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page, "write the table anew: python -m tests.faults.rows --write"
