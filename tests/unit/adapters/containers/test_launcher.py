"""Attempts whose containers are not made at all, on an engine that nobody asks; the contract is tested on a real one."""

# ruff: noqa: ASYNC240
# Nothing else runs in the event loop of a test while it looks at files.
from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flyte_temporal.activities.outcome import without_manifest
from flyte_temporal.adapters.launchers.containers import beside
from flyte_temporal.adapters.launchers.containers.engine import ATTEMPT, ContainerEngine
from flyte_temporal.adapters.launchers.containers.launcher import ContainerLauncher
from flyte_temporal.adapters.launchers.containers.plan import container_name
from flyte_temporal.config.settings import ContainerSettings
from flyte_temporal.spec.attempt import NO_STORE, AttemptOrder, AttemptPhase, Intent, StorageConfig
from flyte_temporal.spec.entities import ContainerSpec, TaskSpec
from flyte_temporal.spec.execution import ErrorKind
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.types import STRING


def order_of(storage: StorageConfig) -> AttemptOrder:
    execution = ExecutionId(project="p", domain="d", name="e")
    container = ContainerSpec(image="i", command=("true",), output_dir="/out")
    return AttemptOrder(
        attempt=AttemptId(execution=execution, node="n0", number=1, token="t"),
        task=TaskSpec(name="m.count", type="container", interface=Interface(), container=container),
        storage=storage,
    )


async def test_an_input_too_large_for_a_command_is_the_users_and_not_tried_again(tmp_path: Path) -> None:
    storage = StorageConfig(root=(tmp_path / "store").as_uri())
    engine = ContainerEngine("/nowhere/podman", podman=True)
    launcher = ContainerLauncher(engine, ContainerSettings(image="i"), tmp_path / "scratch", storage, 1)
    container = ContainerSpec(image="i", command=("echo", "{{.inputs.text}}"), input_dir="/var/inputs")
    order = order_of(storage)
    interface = Interface(inputs=(Variable(name="text", type=STRING),))
    task = order.task.model_copy(update={"interface": interface, "container": container})
    order = order.model_copy(update={"task": task, "inputs": {"text": Inline(value="x" * 200_000)}})
    try:
        await launcher.start(order)
        state = await launcher.observe(order.attempt, 30)
        error = without_manifest(order, state).error
        assert error is not None
        assert (error.kind, error.code, error.recoverable) == (ErrorKind.USER, "InputTooLarge", False)
        assert "The input text of m.count is too large for a command" in error.message
        assert "read it from /var/inputs/text" in error.message
        assert not state.ran
    finally:
        await launcher.close()


PODMAN = """\
#!/bin/sh
# A podman whose containers end at once; each is a file that holds the key of its attempt.
cd {folder}
for name; do :; done
case "$1" in
create)
    last=
    for word; do
        test "$last" != --name || name=$word
        case "$word" in *flyte-temporal.attempt=*) key=${{word#*flyte-temporal.attempt=}} ;; esac
        last=$word
    done
    test ! -e "$name" || {{ echo "the container name is already in use" >&2; exit 125; }}
    echo "$key" > "$name" ;;
start) test -e "$name" ;;
inspect)
    test -e "$name" || {{ echo "no such container" >&2; exit 125; }}
    printf '[{{"State": {{"Status": "exited", "ExitCode": 0}},'
    printf ' "Config": {{"Labels": {{"flyte-temporal.attempt": "%s"}}}}}}]' "$(cat "$name")" ;;
rm) rm -f "$name" ;;
esac
"""


@pytest.fixture
def containers(tmp_path: Path) -> Path:
    folder = tmp_path / "containers"
    folder.mkdir()
    program = tmp_path / "podman"
    program.write_text(PODMAN.format(folder=folder))
    program.chmod(0o755)
    return folder


def launcher_on(containers: Path, storage: StorageConfig) -> ContainerLauncher:
    engine = ContainerEngine(str(containers.parent / "podman"), podman=True)
    scratch = containers.parent / "scratch"
    return ContainerLauncher(engine, ContainerSettings(image="i"), scratch, storage, 1)


async def gone(path: Path) -> None:
    end = time.monotonic() + 20
    while path.exists():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def test_an_outage_of_the_store_after_a_commands_end_is_waited_out(
    tmp_path: Path, containers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = StorageConfig(root=(tmp_path / "store").as_uri())
    order, launcher = order_of(storage), launcher_on(containers, storage)
    answers = [(0, ""), (NO_STORE, "the store does not answer"), (0, "")]
    asked: list[str] = []

    async def moved(order: AttemptOrder, *words: str, ends: bool = False) -> tuple[int, str]:
        del order, ends
        asked.append(words[0])
        return answers[len(asked) - 1]

    monkeypatch.setattr(beside, "move", moved)
    monkeypatch.setattr("flyte_temporal.adapters.launchers.containers.watching._AWAY_S", 0.3)
    name = container_name(order.attempt)
    try:
        await launcher.start(order)
        state = await launcher.observe(order.attempt, 20)
        assert (state.phase, state.exit_code, state.message, state.ran) == (AttemptPhase.EXITED, 0, "", True)
        assert asked == ["download", "upload", "upload"]
        await launcher.release(order.attempt)
        await gone(containers / name)
    finally:
        await launcher.close()


async def test_a_container_of_somebody_else_is_left_alone(tmp_path: Path, containers: Path) -> None:
    storage = StorageConfig(root=(tmp_path / "store").as_uri())
    order, launcher = order_of(storage), launcher_on(containers, storage)
    other = containers / container_name(order.attempt)
    other.write_text("another/attempt")
    try:
        await launcher.start(order)
        state = await launcher.observe(order.attempt, 20)
        assert "that is not of this attempt. Remove it:" in state.message
        assert not state.ran
        await launcher.release(order.attempt)
    finally:
        await launcher.close()
    assert other.read_text() == "another/attempt"


@pytest.mark.parametrize(
    ("ran_s", "code", "intent"),
    [(129.0, -1, Intent.TIMEOUT), (30.0, -1, Intent.NONE), (130.0, 0, Intent.NONE)],
)
async def test_what_podman_itself_has_ended_has_used_up_its_time(
    tmp_path: Path, containers: Path, ran_s: float, code: int, intent: Intent
) -> None:
    storage = StorageConfig(root=(tmp_path / "store").as_uri())
    attempt = order_of(storage).attempt
    begun = datetime.now(UTC) - timedelta(days=1)
    state = {
        "Status": "exited",
        "ExitCode": code,
        "StartedAt": begun.isoformat(),
        "FinishedAt": (begun + timedelta(seconds=ran_s)).isoformat(),
    }
    shown = {"State": state, "Config": {"Timeout": 130, "Labels": {ATTEMPT: attempt.key}}}
    (tmp_path / "shown").write_text(json.dumps([shown]))
    (tmp_path / "podman").write_text(f'#!/bin/sh\ncase "$1" in inspect) cat {tmp_path}/shown;; esac\n')
    launcher = launcher_on(containers, storage)
    try:
        seen = await launcher.observe(attempt, 30)
        assert (seen.over, seen.exit_code, seen.intent) == (True, code, intent)
    finally:
        await launcher.close()


async def test_a_call_whose_caller_leaves_is_waited_for(tmp_path: Path) -> None:
    done = tmp_path / "done"
    program = tmp_path / "podman"
    program.write_text(f"#!/bin/sh\nsleep 0.3\ntouch {done}\n")
    program.chmod(0o755)
    engine = ContainerEngine(str(program), podman=True)
    call = asyncio.create_task(engine.run("ps"))
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await engine.close()
    assert done.exists()
