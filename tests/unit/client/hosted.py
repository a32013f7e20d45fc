"""What the tests of the clients share: a host on a real socket, with the use cases on fakes behind it, and a program."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyte_temporal.local.host import Host
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.stack import Stack
from flyte_temporal.local.state import StackState, write_state
from flyte_temporal.ports.engine import RunState
from flyte_temporal.sdk.loader import find_entity, load_file
from flyte_temporal.spec.calls import RecordRequest
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.storage.local import LocalBlobStore
from flyte_temporal.testing.engine import FakeEngine
from flyte_temporal.testing.metadata import MemoryMetadataStore

PROGRAM = """
from flyte_temporal import task, workflow

@task
def double(x: int) -> int:
    return 2 * x

@task
def named(execution_id: str, inputs: int) -> str:
    return execution_id * inputs

@workflow
def quadruple(x: int = 3) -> int:
    return double(x=double(x=x))
"""


@dataclass
class Setting:
    home: Path
    engine: FakeEngine
    store: MemoryMetadataStore
    blobs: LocalBlobStore
    stack: Stack
    host: Host
    stopped: list[bool]

    async def reopen(self) -> None:
        """Serve, as a supervisor that has just come up."""
        path = Layout(self.home).socket()
        await self.host.open(path)
        self.stack.state = StackState(supervisor=None, socket=str(path), ui_port=81)
        write_state(Layout(self.home).state, self.stack.state)


def entity(home: Path, name: str = "quadruple") -> Any:
    folder = home / "src"
    folder.mkdir(exist_ok=True)
    file = folder / "client_program.py"
    if not file.exists():
        file.write_text(PROGRAM)
    return find_entity(load_file(file), name)


def run_id(name: str) -> ExecutionId:
    return ExecutionId(project="default", domain="development", name=name)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - what the host does is seen, not signalled
            await asyncio.sleep(0.01)


async def finish(setting: Setting, name: str, **end: Any) -> None:
    final = RunState(**end)
    request = RecordRequest(
        execution=run_id(name),
        phase=final.phase,
        outputs=final.outputs,
        error=final.error,
        reason=final.reason,
    )
    setting.store.record(request)
    await setting.engine.finish(run_id(name), final)
