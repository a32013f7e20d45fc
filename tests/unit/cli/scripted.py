"""What the tests of the command line share: an output to look at, and executions that follow a script."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from flyte_temporal.cli.output import Output
from flyte_temporal.spec.entities import Root
from flyte_temporal.spec.execution import (
    ErrorDocument,
    ExecutionPhase,
    ExecutionRecord,
    ExecutionRequest,
    NodePhase,
    NodeRecord,
)
from flyte_temporal.spec.identifiers import ExecutionId

START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@dataclass
class Screen:
    """An output whose text can be read back."""

    output: Output
    out: io.StringIO
    err: io.StringIO

    @property
    def stdout(self) -> str:
        return self.out.getvalue()

    @property
    def stderr(self) -> str:
        return self.err.getvalue()


def new_screen() -> Screen:
    out, err = io.StringIO(), io.StringIO()
    return Screen(Output(stdout=out, stderr=err), out, err)


def record(phase: ExecutionPhase, error: ErrorDocument | None = None, **changes: Any) -> ExecutionRecord:
    request = ExecutionRequest(
        id=ExecutionId(project="default", domain="development", name="e1"),
        root=Root(kind="workflow", name="pipeline.train"),
        version="v1",
        spec="0" * 64,
    )
    return ExecutionRecord(
        request=request,
        phase=phase,
        created_at=START,
        started_at=START,
        finished_at=START + timedelta(seconds=3.24) if phase.terminal else None,
        error=error,
        **changes,
    )


def node(path: str, phase: NodePhase, order: int = 0, **changes: Any) -> NodeRecord:
    return NodeRecord(id=path, name=f"task_{path}", kind="task", phase=phase, order=order, **changes)


@dataclass
class Moment:
    execution: ExecutionRecord
    nodes: list[NodeRecord]


@dataclass
class Scripted:
    """An execution that goes through given moments; a KeyboardInterrupt among them is raised."""

    moments: list[Moment | KeyboardInterrupt]
    outputs: dict[str, Any] = field(default_factory=dict)
    final: ExecutionRecord | None = None
    aborted: list[str] = field(default_factory=list)
    id: str = "e1"
    ui_url: str = "http://127.0.0.1:1/e1"

    def watch(self) -> Iterator[Moment]:
        for moment in self.moments:
            if isinstance(moment, KeyboardInterrupt):
                raise moment
            yield moment

    def record(self) -> ExecutionRecord:
        return self.wait()

    def wait(self, timeout_s: float | None = None) -> ExecutionRecord:
        assert self.final is not None
        return self.final

    def abort(self, reason: str = "") -> None:
        self.aborted.append(reason)
