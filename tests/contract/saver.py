"""A program that saves checkpoints and is killed: `python -m tests.contract.saver`, cases as JSON on stdin, results on stdout.

One process that forks for each attempt, because starting Python for each of some hundred would take minutes. It never
opens a store itself: what a remote one starts would not live through a fork.
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from flyte_temporal.faults import VARIABLE, Plan, Rule
from flyte_temporal.sdk.checkpoints import Checkpoint
from flyte_temporal.sdk.stopping import Stopping
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.storage.checkpoints import Generations, Place

SAVES = 6
"""Saves of one attempt, unless it is killed before."""

_EXECUTION = ExecutionId(project="p", domain="d", name="e")


def main() -> None:
    """Run all cases; a result is what each attempt of a case found and reported."""
    given = json.load(sys.stdin)
    if given["storage"]["root"].startswith("s3:"):
        import s3fs  # noqa: F401 - once, and not in each process
    elif given["storage"]["root"].startswith("gs:"):
        import gcsfs  # noqa: F401 - the same
    else:
        import flyte_temporal.storage.local  # noqa: F401 - the same
    storage = StorageConfig.model_validate(given["storage"])
    gc.freeze()
    json.dump([_case(storage, case) for case in given["cases"]], sys.stdout)


def _case(storage: StorageConfig, case: dict[str, Any]) -> list[dict[str, Any]]:
    chance = random.Random(f"{case['seed']}{case['point']}")
    found = []
    for number in range(1, case["attempts"] + 1):
        last = number == case["attempts"]
        passage = chance.randint(1, case["passages"])
        plan = "" if last else Plan((Rule(case["point"], at=passage),), case["seed"]).written()
        killed, reported = _forked(lambda n=number, p=plan: _attempt(storage, case, n, p))  # type: ignore[misc]
        found.append(
            {"killed": killed, "restored": reported[0], "begun": reported[1::2], "saved": reported[2::2]}
        )
    return found


def _forked(action: Callable[[], Any]) -> tuple[bool, list[int]]:
    """Do something in a process of its own; return whether it was killed, and the numbers that it told."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(action, write)
    os.close(write)
    with os.fdopen(read) as told:
        numbers = [int(line) for line in told]
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, -9}, code
    return code == -9, numbers


def _in_child(action: Callable[[], Any], write: int) -> NoReturn:
    code = 1
    try:
        for number in action():
            os.write(write, b"%d\n" % number)
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def _checkpoint(storage: StorageConfig, case: dict[str, Any], number: int, scratch: Path) -> Checkpoint:
    node = f"n{case['seed']}-{case['point'].replace('.', '-')}"
    attempt = AttemptId(execution=_EXECUTION, node=node, number=number, token=f"t{number}")
    place = Place(attempt, tuple(f"t{earlier}" for earlier in range(1, number)))
    return Checkpoint(lambda: Generations(open_store(storage), place), scratch, Stopping(), lambda _: None)


def _attempt(storage: StorageConfig, case: dict[str, Any], number: int, plan: str) -> Any:
    """Yield the step that is restored, then each step twice: when its save begins, and when it has returned."""
    os.environ[VARIABLE] = plan
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = _checkpoint(storage, case, number, Path(folder) / "scratch")
        start = _step(checkpoint, Path(folder) / "before")
        yield start
        state = Path(folder) / "state"
        state.mkdir()
        for step in range(start + 1, start + 1 + SAVES):
            for name in ("weights", "optimizer"):
                (state / name).write_text(f"{step} " * 1000)
            yield step
            checkpoint.save(state, step=step)
            yield step


def _step(checkpoint: Checkpoint, folder: Path) -> int:
    """Return the step of what is restored, -1 if its files are not of one step; 0 if there is nothing."""
    found = checkpoint.restore(folder)
    if found is None:
        return 0
    words = {word for name in ("weights", "optimizer") for word in (found / name).read_text().split()}
    return int(words.pop()) if len(words) == 1 else -1


if __name__ == "__main__":
    main()
