"""The fault matrix (docs/operations/faults.md): which rows there are, and which tests prove them.

A test names its rows by `@pytest.mark.row(6)`. The marks are read from the source, not by collecting: it takes no time,
and imports nothing. `python -m tests.faults.rows --write` writes the page's table anew.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operations" / "faults.md"
HEAD = "| row | what fails | what is to happen | proved by |\n|---|---|---|---|\n"

MATRIX: dict[int, tuple[str, str]] = {
    1: (
        "a worker is killed while a task runs",
        "the task runs on, the next worker adopts it; one run, one result",
    ),
    2: (
        "a worker is told to end (a deployment)",
        "it takes no new work and ends soon; tasks are not touched",
    ),
    3: ("a worker lives, but does not poll", "it notices by itself and ends; another one goes on"),
    4: (
        "the Temporal server restarts, after seconds or after a minute",
        "nobody sees a failure (the minute: by `make chaos` only)",
    ),
    6: ("an activity is delivered twice", "both watch the same process; one result"),
    7: (
        "PostgreSQL is down",
        "what runs goes on, requests are refused for now, records are complete afterwards",
    ),
    8: ("the answer to a COMMIT is lost", "the same request again changes nothing"),
    9: ("PostgreSQL: writers in each other's way", "all get through, none waits for ever"),
    11: ("the blob store answers 500, 503, SlowDown", "tried again; the task is not computed twice"),
    12: ("the blob store is slow, or does not answer", "every call has an end; heartbeats and cancels go on"),
    13: ("an upload is cut", "nothing is to be seen of it; sent again"),
    14: ("an upload succeeded, its answer was lost", "read back: it is mine, so it succeeded"),
    15: ("a listing is stale", "never listed to decide; objects are asked for by key, without a cache"),
    16: (
        "the manifest is whole, an object is not",
        "noticed by its digest, at the hit or by who reads it; entry removed; computed anew, once",
    ),
    17: ("a task runs out of memory", "its own failure, said so; it may get more"),
    18: (
        "a child of a task runs out of memory",
        "the task decides; its manifest says how many the kernel killed",
    ),
    19: (
        "a node is drained, or taken away",
        "the platform's failure (Preempted): none of the user's retries; on from its checkpoint",
    ),
    20: (
        "a pod that is ended says it has succeeded, and left nothing",
        "not believed: the platform's failure, a new attempt",
    ),
    21: (
        "a node is lost: its pods end for ever",
        "given up after six minutes and a half (NodeLost); what lives on changes nothing",
    ),
    22: (
        "an image is missing, is no image, or its registry is busy",
        "the user's failure after three minutes; the user's at once; the platform's",
    ),
    23: ("a command that is not there", "fails at once"),
    24: (
        "the cluster's API refuses, is busy, is away or falls silent",
        "what runs, runs on; pauses, and next to no CPU; its words are in the nodes' rows",
    ),
    25: ("a watch is too old, or news of it are lost", "listed anew, asked for: right within two minutes"),
    26: ("a quota is used up", "waits and says so; no attempt is used"),
    27: ("a pod is created, the answer is lost", "it is adopted; one pod"),
    28: ("a cancel while an attempt is started", "no process stays, the node is ABORTED"),
    29: ("a cancel while outputs are committed", "SUCCEEDED or ABORTED, never both"),
    30: ("a zombie after a time-out or cancel", "it is killed, and its result not taken"),
    31: ("what watches a process is lost", "told apart from a process at work; nothing waits for ever"),
    32: (
        "clocks of workers, nodes and the store differ by minutes",
        "leases end by the store's clock, time-outs of pods count by the worker's",
    ),
    36: ("the interpreter itself raises", "the run waits, it does not fail; with the fix it goes on"),
    37: ("an upgrade changes commands", "histories of before replay; a change that breaks them is seen"),
    38: ("a history near its limit", "the run continues as new, and loses nothing"),
    39: ("a fan-out of thousands", "few activities at once; it finishes; memory stays"),
    40: ("a hundred equal computations at once", "one computes; if it dies, one follows within the lease"),
    41: ("who computes fails while others wait", "exactly one goes on; no convoy of failures"),
    42: ("an entry of the cache whose object is gone", "seen at the hit; entry removed; computed anew"),
    43: (
        "a checkpoint is torn, alien or of another shape",
        "the whole one before it, or a fresh start with a warning",
    ),
}
"""Rows of reliability.md §2.3 that are tested here; the others need the server of a later issue, or their tests are not marked yet."""


def proofs() -> dict[int, list[str]]:
    """Return the tests of each row, as `file::test`."""
    found: dict[int, list[str]] = {row: [] for row in MATRIX}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        if "mark.row(" in text:
            for row, test in _marked(ast.parse(text)):
                found.setdefault(row, []).append(f"{file.relative_to(ROOT)}::{test}")
    return found


def _marked(module: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.row":
                for argument in mark.args:
                    yield int(ast.literal_eval(argument)), node.name


def table() -> str:
    """Return the page's table."""
    lines = []
    for row, tests in sorted(proofs().items()):
        fails, expected = MATRIX[row]
        links = [f"[{test.partition('::')[2]}](../../{test.partition('::')[0]})" for test in tests]
        lines.append(f"| {row} | {fails} | {expected} | {'<br>'.join(links) or '**nothing**'} |\n")
    return HEAD + "".join(lines)


def written(page: str) -> str:
    """Return the page with the table of now."""
    return re.sub(rf"{re.escape(HEAD)}(\|.*\n)*", lambda _: table(), page)


def main() -> int:
    """Print which rows are proved, or write the page."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--write", action="store_true", help="write the table of docs/operations/faults.md anew"
    )
    if parser.parse_args().write:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    for row, tests in sorted(proofs().items()):
        print(f"row {row:>2}: {len(tests)} test(s)  {MATRIX[row][0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
