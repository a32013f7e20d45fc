from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flyte_temporal.errors import LauncherError
from flyte_temporal.spec.attempt import Intent
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.storage import leftovers, scratch


def attempt(node: str = "n0", token: str = "t") -> AttemptId:
    return AttemptId(
        execution=ExecutionId(project="p", domain="d", name="e"), node=node, number=1, token=token
    )


def test_names_are_unique_and_short() -> None:
    long = ".".join(["n" * 60] * 3)
    names = {scratch.attempt_name(attempt(n, t)) for n in ("n0", "n1[3].x", long) for t in ("a", "b")}
    assert len(names) == 6
    assert max(len(name) for name in names) < 200
    assert not any("/" in name for name in names)


def test_one_of_many_claims_wins_and_is_held(tmp_path: Path) -> None:
    start = threading.Barrier(16)
    claimed: list[int] = []

    def claim() -> None:
        start.wait()
        journal = scratch.claim(tmp_path, "a", b"{}")
        # Whoever lost sees it held at once: there is no instant at which it is there and free.
        assert scratch.is_held(tmp_path / "a")
        if journal is not None:
            claimed.append(journal)

    threads = [threading.Thread(target=claim) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == 1
    os.close(claimed[0])
    assert not scratch.is_held(tmp_path / "a")
    assert scratch.claim(tmp_path, "a", b"{}") is None
    assert [path.name for path in tmp_path.iterdir()] == ["a.journal"]


def test_the_lock_goes_with_the_process_that_inherited_it(tmp_path: Path) -> None:
    journal = scratch.claim(tmp_path, "a", b"{}")
    assert journal is not None
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    holder = subprocess.Popen(command, pass_fds=(journal,), stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"up\n"
    os.close(journal)
    assert scratch.is_held(tmp_path / "a")
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert not scratch.is_held(tmp_path / "a")


def test_what_the_journal_says(tmp_path: Path) -> None:
    where = tmp_path / "a"
    assert scratch.read_journal(where) is None
    journal = scratch.claim(tmp_path, "a", b'{"x":1}')
    assert journal is not None
    scratch.write_process(journal, "task", scratch.this_process(tmp_path / "home"))
    os.write(journal, b'{"half": ')
    other = scratch.open_journal(where)
    scratch.write_whole(other, b"\n")
    scratch.write_ending(other, scratch.Ending(-9, "died", 5, oom=True))
    os.close(other)
    os.close(journal)
    found = scratch.read_journal(where)
    assert found is not None
    assert found.order == b'{"x":1}'
    assert found.ending == scratch.Ending(-9, "died", 5, oom=True)
    assert found.log == tmp_path / "home" / "log"
    task = found.processes["task"]
    assert (task.pid, task.alive) == (os.getpid(), True)
    assert time.time() - task.at < 60
    assert not scratch.Process(task.pid, "another start").alive


def test_the_first_reason_to_stop_stands(tmp_path: Path) -> None:
    assert scratch.stop_reason(tmp_path / "a") is Intent.NONE
    scratch.request_stop(tmp_path / "a")
    scratch.request_stop(tmp_path / "a", Intent.PLATFORM)
    assert scratch.stop_reason(tmp_path / "a") == Intent.CANCEL
    scratch.request_stop(tmp_path / "b", Intent.PLATFORM)
    scratch.request_stop(tmp_path / "b")
    assert scratch.stop_reason(tmp_path / "b") == Intent.PLATFORM


def test_remove(tmp_path: Path) -> None:
    journal = scratch.claim(tmp_path, "a", b"{}")
    assert journal is not None
    os.close(journal)
    scratch.request_stop(tmp_path / "a")
    assert scratch.remove(tmp_path, "a") is None
    assert list(tmp_path.iterdir()) == []
    assert scratch.remove(tmp_path, "a") is None
    (scratch.own_folder(tmp_path / "b") / "files").mkdir(parents=True)
    rest = scratch.remove(tmp_path, "b")
    assert rest is not None
    assert rest.is_dir()
    assert not scratch.own_folder(tmp_path / "b").exists()


def test_sweep_takes_old_leftovers_only(tmp_path: Path) -> None:
    for name in (".new-old", ".new-young", "a.journal", "b.journal", "b.stop"):
        (tmp_path / name).touch()
    (tmp_path / ".old-old").mkdir()
    (tmp_path / "b.d").mkdir()
    held = scratch.claim(tmp_path, "held", b"{}")
    assert held is not None
    minutes_ago = time.time() - 600
    for name in (".new-old", ".old-old", "a.journal"):
        os.utime(tmp_path / name, (minutes_ago, minutes_ago))
    for name in ("b.journal", "b.stop", "b.d", "held.journal"):
        os.utime(tmp_path / name, (1, 1))
    leftovers.sweep_attempts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new-young", "a.journal", "held.journal"]
    os.close(held)


def test_folders_of_dead_processes_are_removed(tmp_path: Path) -> None:
    mine = scratch.this_process(tmp_path)
    for name in (f"{mine.pid}-{mine.started}", f"{mine.pid}-1", "4194305-77", "4194306-77", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log").touch()
        os.utime(tmp_path / name / "log", (1, 1))
    (tmp_path / "4194306-77" / "log").touch()
    leftovers.sweep_processes(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{mine.pid}-{mine.started}", "4194306-77", "other"}
    for name in ("old", "young"):
        (tmp_path / "logs").mkdir(exist_ok=True)
        (tmp_path / "logs" / name).touch()
    os.utime(tmp_path / "logs" / "old", (1, 1))
    leftovers.sweep_files(tmp_path / "logs")
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["young"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match="journal"):
        scratch.claim(tmp_path / "missing", "a", b"{}")
