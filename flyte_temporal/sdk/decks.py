"""`Deck`: a tab of the report that is kept with an attempt; and `Report`, which gathers what the tabs show.

Used by authors through `current_context()`; filled by `dispatch` and by plain runs; written as one document by
`deck_document`. What a renderer or a value does wrong is shown in its tab and fails nothing.
"""

from __future__ import annotations

import html
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.types.converter import short_name, shown

if TYPE_CHECKING:
    from flyte_temporal.sdk.signature import Signature
    from flyte_temporal.spec.policies import TaskPolicy

VALUE_CHARACTERS = 4_000
"""How much of a value's text a tab shows."""


class DeckField(StrEnum):
    """Tabs that are made by themselves."""

    SOURCE_CODE = "Source Code"
    DEPENDENCIES = "Dependencies"
    TIMELINE = "Timeline"
    INPUT = "Input"
    OUTPUT = "Output"


USUAL = (DeckField.INPUT, DeckField.OUTPUT, DeckField.SOURCE_CODE, DeckField.TIMELINE)


@runtime_checkable
class Renderable(Protocol):
    """What turns a value into HTML: in `Annotated[T, renderer]`, or called by the author."""

    def to_html(self, python_value: Any) -> str:
        """Return the value as HTML."""


class Deck:
    """A tab of the running task's deck. Its HTML is shown in a frame of its own, which can reach nothing outside.

    Args:
        name: Title of the tab.
        html: Its content so far.
    """

    def __init__(self, name: str, html: str | list[str] | None = None) -> None:
        self._name = name
        self._parts = list(html) if isinstance(html, list) else [html] if html is not None else []
        report = _CURRENT.get()
        if report is not None:
            report.decks.append(self)

    @property
    def name(self) -> str:
        """Title of the tab."""
        return self._name

    @property
    def html(self) -> str:
        """Its content."""
        return "\n".join(str(part) for part in self._parts)

    def append(self, html: str) -> Deck:
        """Add HTML at the end."""
        self._parts.append(html)
        return self

    def __repr__(self) -> str:
        return f"Deck({self._name!r})"


_CURRENT: ContextVar[Report | None] = ContextVar("flyte_temporal_report", default=None)


@contextmanager
def reporting(report: Report) -> Iterator[None]:
    """Let decks that are made inside the block belong to a report; outside of any task they belong to none."""
    token = _CURRENT.set(report)
    try:
        yield
    finally:
        _CURRENT.reset(token)


@dataclass
class Span:
    """One line of the timeline: what took from when to when, in seconds of `time.monotonic`."""

    name: str
    start: float
    end: float


@dataclass
class Report:
    """What the deck of one attempt is made of.

    Args:
        enabled: Whether it is kept.
        fields: The automatic tabs, in order.
        decks: The tabs of user code, in order.
        values: HTML of the inputs and outputs, by the tab's title.
        spans: The timeline.
        source: Source code of the task.
    """

    enabled: bool = False
    fields: tuple[DeckField, ...] = USUAL
    decks: list[Deck] = field(default_factory=list)
    values: dict[DeckField, str] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    source: str = ""

    @classmethod
    def of(cls, policy: TaskPolicy) -> Report:
        """Return the empty report of a task with some policy."""
        fields = USUAL if policy.deck_fields == ("default",) else tuple(map(DeckField, policy.deck_fields))
        return cls(enabled=policy.deck, fields=fields)

    def tab(self, name: str) -> Deck:
        """Return the tab of that title, made if it is missing."""
        found = next((deck for deck in self.decks if deck.name == name), None)
        if found is None:
            with reporting(self):
                found = Deck(name)
        return found

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Put the time that the block takes into the timeline."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.spans.append(Span(name, start, time.monotonic()))

    def show_inputs(self, values: Mapping[str, Any], signature: Signature) -> None:
        """Render the inputs; called before user code can change them."""
        types = {name: parameter.annotation for name, parameter in signature.parameters.items()}
        self._show(DeckField.INPUT, values, types)

    def show_outputs(self, values: Mapping[str, Any], signature: Signature) -> None:
        """Render the outputs."""
        self._show(DeckField.OUTPUT, values, signature.outputs)

    def _show(self, tab: DeckField, values: Mapping[str, Any], types: Mapping[str, Any]) -> None:
        if self.enabled and tab in self.fields:
            rows = [_row(name, value, types.get(name)) for name, value in values.items()]
            self.values[tab] = "\n".join(rows) or "<p class='none'>None.</p>"

    def tabs(self) -> list[tuple[str, str]]:
        """Return title and HTML of each tab: those of user code first, then the automatic ones."""
        named = {deck.name: deck for deck in self.decks}
        found = [(deck.name, deck.html) for deck in self.decks if deck.name != DeckField.TIMELINE.value]
        for tab in self.fields:
            match tab:
                case DeckField.SOURCE_CODE:
                    made = f"<pre><code>{html.escape(self.source)}</code></pre>" if self.source else ""
                case DeckField.TIMELINE:
                    added = named[tab.value].html if tab.value in named else ""
                    made = f"{_timeline(self.spans)}{added}"
                case DeckField.DEPENDENCIES:
                    made = _dependencies()
                case _:
                    made = self.values.get(tab, "")
            found.append((tab.value, made or "<p class='none'>Nothing to show.</p>"))
        return found


def deck_fields(options: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Return the automatic tabs that a task's options choose, as the spec keeps them.

    Raises:
        CompileError: If they are no tabs, or there is no deck.
    """
    given = options.get("deck_fields")
    if given is None:
        return ("default",)
    if not isinstance(given, list | tuple) or not all(isinstance(each, DeckField) for each in given):
        raise CompileError(
            f"deck_fields={shown(given)} must be a list of tabs. Write [DeckField.INPUT, DeckField.OUTPUT].",
            where,
        )
    if not options.get("enable_deck"):
        raise CompileError("deck_fields is given, but there is no deck. Add enable_deck=True.", where)
    return tuple(each.value for each in given)


def _row(name: str, value: Any, annotation: Any) -> str:
    return (
        f"<section><h2>{html.escape(name)} <small>{html.escape(short_name(_bare(annotation)))}</small></h2>"
        f"{rendered(value, annotation)}</section>"
    )


def _bare(annotation: Any) -> Any:
    return (
        getattr(annotation, "__origin__", annotation) if hasattr(annotation, "__metadata__") else annotation
    )


def rendered(value: Any, annotation: Any = None) -> str:
    """Return a value as HTML: by the renderer in its annotation, as a table if it is a frame, else as its text."""
    renderer = next((m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, Renderable)), None)
    try:
        if renderer is not None and not isinstance(renderer, type):
            return str(renderer.to_html(value))
        if type(value).__name__ == "DataFrame" and hasattr(value, "to_html"):
            from flyte_temporal.sdk.deck_renderers import TopFrameRenderer

            return TopFrameRenderer().to_html(value)
        text = value if isinstance(value, str) else repr(value)
    except Exception as error:  # noqa: BLE001 - a user's renderer or __repr__ may raise anything
        text = f"(cannot be shown: {type(error).__name__}: {error})"
    more = len(text) - VALUE_CHARACTERS
    cut = f"{text[:VALUE_CHARACTERS]}\n... and {more:,} more characters" if more > 0 else text
    return f"<pre>{html.escape(cut)}</pre>"


def _timeline(spans: list[Span]) -> str:
    if not spans:
        return ""
    first, last = min(s.start for s in spans), max(s.end for s in spans)
    whole = max(last - first, 1e-9)
    rows = []
    for span in spans:
        left, width = 100 * (span.start - first) / whole, max(0.4, 100 * (span.end - span.start) / whole)
        rows.append(
            f"<tr><td>{html.escape(span.name)}</td><td class='bar'><div style='margin-left:{left:.2f}%;"
            f"width:{min(width, 100 - left + 0.4):.2f}%'></div></td><td class='num'>{_seconds(span.end - span.start)}</td></tr>"
        )
    return f"<table class='timeline'>{''.join(rows)}</table>"


def _seconds(value: float) -> str:
    return f"{value * 1000:,.1f} ms" if value < 1 else f"{value:,.2f} s"


def _dependencies() -> str:
    found = {(d.metadata["Name"] or "", d.version) for d in metadata.distributions()}
    rows = (f"<tr><td>{html.escape(n)}</td><td>{html.escape(v)}</td></tr>" for n, v in sorted(found) if n)
    return f"<table><tr><th>Package</th><th>Version</th></tr>{''.join(rows)}</table>"
