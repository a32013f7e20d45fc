"""Orders for tests of pods."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from flyte_temporal.spec.attempt import AttemptOrder, StorageConfig
from flyte_temporal.spec.entities import EntryPoint, TaskSpec
from flyte_temporal.spec.execution import Environment
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.policies import TaskPolicy


def attempt_of(node: str = "n0", number: int = 1, token: str = "t1", name: str = "exec-1") -> AttemptId:
    execution = ExecutionId(project="pro_j", domain="dev", name=name)
    return AttemptId(execution=execution, node=node, number=number, token=token)


def order_of(
    attempt: AttemptId | None = None, policy: TaskPolicy | None = None, image: str = "", **more: Any
) -> AttemptOrder:
    task = TaskSpec(
        name="jobs.work",
        interface=Interface(),
        entry=EntryPoint(module="jobs", name="work"),
        policy=policy or TaskPolicy(),
    )
    environment = Environment(launcher="kubernetes", image=image)
    storage = StorageConfig(root="s3://bucket/root")
    return AttemptOrder(
        attempt=attempt or attempt_of(), task=task, environment=environment, storage=storage, **more
    )


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return what Kubernetes makes of a word of a command, or of a variable's value (its `expand` package)."""

    def replaced(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", replaced, text)


SOON_S = 20.0


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < end, "the awaited state did not come"
        await asyncio.sleep(0.01)
