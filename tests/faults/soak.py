"""`make soak MINUTES=10`: random programs, and a random process killed every few seconds, on a stack of its own.

Each result is compared with plain Python's. In the end all that is kept is looked through (`tests.invariants`): nothing may
be lost, wrong or repeated. Exit code 1 if something is.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flyte_temporal.client import Client, Execution
from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.state import read_state
from flyte_temporal.sdk.loader import find_entity, load_file
from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.storage import scratch
from tests.conftest import chosen_seed
from tests.faults.dags import write_program
from tests.invariants import check

AT_ONCE = 3
PAUSE_S = (1.5, 5.0)
"""Between two kills. Faster, the stack would only start."""
END_S = 300.0
"""How long the executions that are open in the end may take, without further kills."""

SYSTEM_RETRIES = 50
"""Attempts are killed at random here, far more often than the platform's own budget is for."""

VICTIMS = ("worker", "worker", "attempt", "attempt", "temporal", "supervisor", "frozen worker", "everything")


@dataclass
class Soak:
    """One long run.

    Args:
        folder: For everything.
        seed: What chance depends on.
    """

    folder: Path
    seed: int
    open: dict[str, tuple[Execution, int]] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    right: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.chance = random.Random(self.seed)
        self.started = 0

    def start(self, client: Client) -> None:
        """Start the next program, after it has run in plain Python."""
        seed = self.seed * 1000 + self.started
        self.started += 1
        entity: Any = find_entity(
            load_file(write_program(self.folder, seed, self.chance.randint(4, 14))), "program"
        )
        plain, marks = self.folder / f"plain-{seed}", self.folder / f"marks-{seed}"
        plain.mkdir()
        marks.mkdir()
        expected = int(entity(folder=str(plain), x=seed))
        name = f"soak-{seed}"
        self.open[name] = client.run(entity, execution_id=name, folder=str(marks), x=seed), expected

    def look(self) -> None:
        """Take in which executions have ended."""
        for name, (execution, expected) in list(self.open.items()):
            record = execution.record()
            if not record.phase.terminal:
                continue
            del self.open[name]
            if record.phase is not ExecutionPhase.SUCCEEDED:
                self.lost.append(f"{name} has {record.phase}: {record.error and record.error.message}")
            elif execution.outputs != {"o0": expected}:
                self.wrong.append(f"{name} gave {execution.outputs} instead of {expected}")
            else:
                self.right += 1

    def kill(self) -> None:
        """Kill a process, or some."""
        victim = self.chance.choice(VICTIMS)
        state = read_state(Layout(self.home).state)
        worker = state.children.get("worker")
        stack = [each for each in (state.supervisor, *state.children.values()) if each is not None]
        match victim:
            case "attempt":
                pids = attempts(self.home)
                chosen = [self.chance.choice(pids)] if pids else []
            case "everything":
                chosen = [each.pid for each in stack] + attempts(self.home)
            case "frozen worker" if worker is not None:
                freeze(worker.pid, self.chance.uniform(1.0, 4.0))
                chosen = []
            case "supervisor":
                chosen = [state.supervisor.pid] if state.supervisor else []
            case _:
                found = state.children.get(victim)
                chosen = [found.pid] if found else []
        for pid in chosen:
            send(pid, signal.SIGKILL)
        self.kills[victim] += 1


def attempts(home: Path) -> list[int]:
    """Return the processes of attempts that are at work."""
    found = []
    for journal in Layout(home).attempts.glob("*.journal"):
        where = journal.with_suffix("")
        read = scratch.read_journal(where) if scratch.is_held(where) else None
        task = read.processes.get("task") if read is not None else None
        if task is not None and task.alive:
            found.append(task.pid)
    return found


def freeze(pid: int, seconds: float) -> None:
    """Stop a process for a while, as a starved machine does."""
    send(pid, signal.SIGSTOP)
    time.sleep(seconds)
    send(pid, signal.SIGCONT)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def soak(made: Soak, minutes: float) -> None:
    """Run for some minutes, then let all end, and look through what is left."""
    with Client.local(made.home) as client:
        client.up()
        end = time.monotonic() + minutes * 60
        following = time.monotonic() + 5
        while time.monotonic() < end:
            while len(made.open) < AT_ONCE:
                made.start(client)
            if time.monotonic() > following:
                made.kill()
                following = time.monotonic() + made.chance.uniform(*PAUSE_S)
            made.look()
            time.sleep(0.3)
        last = time.monotonic() + END_S
        while made.open and time.monotonic() < last:
            made.look()
            time.sleep(0.5)
        made.lost += [f"{name} has not ended" for name in made.open]
        client.up()
        try:
            check(made.home, system_retries=SYSTEM_RETRIES)
        except AssertionError as error:
            made.wrong += str(error).splitlines()


def main() -> int:
    """Run the soak and print what it showed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=chosen_seed())
    given = parser.parse_args()
    for name, value in (("SYSTEM_RETRIES", SYSTEM_RETRIES), ("HISTORY_EVENTS", 80), ("SHARD", 6)):
        os.environ[f"FLYTE_TEMPORAL_LIMITS__{name}"] = str(value)
    folder = Path(tempfile.mkdtemp(prefix="ft-soak-"))
    made = Soak(folder, given.seed)
    print(f"seed {given.seed}, home {made.home}", flush=True)
    try:
        soak(made, given.minutes)
    finally:
        try:
            with Client.local(made.home) as client:
                client.down()
        except FlyteTemporalError as error:
            print(f"the stack did not end: {error}")
    bad = made.lost + made.wrong
    print(f"{made.started} programs, {made.right} right; kills: {dict(made.kills)}")
    print("\n".join(bad) or "nothing lost, nothing wrong, no finished node repeated")
    return 1 if bad else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # temporalio may crash an interpreter that ends as usual (reliability.md §0.6), and the code is what counts.
    os._exit(code)
