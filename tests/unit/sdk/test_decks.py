"""Decks: what is in them, and that nothing in them can get out."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Annotated, Any

import pandas as pd
import pytest

from flyte_temporal import Deck, DeckField, MarkdownRenderer, TopFrameRenderer, current_context, task
from flyte_temporal.sdk import deck_document
from flyte_temporal.sdk.deck_document import Heading, document
from flyte_temporal.sdk.decks import Report, rendered, reporting
from flyte_temporal.sdk.plain import run_plain

HEADING = Heading("my.task", "e · n0", "", datetime(2026, 1, 2, tzinfo=UTC))


class Page(HTMLParser):
    """The tags of a document, and the attributes of its frames."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.frames: list[dict[str, str]] = []
        self.metas: list[dict[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = {name: value or "" for name, value in attrs}
        if tag == "iframe":
            self.frames.append(found)
        if tag == "meta":
            self.metas.append(found)


def page_of(**tabs: str) -> Page:
    report = Report(enabled=True, fields=())
    with reporting(report):
        for name, html in tabs.items():
            Deck(name, html)
    return Page(document(report, HEADING))


def test_the_html_of_a_tab_is_a_frame_without_an_origin() -> None:
    evil = "</iframe><script>parent.x=1</script>\"'><img src=x onerror=alert(1)>"
    page = page_of(Evil=evil, Other="<p>fine</p>")
    assert [frame["sandbox"] for frame in page.frames] == ["allow-scripts"] * 2
    assert page.frames[0]["srcdoc"].endswith(evil)
    assert "script" not in page.tags
    assert "img" not in page.tags
    policy = next(m["content"] for m in page.metas if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_titles_and_errors_are_text() -> None:
    report = Report(enabled=True, fields=())
    with reporting(report):
        Deck("<script>1</script>", "a")
    text = document(report, Heading("<b>t", "<i>p", "<script>2</script>", HEADING.finished_at))
    assert "<script>" not in text
    assert "FAILED" in text
    assert Page(text).tags.count("b") == 0


def test_a_deck_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deck_document, "MAX_BYTES", 200_000)
    page = page_of(Large="x" * 200_000, Small="<p>here</p>")
    assert "left out: a deck holds at most" in page.frames[0]["srcdoc"]
    assert page.frames[1]["srcdoc"].endswith("<p>here</p>")


class Broken:
    def to_html(self, python_value: Any) -> str:
        raise ValueError(f"not {python_value}")


def test_values_as_a_tab_shows_them() -> None:
    frame = pd.DataFrame({"a": range(30), "b": ["<i>"] * 30})
    assert "5 of 30 rows, 2 columns" in rendered(frame, Annotated[pd.DataFrame, TopFrameRenderer(5)])
    assert "10 of 30 rows" in rendered(frame)
    assert "<i>" not in rendered(frame)
    assert rendered("<b>") == "<pre>&lt;b&gt;</pre>"
    assert "... and 1,000 more characters" in rendered("x" * 5_000)
    assert rendered(1, Annotated[int, Broken()]) == "<pre>(cannot be shown: ValueError: not 1)</pre>"


def test_markdown_shows_html_and_does_not_obey_it() -> None:
    assert MarkdownRenderer().to_html("**a** <script>") == "<p><strong>a</strong> &lt;script&gt;</p>\n"


@task(enable_deck=True, deck_fields=[DeckField.SOURCE_CODE, DeckField.DEPENDENCIES, DeckField.INPUT])
def chosen(numbers: list[int]) -> int:
    numbers.append(99)  # after the tab was made
    current_context().timeline_deck.append("own time")
    return len(numbers)


@task(enable_deck=True)
def failing(n: int) -> int:
    Deck("Before", "seen")
    raise ValueError(f"no {n}")


@task
def without(n: int) -> int:
    Deck("Unseen", "x")
    return n


def test_automatic_tabs_are_those_that_were_chosen(tmp_path: Any) -> None:
    assert run_plain(chosen, {"numbers": [1]}, tmp_path) == {"o0": 2}
    (file,) = tmp_path.rglob("deck.html")
    page = Page(file.read_text())
    assert [frame["title"] for frame in page.frames] == ["Source Code", "Dependencies", "Input"]
    code, packages, inputs = (frame["srcdoc"] for frame in page.frames)
    assert "def chosen(numbers: list[int])" in code
    assert "<td>pydantic</td>" in packages
    assert "<pre>[1]</pre>" in inputs


def test_a_failing_task_keeps_its_deck(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="no 1"):
        run_plain(failing, {"n": 1}, tmp_path)
    text = next(iter(tmp_path.rglob("deck.html"))).read_text()
    assert "ValueError: no 1" in text
    assert [frame["title"] for frame in Page(text).frames] == [
        "Before",
        "Input",
        "Output",
        "Source Code",
        "Timeline",
    ]


def test_without_a_deck_nothing_is_written(tmp_path: Any) -> None:
    run_plain(without, {"n": 1}, tmp_path)
    assert list(tmp_path.rglob("deck.html")) == []
    Deck("outside of any task", "x")
    assert current_context().decks == []
