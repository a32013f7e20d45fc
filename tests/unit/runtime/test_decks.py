"""The deck of an attempt in the blob store: there when the task failed, and never a reason to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyte_temporal.errors import StorageError
from flyte_temporal.runtime import decks
from flyte_temporal.sdk.decks import Deck, Report, reporting
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind
from flyte_temporal.spec.policies import TaskPolicy
from flyte_temporal.testing.attempts import AttemptBench
from flyte_temporal.testing.blobs import MemoryBlobStore

ERROR = ErrorDocument(kind=ErrorKind.USER, code="UserCodeError", message="ValueError: <no>")


@pytest.fixture
def order(tmp_path: Path) -> AttemptOrder:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "m.py").write_text("x = 1\n")
    return AttemptBench(tmp_path / "source", tmp_path / "b").order("m.f", policy=TaskPolicy(deck=True))


def filled(order: AttemptOrder) -> Report:
    report = Report.of(order.task.policy)
    with reporting(report):
        Deck("Mine", "\ud800 half a character")
    return report


def test_a_failed_attempt_has_its_deck(order: AttemptOrder) -> None:
    store = MemoryBlobStore()
    key = decks.keep(order, filled(order), ERROR, store)
    assert key == f"{order.attempt.key}/deck.html"
    stored = store.get(key)
    assert stored is not None
    assert b"ValueError: &lt;no&gt;" in stored
    assert b"half a character" in stored


def test_without_a_deck_nothing_is_stored(order: AttemptOrder) -> None:
    store = MemoryBlobStore()
    assert decks.keep(order, Report(), None, store) == ""
    assert list(store.list("")) == []


def test_a_store_that_fails_does_not_fail_the_task(
    order: AttemptOrder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryBlobStore()

    def full(*_: object) -> None:
        raise StorageError("the store is full")

    monkeypatch.setattr(store, "put", full)
    assert decks.keep(order, filled(order), None, store) == ""
    assert "the deck was not stored: the store is full" in capsys.readouterr().err
