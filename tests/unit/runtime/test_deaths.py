from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from flyte_temporal.runtime import deaths, memory, threads
from flyte_temporal.spec.attempt import AttemptOrder, Intent
from flyte_temporal.spec.entities import TaskSpec
from flyte_temporal.spec.execution import ErrorKind
from flyte_temporal.spec.policies import Resources, ResourceValues, TaskPolicy
from flyte_temporal.storage import scratch
from flyte_temporal.testing.attempts import AttemptBench

MIB = 1024 * 1024


@pytest.fixture
def bench(tmp_path: Path) -> AttemptBench:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "jobs.py").touch()
    return AttemptBench(tmp_path / "source", tmp_path)


def limited(mem: str) -> TaskPolicy:
    return TaskPolicy(resources=Resources(limits=ResourceValues(mem=mem)))


@pytest.mark.parametrize(
    ("death", "mem", "kind", "code", "words"),
    [
        (deaths.Death(-11), "", ErrorKind.USER, "ProcessDied", "signal 11 (SIGSEGV: "),
        (deaths.Death(-6), "", ErrorKind.USER, "ProcessDied", "SIGABRT"),
        (deaths.Death(-7), "", ErrorKind.USER, "ProcessDied", "SIGBUS"),
        (deaths.Death(-15), "", ErrorKind.USER, "ProcessDied", "SIGTERM"),
        (deaths.Death(-9), "", ErrorKind.SYSTEM, "Killed", "SIGKILL"),
        (deaths.Death(-9, 99 * MIB), "100Mi", ErrorKind.USER, "OutOfMemory", "limit of 100Mi"),
        (deaths.Death(-9, 50 * MIB), "100Mi", ErrorKind.SYSTEM, "Killed", "50 MiB"),
        (deaths.Death(-9, oom=True), "", ErrorKind.USER, "OutOfMemory", "the memory there is"),
        (deaths.Death(0), "", ErrorKind.USER, "ProcessExited", "exit code 0"),
        (deaths.Death(77), "", ErrorKind.USER, "ProcessExited", "exit code 77"),
        (deaths.Death(-9, stopped=True), "", ErrorKind.SYSTEM, "Stopped", "stopped on request"),
    ],
)
def test_a_death_in_words(
    bench: AttemptBench, tmp_path: Path, death: deaths.Death, mem: str, kind: ErrorKind, code: str, words: str
) -> None:
    order = bench.order("jobs.x", policy=limited(mem))
    journal = scratch.claim(tmp_path, "a", order.model_dump_json().encode())
    assert journal is not None
    ending = deaths.bury(tmp_path / "a", death)
    manifest = bench.manifest(order)
    assert manifest is not None
    error = manifest.error
    assert error is not None
    assert (error.kind, error.code, error.recoverable) == (kind, code, True)
    assert words in error.message
    noted = scratch.read_journal(tmp_path / "a")
    assert noted is not None
    assert noted.ending == ending
    os.close(journal)


def test_a_death_by_the_platform_that_stops(bench: AttemptBench, tmp_path: Path) -> None:
    order = bench.order("jobs.x")
    journal = scratch.claim(tmp_path, "a", order.model_dump_json().encode())
    assert journal is not None
    scratch.request_stop(tmp_path / "a", Intent.PLATFORM)
    deaths.bury(tmp_path / "a", deaths.Death(-9))
    error = bench.manifest(order).error  # type: ignore[union-attr]
    assert error is not None
    assert (error.kind, error.code, error.recoverable) == (ErrorKind.SYSTEM, "PlatformStopped", True)
    assert error.message == "The platform was stopped while the attempt ran."
    os.close(journal)


def test_the_last_lines_of_the_log_are_in_the_message(bench: AttemptBench) -> None:
    order = bench.order("jobs.x")
    found = deaths.describe(deaths.Death(-11), order, "y" * 10_000 + "\nthe end")
    assert found.message.endswith("the end")
    assert len(found.message.encode()) <= 4096


def test_a_manifest_that_was_left_stands(bench: AttemptBench, tmp_path: Path) -> None:
    order = bench.order("jobs.x")
    journal = scratch.claim(tmp_path, "a", order.model_dump_json().encode())
    assert journal is not None
    deaths.bury(tmp_path / "a", deaths.Death(-11))
    first = bench.manifest(order)
    assert deaths.bury(tmp_path / "a", deaths.Death(3)).message == ""
    assert bench.manifest(order) == first
    os.close(journal)


def test_a_store_that_is_gone_is_noted(bench: AttemptBench, tmp_path: Path) -> None:
    order = bench.order("jobs.x")
    (tmp_path / "file").touch()
    broken = order.storage.model_copy(update={"root": (tmp_path / "file" / "x").as_uri()})
    order = order.model_copy(update={"storage": broken})
    journal = scratch.claim(tmp_path, "a", order.model_dump_json().encode())
    assert journal is not None
    assert "No manifest was written" in deaths.bury(tmp_path / "a", deaths.Death(-11)).message
    os.close(journal)


@pytest.mark.parametrize(
    ("text", "size"),
    [("", 0), ("200Mi", 200 * MIB), ("2G", 2 * 10**9), ("0.5Gi", 512 * MIB), ("1000", 1000), ("lots", 0)],
)
def test_memory_limits(text: str, size: int) -> None:
    assert memory.memory_limit(TaskSpec(name="x", policy=limited(text))) == size


def test_resident_memory() -> None:
    assert memory.resident(os.getpid()) > 10 * MIB
    assert memory.resident(2**22 + 1) == 0
    assert memory.kernel_kills() >= 0


def test_a_fork_with_another_thread_is_not_safe() -> None:
    import subprocess

    program = "import threading, time\nfrom flyte_temporal.runtime.threads import fork_is_safe\n{}\nprint(fork_is_safe())"
    thread = "threading.Thread(target=time.sleep, args=(5,), daemon=True).start()"
    for line, expected in (("", "True"), ("import numpy, scipy.linalg", "True"), (thread, "False")):
        done = subprocess.run(
            [sys.executable, "-c", program.format(line)], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected, line
    assert threads.fork_is_safe.__doc__


def test_a_signal_without_a_name_is_told(bench: AttemptBench) -> None:
    order: AttemptOrder = bench.order("jobs.x")
    found = deaths.describe(deaths.Death(-99), order, "")
    assert "signal 99" in found.message
