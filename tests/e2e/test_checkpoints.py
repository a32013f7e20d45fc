"""The example 05: its process is killed three times, and it ends as if nobody had touched it."""

from __future__ import annotations

import os
import re
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.storage import scratch
from tests.e2e.command import ROOT, Command

pytestmark = pytest.mark.slow

TRAINING = ROOT / "examples" / "05_checkpoints" / "training.py"
EPOCHS = 12


def killed_after(home: Path, execution: str, epoch: int) -> None:
    """Kill the process of an execution's attempt at work as soon as that has saved an epoch."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        for found in (home / "attempts" / "attempts").glob("*.journal"):
            journal = scratch.read_journal(found.with_suffix(""))
            if journal is None or journal.ending is not None or "task" not in journal.processes:
                continue
            order = AttemptOrder.read(journal.order)
            step = (journal.checkpoint or {}).get("step", 0)
            if order.attempt.execution.name == execution and step >= epoch:
                os.kill(journal.processes["task"].pid, signal.SIGKILL)
                return
        time.sleep(0.02)
    raise AssertionError(f"epoch {epoch} was not saved")


def test_a_training_that_is_killed_three_times_ends_as_one_that_is_not(cli: Command) -> None:
    inputs = ("--epochs", str(EPOCHS))
    undisturbed = cli("run", "--local", "-o", "json", TRAINING, "training", *inputs).document
    words = ("--seconds-per-epoch", "0.3")
    cli("run", "--detach", "--name", "killed-thrice", TRAINING, "training", *inputs, *words)
    for epoch in (2, 5, 8):
        killed_after(cli.home, "killed-thrice", epoch)
    done = cli("wait", "killed-thrice", "-o", "json").document
    assert (done["phase"], done["error"]) == ("SUCCEEDED", None)
    assert done["outputs"] == undisturbed["outputs"]

    (row,) = cli("get", "nodes", "killed-thrice", "-o", "json").document
    assert row["attempts"] == 4
    assert (row["checkpoint"]["step"], row["checkpoint"]["attempt"]) == (EPOCHS, 4)

    # Which epochs each process ran: what one had saved, no other runs again; only the one in flight may be repeated.
    ran: dict[str, list[int]] = {}
    for epoch, process in re.findall(r"epoch (\d+) in process (\d+)", cli("logs", "killed-thrice").stdout):
        ran.setdefault(process, []).append(int(epoch))
    runs = list(ran.values())
    assert len(runs) == 4, runs
    assert (runs[0][0], runs[-1][-1]) == (1, EPOCHS)
    for before, after in pairwise(runs):
        assert before == list(range(before[0], before[-1] + 1))
        assert before[-1] <= after[0] <= before[-1] + 1, runs
