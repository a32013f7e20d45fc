"""`logs`: what is printed of lines, and what of what is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from flyte_temporal.cli import queries
from flyte_temporal.cli.output import Output
from flyte_temporal.cli.place import Place
from flyte_temporal.client import LogLine
from flyte_temporal.errors import BadRequest
from tests.unit.cli.scripted import new_screen


class FakeClient:
    """Has one execution, which prints two lines."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, int | None, bool]] = []

    def execution(self, _id: str) -> FakeClient:
        return self

    def logs(self, node: str | None, attempt: int | None, *, follow: bool) -> Iterator[LogLine]:
        self.asked.append((node, attempt, follow))
        yield LogLine(node="n0", attempt=1, text="prog 42%")
        yield LogLine(node="n1", attempt=2, text="next")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()

    def open_fake(_output: Output, _place: Place) -> Any:
        return nullcontext(fake)

    monkeypatch.setattr(queries, "open_client", open_fake)
    return fake


@pytest.mark.parametrize("follow", [False, True])
def test_the_client_is_asked_whether_to_follow(client: FakeClient, follow: bool) -> None:
    screen = new_screen()
    queries.logs(screen.output, Place(None, None), "e1", ("n0", 1), follow_on=follow)
    assert client.asked == [("n0", 1, follow)]
    assert screen.stdout == "prog 42%\nnext\n"


def test_what_is_followed_is_no_document(client: FakeClient) -> None:
    screen = new_screen()
    screen.output.format = "json"
    with pytest.raises(BadRequest, match="--follow"):
        queries.logs(screen.output, Place(None, None), "e1", (None, None), follow_on=True)
    queries.logs(screen.output, Place(None, None), "e1", (None, None))
    assert '"node": "n1", "attempt": 2' in screen.stdout
    assert client.asked == [(None, None, False)]
