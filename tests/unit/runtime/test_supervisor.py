"""`python -m flyte_temporal.runtime` as a container starts it: one order, signals, exit code, files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, Intent, StorageConfig
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.execution import ErrorKind
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.policies import SecretRequest, TaskPolicy
from flyte_temporal.spec.types import STRING
from flyte_temporal.storage import orders, scratch
from flyte_temporal.testing.attempts import AttemptBench

JOBS = """
import json, os, signal, subprocess, sys, time
from flyte_temporal import Secret, current_context, task

@task
def about(path: str) -> str:
    context = current_context()
    open(os.path.join(context.working_directory, "mine"), "w").close()
    variables = {k: v for k, v in os.environ.items() if k.startswith("FLYTE_")}
    known = [context.execution_id.name, context.task_id.name, context.node, context.attempt, context.raw_output_prefix]
    return json.dumps({"env": variables, "context": known, "cwd": os.listdir("."), "group": os.getpgid(0) == os.getpid()})

@task(secret_requests=[Secret(group="db", key="password")])
def secret(path: str) -> str:
    return current_context().secrets.get("db", "password")

@task
def waits(path: str) -> str:
    open(path, "w").close()
    time.sleep(600)
    return ""

@task
def saves(path: str) -> str:
    def save(number, frame):
        with open(path, "a") as file:
            file.write("saved")
        raise SystemExit(0)
    signal.signal(signal.SIGTERM, save)
    open(path, "w").close()
    # Not one long sleep: a signal that comes just before it begins is seen by Python only after it.
    while True:
        time.sleep(0.1)

@task
def child_without_memory(path: str) -> str:
    return str(subprocess.run([sys.executable, "-c", "x = bytearray(2**30); x[::4096] = b'1' * len(x[::4096])"]).returncode)

@task
def orphans(path: str) -> str:
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.2)
        os._exit(0)
    os.wait()
    return "done"
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of 400 MiB; needs control groups of version 1 and the right to make one."""
    groups = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    made = Path("/sys/fs/cgroup/memory") / groups.get("memory", "/none").lstrip("/") / f"test-{os.getpid()}"
    try:
        made.mkdir()
        (made / "memory.limit_in_bytes").write_text(str(400 * 1024**2))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield made
    made.rmdir()


@pytest.fixture
def bench(tmp_path: Path) -> AttemptBench:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "jobs.py").write_text(JOBS)
    (tmp_path / "source" / "data.txt").write_text("x")
    return AttemptBench(tmp_path / "source", tmp_path)


def started(bench: AttemptBench, order: AttemptOrder, group: Path | None = None) -> subprocess.Popen[bytes]:
    file = bench.folder / "order.json"
    file.write_bytes(canonical_bytes(order))
    command = [sys.executable, "-P", "-m", "flyte_temporal.runtime", "--order", str(file)]
    command += ["--scratch", str(bench.folder / "scratch"), "--cache", str(bench.folder / "cache")]
    if group is not None:
        command = ["sh", "-c", f'echo $$ > {group / "cgroup.procs"} && exec "$@"', "sh", *command]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def as_in_a_container(
    bench: AttemptBench, key: str, storage: StorageConfig | None, more: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start an attempt with its stored order, and with nothing else of this process but a folder for temporary files."""
    (bench.folder / "tmp").mkdir(exist_ok=True)
    env = {"PATH": os.environ["PATH"], "TMPDIR": str(bench.folder / "tmp"), **(more or {})}
    if storage is not None:
        env[orders.STORAGE] = storage.model_dump_json()
    command = [sys.executable, "-P", "-m", "flyte_temporal.runtime", "--stored", key]
    return subprocess.Popen(command, stderr=subprocess.PIPE, env=env, cwd="/")


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(process: subprocess.Popen[bytes]) -> int:
    process.communicate()
    return process.returncode


@pytest.mark.row(18)
def test_the_kernels_kills_of_children_are_told(bench: AttemptBench, group: Path) -> None:
    """The task decides what the death of its child means; the manifest says that there was one for memory."""
    order = bench.order("jobs.child_without_memory", {"path": ""}, STRING)
    assert ended(started(bench, order, group)) == 0
    manifest = bench.manifest(order)
    assert manifest is not None
    assert (manifest.error, manifest.outputs) == (None, {"o0": Inline(value="-9")})
    assert manifest.oom_kills == 1


def test_what_a_task_sees(bench: AttemptBench) -> None:
    order = bench.order("jobs.about", {"path": ""}, STRING, env={"FLYTE_TEST": "given"})
    assert ended(started(bench, order)) == 0
    manifest = bench.manifest(order)
    assert manifest is not None
    assert manifest.outputs is not None, manifest.error
    literal = manifest.outputs["o0"]
    assert isinstance(literal, Inline)
    seen = json.loads(str(literal.value))
    where = order.attempt.execution
    assert (
        seen["env"]
        | {
            "FLYTE_TEST": "given",
            "FLYTE_INTERNAL_EXECUTION_ID": where.name,
            "FLYTE_INTERNAL_EXECUTION_PROJECT": where.project,
            "FLYTE_INTERNAL_EXECUTION_DOMAIN": where.domain,
            "FLYTE_INTERNAL_TASK_NAME": "jobs.about",
            "FLYTE_ATTEMPT_NUMBER": "1",
        }
        == seen["env"]
    )
    assert seen["context"] == [where.name, "jobs.about", "n0", 1, bench.store.uri(f"{order.attempt.key}/raw")]
    assert seen["cwd"] == ["mine"]
    assert seen["group"]
    assert manifest.peak_rss_bytes > 10 * 1024 * 1024
    assert manifest.finished_at >= manifest.started_at
    assert (
        scratch.own_folder(bench.folder / "scratch" / scratch.attempt_name(order.attempt)) / "files/mine"
    ).exists()


def test_sigterm_stops_the_task(bench: AttemptBench, tmp_path: Path) -> None:
    order = bench.order("jobs.waits", {"path": str(tmp_path / "up")}, STRING)
    process = started(bench, order)
    wait_for(tmp_path / "up")
    process.send_signal(signal.SIGTERM)
    assert ended(process) == 128 + signal.SIGTERM
    manifest = bench.manifest(order)
    assert manifest is not None
    assert manifest.error is not None
    assert (manifest.error.kind, manifest.error.code) == (ErrorKind.SYSTEM, "Stopped")
    assert manifest.error.recoverable


def test_a_task_may_save_its_work_on_sigterm(bench: AttemptBench, tmp_path: Path) -> None:
    order = bench.order("jobs.saves", {"path": str(tmp_path / "up")}, STRING)
    process = started(bench, order)
    wait_for(tmp_path / "up")
    process.send_signal(signal.SIGTERM)
    assert ended(process) == 0
    assert (tmp_path / "up").read_text() == "saved"
    error = bench.manifest(order).error  # type: ignore[union-attr]
    assert error is not None
    assert error.code == "Stopped"


def test_processes_without_a_parent_do_not_confuse_it(bench: AttemptBench) -> None:
    order = bench.order("jobs.orphans", {"path": ""}, STRING)
    assert ended(started(bench, order)) == 0
    assert bench.manifest(order).outputs == {"o0": Inline(value="done")}  # type: ignore[union-attr]


def test_an_attempt_runs_once_per_machine(bench: AttemptBench) -> None:
    order = bench.order("jobs.about", {"path": ""}, STRING)
    assert ended(started(bench, order)) == 0
    again = started(bench, order)
    _, words = again.communicate()
    assert again.returncode == 2
    assert b"not run again" in words


def test_a_store_that_is_gone(bench: AttemptBench, tmp_path: Path) -> None:
    order = bench.order("jobs.about", {"path": ""}, STRING)
    (tmp_path / "file").touch()
    broken = order.storage.model_copy(update={"root": (tmp_path / "file" / "x").as_uri()})
    order = order.model_copy(update={"storage": broken})
    assert ended(started(bench, order)) == 70
    journal = scratch.read_journal(bench.folder / "scratch" / scratch.attempt_name(order.attempt))
    assert journal is not None
    assert journal.ending is not None
    assert "No manifest was written" in journal.ending.message


@pytest.mark.parametrize("text", ["", "{}", '{"schema_version": 99}'])
def test_an_order_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    command = [sys.executable, "-m", "flyte_temporal.runtime", "--order", "-", "--scratch", str(tmp_path)]
    done = subprocess.run(
        command, input=text.encode(), capture_output=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 2
    assert b"AttemptOrder" in done.stderr
    assert b"Traceback" not in done.stderr


def test_in_a_container_secrets_have_the_names_that_its_launcher_gave_them(
    bench: AttemptBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"FLYTE_SECRETS_ENV_PREFIX": "MINE_", "FLYTE_SECRETS_FILE_PREFIX": "p-"}
    policy = TaskPolicy(secrets=(SecretRequest(group="db", key="password"),))
    order = bench.order("jobs.secret", {"path": ""}, STRING, policy, said)
    orders.leave(bench.store, order)
    handed = {"_FSEC_DB_PASSWORD": "handed", "FLYTE_SECRETS_ENV_PREFIX": "OF_IMAGE_"}
    assert ended(as_in_a_container(bench, keys.order(order.attempt), order.storage, handed)) == 0
    assert bench.manifest(order).outputs == {"o0": Inline(value="handed")}  # type: ignore[union-attr]
    # On this machine itself the task's word holds.
    monkeypatch.setenv("MINE_DB_PASSWORD", "own")
    order = bench.order("jobs.secret", {"path": ""}, STRING, policy, said)
    assert ended(started(bench, order)) == 0
    assert bench.manifest(order).outputs == {"o0": Inline(value="own")}  # type: ignore[union-attr]


def test_a_stored_order_reaches_the_store_as_its_container_does(bench: AttemptBench) -> None:
    order = bench.order("jobs.orphans", {"path": ""}, STRING)
    elsewhere = order.storage.model_copy(update={"root": "s3://nowhere/at/all"})
    key = orders.leave(bench.store, order.model_copy(update={"storage": elsewhere}))
    assert key == keys.order(order.attempt)
    assert ended(as_in_a_container(bench, key, bench.storage)) == 0
    assert bench.manifest(order).outputs == {"o0": Inline(value="done")}  # type: ignore[union-attr]
    assert orders.leave(bench.store, order) == key
    assert orders.read(key, bench.storage) == order


@pytest.mark.parametrize("intent", [Intent.TIMEOUT, Intent.PLATFORM])
def test_a_stored_order_is_stopped_for_the_reason_that_was_noted(
    bench: AttemptBench, tmp_path: Path, intent: Intent
) -> None:
    order = bench.order("jobs.waits", {"path": str(tmp_path / "up")}, STRING)
    process = as_in_a_container(bench, orders.leave(bench.store, order), bench.storage)
    wait_for(tmp_path / "up")
    orders.request_stop(bench.store, order.attempt, intent)
    orders.request_stop(bench.store, order.attempt, Intent.CANCEL)
    process.send_signal(signal.SIGTERM)
    assert ended(process) == 128 + signal.SIGTERM
    error = bench.manifest(order).error  # type: ignore[union-attr]
    assert error is not None
    assert error.code == {Intent.TIMEOUT: "TimedOut", Intent.PLATFORM: "PlatformStopped"}[intent]


def test_a_stored_order_that_was_stopped_before_does_not_begin(bench: AttemptBench, tmp_path: Path) -> None:
    order = bench.order("jobs.waits", {"path": str(tmp_path / "up")}, STRING)
    key = orders.leave(bench.store, order)
    orders.request_stop(bench.store, order.attempt, Intent.CANCEL)
    assert ended(as_in_a_container(bench, key, bench.storage)) == 70
    assert not (tmp_path / "up").exists()


def test_a_container_without_an_order_or_a_store_says_so(bench: AttemptBench) -> None:
    missing = as_in_a_container(bench, "attempts/a/order.json", bench.storage)
    _, words = missing.communicate()
    assert (missing.returncode, words.decode()) == (
        70,
        f"flyte-temporal: There is no order attempts/a/order.json in {bench.storage.root}.\n",
    )
    unset = as_in_a_container(bench, "attempts/a/order.json", None)
    _, words = unset.communicate()
    assert unset.returncode == 70
    assert b"The environment variable FLYTE_TEMPORAL_STORAGE must hold" in words
