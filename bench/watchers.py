"""What watching costs a run: the same executions with nobody watching and with ten commands that watch, taking turns.

    python bench/watchers.py [ROUNDS]

The commands are processes of their own, and ask the one stack of the home; its supervisor reads for all of them together.
Prints a Markdown table for docs/performance.md.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flyte_temporal.client import Client
from flyte_temporal.sdk.loader import find_entity, load_file

WATCHERS = 10
NODES = 150
PROGRAM = f"""
import time
from pathlib import Path
from flyte_temporal import task, workflow

@task
def released(path: str) -> int:
    while not Path(path).exists():
        time.sleep(0.01)
    return 0

@task
def step(n: int) -> int:
    return n + 1

@workflow
def chain(path: str) -> int:
    n = released(path=path)
    for _ in range({NODES}):
        n = step(n=n)
    return n
"""


def cpu_s(pid: int) -> float:
    """Return the processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def once(client: Client, home: Path, chain: object, watchers: int) -> dict[str, float]:
    """Run once; return seconds of the run, and processor seconds of the stack's processes."""
    pids, release = client.status().pids, home.parent / f"release-{time.time_ns()}"
    execution = client.run(chain, path=str(release))
    line = [sys.executable, "-m", "flyte_temporal.cli", "wait", execution.id]
    watching = [watcher(line, home) for _ in range(watchers)]
    for process in watching:
        # It has said that the first node runs: from now on it watches.
        assert process.stderr is not None
        while "RUNNING" not in process.stderr.readline():
            pass
    before, began = {name: cpu_s(pid) for name, pid in pids.items()}, time.time()
    release.touch()
    record = execution.wait()
    spent = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
    for process in watching:
        process.communicate()
    assert record.finished_at is not None
    return {"run": record.finished_at.timestamp() - began, **spent}


def watcher(line: list[str], home: Path) -> subprocess.Popen[str]:
    """Start a command that watches."""
    environment = {**os.environ, "FLYTE_TEMPORAL_HOME": str(home)}
    return subprocess.Popen(
        line,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(prefix="ft-") as folder:
        home = Path(folder) / "home"
        (Path(folder) / "chained.py").write_text(PROGRAM, encoding="utf-8")
        chain = find_entity(load_file(Path(folder) / "chained.py"), "chain")
        client = Client.local(home)
        found: dict[int, list[dict[str, float]]] = {0: [], WATCHERS: []}
        try:
            once(client, home, chain, 0)
            time.sleep(6)  # the spare worker is made
            for _ in range(rounds):
                for watchers, results in found.items():
                    results.append(once(client, home, chain, watchers))
        finally:
            client.down()
    print("| watchers | run | supervisor CPU | worker CPU | server CPU |", "|---|---|---|---|---|", sep="\n")
    for watchers, results in found.items():
        middle = {key: statistics.median(result[key] for result in results) for key in results[0]}
        print(
            f"| {watchers} | {middle['run']:.2f} s | {middle['supervisor']:.2f} s | {middle['worker']:.2f} s "
            f"| {middle['temporal']:.2f} s |"
        )
    ratios = [b["run"] / a["run"] for a, b in zip(*found.values(), strict=True)]
    print(f"\nratio of the runs within a round, median: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
