"""Decks: user tabs and automatic ones do not change what a task gives, and a failing task keeps its own."""

from typing import Annotated

import pandas as pd

from flyte_temporal import Deck, DeckField, TopFrameRenderer, current_context, task, workflow


class Broken:
    def to_html(self, python_value: object) -> str:
        raise ValueError("no picture")


@task(enable_deck=True)
def report(n: int) -> Annotated[pd.DataFrame, TopFrameRenderer(2)]:
    Deck("Mine", "<h1>hello</h1>").append(f"<p>{n}</p>")
    current_context().default_deck.append("<script>alert(1)</script>")
    assert [deck.name for deck in current_context().decks] == ["Mine", "default"]
    return pd.DataFrame({"n": range(n)})


@task(enable_deck=True, deck_fields=[DeckField.OUTPUT])
def unshowable(n: int) -> Annotated[int, Broken()]:
    return n


@task(enable_deck=True)
def failing(n: int) -> int:
    Deck("Before", f"<p>{n}</p>")
    raise ValueError("after the deck")


@workflow
def wf(n: int) -> tuple[pd.DataFrame, int]:
    return report(n=n), unshowable(n=n)


@workflow
def fails(n: int = 1) -> int:
    return failing(n=n)
