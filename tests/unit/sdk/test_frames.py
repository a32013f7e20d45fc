"""Tracebacks with the user's frames only."""

from __future__ import annotations

import pytest

from flyte_temporal.sdk.conversions import OutputInvalid
from flyte_temporal.sdk.frames import user_traceback
from flyte_temporal.spec.paths import value_at
from flyte_temporal.spec.types import INTEGER, ListType


def caught(fail: object) -> BaseException:
    with pytest.raises(BaseException) as found:  # noqa: PT012
        assert callable(fail)
        fail()
    # This test's own frame stands for what led to the user's code.
    error: BaseException = found.value
    traceback = error.__traceback__
    assert traceback is not None
    return error.with_traceback(traceback.tb_next)


def test_the_users_frames_stay() -> None:
    def fails() -> None:
        raise ValueError("boom")

    text = user_traceback(caught(fails))
    assert text.startswith("Traceback")
    assert ", in fails" in text
    assert text.endswith("ValueError: boom")


def test_an_error_of_ours_without_a_frame_of_the_user_has_none() -> None:
    error = caught(lambda: value_at([1], ListType(element=INTEGER), (7,)))
    traceback = error.__traceback__
    assert traceback is not None
    assert user_traceback(error.with_traceback(traceback.tb_next)) == ""


def test_a_value_that_does_not_fit_has_none() -> None:
    def fails() -> None:
        raise OutputInvalid("o0: expected int")

    assert user_traceback(caught(fails)) == ""
