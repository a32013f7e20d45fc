"""Attempts whose containers are not made at all, on an engine that nobody asks; the contract is tested on a real one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from flyte_temporal.activities.outcome import without_manifest
from flyte_temporal.adapters.launchers.containers.engine import ContainerEngine
from flyte_temporal.adapters.launchers.containers.launcher import ContainerLauncher
from flyte_temporal.config.settings import ContainerSettings
from flyte_temporal.spec.attempt import AttemptOrder, StorageConfig
from flyte_temporal.spec.entities import ContainerSpec, TaskSpec
from flyte_temporal.spec.execution import ErrorKind
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.types import STRING


async def test_an_input_too_large_for_a_command_is_the_users_and_not_tried_again(tmp_path: Path) -> None:
    storage = StorageConfig(root=(tmp_path / "store").as_uri())
    engine = ContainerEngine("/nowhere/podman", podman=True)
    launcher = ContainerLauncher(engine, ContainerSettings(image="i"), tmp_path / "scratch", storage, 1)
    container = ContainerSpec(image="i", command=("echo", "{{.inputs.text}}"), input_dir="/var/inputs")
    order = AttemptOrder(
        attempt=AttemptId(
            execution=ExecutionId(project="p", domain="d", name="e"), node="n0", number=1, token="t"
        ),
        task=TaskSpec(
            name="m.count",
            type="container",
            interface=Interface(inputs=(Variable(name="text", type=STRING),)),
            container=container,
        ),
        inputs={"text": Inline(value="x" * 200_000)},
        storage=storage,
    )
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
