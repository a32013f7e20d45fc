"""A spare worker: it imports, waits for a line, and prepares the warm pool when it has waited for a while."""

from __future__ import annotations

import os
import threading

import pytest

from flyte_temporal.adapters.launchers import stems
from flyte_temporal.worker import __main__ as program


@pytest.mark.parametrize(
    ("ahead", "settled_s", "prepared"), [("true", 0.01, True), ("false", 0.01, False), ("true", 60.0, False)]
)
def test_a_spare_that_has_waited_prepares_the_pool(
    monkeypatch: pytest.MonkeyPatch, ahead: str, settled_s: float, prepared: bool
) -> None:
    reading, writing = os.pipe()
    called = threading.Event()
    monkeypatch.setenv("FLYTE_TEMPORAL_WORKER__POOL_AHEAD", ahead)
    monkeypatch.setattr(program, "_SETTLED_S", settled_s)
    monkeypatch.setattr(stems, "prepare", called.set)

    def begin() -> None:
        called.wait(10.0 if prepared else 0.2)
        os.write(writing, b"\n")
        os.close(writing)

    with os.fdopen(reading) as given:
        monkeypatch.setattr("sys.stdin", given)
        beginning = threading.Thread(target=begin)
        beginning.start()
        assert program._wait()
        beginning.join()
    assert called.is_set() == prepared


def test_a_spare_whose_supervisor_is_gone_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading) as given:
        monkeypatch.setattr("sys.stdin", given)
        assert not program._wait()
