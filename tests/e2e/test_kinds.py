"""Decks of failed attempts, logs of scripts, and containers on a real stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.command import Command
from tests.parity.case import CASES

pytestmark = pytest.mark.slow

CONTAINER = """
from flyte_temporal import ContainerTask
t = ContainerTask("boxed.t", image="alpine:3.20", command=["true"])
"""


def test_a_failed_task_leaves_its_deck(cli: Command, tmp_path: Path) -> None:
    done = cli("run", "-o", "json", CASES / "decks.py", "fails", expect=1)
    copy = tmp_path / "deck.html"
    said = cli("deck", done.document["id"], "failing", "--save", copy, "-o", "json").document
    assert said == {"node": "n0", "attempt": 1, "deck": str(copy)}
    text = copy.read_text()
    assert "ValueError: after the deck" in text
    assert "Before" in text
    where = cli("deck", done.document["id"], "n0").stdout.strip()
    assert where.startswith("file://")
    assert Path(where.removeprefix("file://")).read_text() == text


def test_a_node_without_a_deck_is_a_bad_request(cli: Command) -> None:
    done = cli("run", "-o", "json", CASES / "instance_tasks.py", "square", "--x", "1.0")
    assert "enable_deck=True" in cli("deck", done.document["id"], "n0", expect=2).stderr


def test_what_a_script_prints_is_in_the_log(cli: Command) -> None:
    done = cli("run", "-o", "json", CASES / "shell.py", "fails", expect=1)
    # Its two streams are read side by side, so only the order within each is certain.
    said = cli("logs", done.document["id"]).stdout.splitlines()
    assert sorted(said) == ["fine", "first", "the last words"]
    assert said.index("first") < said.index("the last words")


def test_a_container_fails_with_one_sentence(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "boxed.py").write_text(CONTAINER)
    for way in ([], ["--local"]):
        done = cli("run", *way, "-o", "json", tmp_path / "boxed.py", "t", expect=1)
        assert "needs a launcher that starts containers" in done.document["error"]["message"]
