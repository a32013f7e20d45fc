"""Numbers that JSON readers would spoil."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_temporal.spec.literals import decode_float, decode_integer, encode_float, encode_integer


@given(st.integers() | st.just(10**5000) | st.just(-(2**53)))
def test_integers_survive_json(value: int) -> None:
    written = json.dumps(encode_integer(value))
    assert decode_integer(json.loads(written)) == value


def test_integers_that_readers_would_round_are_strings() -> None:
    assert encode_integer(2**53 - 1) == 2**53 - 1
    assert encode_integer(2**53) == "0x20000000000000"


@given(st.floats())
def test_floats_survive_json(value: float) -> None:
    back = decode_float(json.loads(json.dumps(encode_float(value), allow_nan=False)))
    assert math.copysign(1, back) == math.copysign(1, value) or math.isnan(value)
    assert back == value or (math.isnan(back) and math.isnan(value))


@pytest.mark.parametrize("value", [True, None, "7", [], 1.5])
def test_what_is_no_integer_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        decode_integer(value)


@pytest.mark.parametrize("value", [True, None, "7", []])
def test_what_is_no_float_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        decode_float(value)


def test_an_integer_may_stand_for_a_float() -> None:
    assert decode_float(3) == 3.0
    assert isinstance(decode_float(3), float)
