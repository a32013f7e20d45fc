from __future__ import annotations

import pytest

from flyte_temporal.spec.quantities import amount, raised


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", 0.5),
        ("2Gi", 2 * 2**30),
        ("1e3", 1000),
        ("1.5", 1.5),
        ("3k", 3000),
        ("lots", None),
        ("", None),
    ],
)
def test_amounts(text: str, number: float | None) -> None:
    assert amount(text) == number


@pytest.mark.parametrize(
    ("memory", "factor", "most", "then"),
    [
        ("512Mi", 2, "", "1024Mi"),
        ("1Gi", 1.5, "", "1536Mi"),
        ("1Gi", 4, "3Gi", "3Gi"),
        ("4Gi", 2, "3Gi", "4Gi"),
        ("4Gi", 1, "", "4Gi"),
        ("", 2, "", ""),
        ("100000", 2, "", "1Mi"),
    ],
)
def test_memory_is_raised_up_to_a_bound(memory: str, factor: float, most: str, then: str) -> None:
    assert raised(memory, factor, most) == then
