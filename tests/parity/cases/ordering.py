"""Order without values: `>>`, `runs_before` and `create_node`, seen by what each task finds in one file."""

import tempfile
import time
from datetime import timedelta
from pathlib import Path

from flyte_temporal import create_node, sleep, task, workflow


@task
def empty() -> str:
    path = Path(tempfile.mkdtemp()) / "notes.txt"
    path.write_text("", encoding="utf-8")
    return str(path)


@task
def note(path: str, line: str, after_s: float = 0.0) -> None:
    time.sleep(after_s)
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(line)


@task
def contents(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


@workflow
def notes(path: str, line: str) -> None:
    first = create_node(note, path=path, line="1", after_s=0.3)
    second = create_node(note, path=path, line=line)
    first >> second


@workflow
def wf() -> str:
    """Written in an order that is none of a DAG: what is called first runs last."""
    at = empty()
    found = contents(path=at)
    last = create_node(note, path=at, line="d")
    inner = create_node(notes, path=at, line="c")
    slow = create_node(note, path=at, line="b", after_s=0.5)
    slow.runs_before(inner)
    inner >> last >> found
    return found


@workflow
def waits() -> str:
    at = empty()
    written = create_node(note, path=at, line="slept")
    found = contents(path=at)
    pause = sleep(timedelta(seconds=0.2))
    pause.runs_before(written)
    # At is a promise, and a text to a type checker.
    at >> pause  # type: ignore[operator]
    written >> found
    return found


@workflow
def alone() -> str:
    """`create_node` gives a node whose outputs are taken by name."""
    at = create_node(empty)
    first = create_node(note, path=at.o0, line="1", after_s=0.3)
    second = create_node(note, path=at.outputs["o0"], line="2")
    found = create_node(contents, path=at.o0)
    first >> second >> found
    return found.o0  # type: ignore[return-value]


@workflow
def circle() -> str:
    at = create_node(empty)
    first = create_node(note, path=at.o0, line="1")
    first >> at
    return at.o0  # type: ignore[return-value]
