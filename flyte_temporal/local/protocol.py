"""What client and stack say to each other: one JSON document per line, one call per connection.

The client sends one `Request` line. The stack answers with one `result` line, or with any number of `item` lines and an
`end`, or with an `error`; between them come `alive` lines, if the request asks for such signs of life, so that a call that
takes long is told from a stack that hangs. Closing the connection cancels the call. `status` and `down` are answered whatever the
protocol of the client, so that a stack of another release can always be looked at and replaced.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, Field, JsonValue

from flyte_temporal import errors
from flyte_temporal.control.documents import RetryRequest
from flyte_temporal.spec.cache import EntryFilter
from flyte_temporal.spec.calls import GateAnswer, NodeAbort
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.spec.identifiers import ExecutionId, ProjectName
from flyte_temporal.spec.listing import ALL, NodeFilter
from flyte_temporal.spec.repairs import GiveUp, NodeSkip, Pause

MAX_LINE = 256 * 1024 * 1024
"""Largest line. A closure travels in one; what may be in it is limited by `limits.max_spec_bytes`."""

Method = Literal[
    "status",
    "down",
    "start",
    "recover",
    "plan_recovery",
    "get",
    "executions",
    "nodes",
    "node",
    "interface",
    "wait",
    "watch",
    "logs",
    "abort",
    "abort_node",
    "gates",
    "repairs",
    "retry",
    "repair",
    "answer",
    "cache_entries",
    "cache_remove",
    "cache_gc",
    "upload",
]

ANY_VERSION: frozenset[str] = frozenset({"status", "down"})


class Request(BaseModel):
    """One call. Unknown fields are ignored, so that a stack of another release understands `status` and `down`.

    Args:
        protocol: Version of the protocol that the client speaks.
        version: Its release.
        method: What is called.
        params: With what.
        alive_s: How often the client wants a sign of life until the answer is complete, in seconds; 0 = never.
        storage: Root of the client's blob store; empty = it does not say.
    """

    protocol: int
    version: str = ""
    method: str
    params: dict[str, JsonValue] = {}
    alive_s: float = Field(default=0.0, ge=0.0)
    storage: str = ""


class One(Document):
    """Names one execution."""

    execution: ExecutionId


class Nodes(One):
    """Parameters of `nodes`: which of them."""

    wanted: NodeFilter = ALL


class Node(One):
    """Parameters of `node`: its path or name."""

    node: str


class Wait(One):
    """Parameters of `wait`: how long, in seconds; None = until it has ended."""

    timeout_s: float | None = None


class Logs(One):
    """Parameters of `logs`: which node, by path or name, and which of its attempts; None = all.

    An item is a `LogLine`. With `follow` they come as they are printed, until the end, and an item `{"waits": "…"}` says what
    is waited for if there is no such node yet.
    """

    node: str | None = None
    attempt: int | None = None
    follow: bool = False


class Abort(One):
    """Parameters of `abort`."""

    reason: str = ""
    by: str = ""


class AbortNode(One):
    """Parameters of `abort_node`: which node, and why."""

    request: NodeAbort


class Retry(One):
    """Parameters of `retry`: which held nodes, and with what."""

    request: RetryRequest


class Repair(One):
    """Parameters of `repair`: what is to be done to a run, by hand."""

    wish: NodeSkip | GiveUp | Pause = Field(discriminator="kind")


class Answer(One):
    """Parameters of `answer`: what somebody says to a gate."""

    answer: GateAnswer


class Many(Document):
    """Parameters of `executions`; empty project or domain = the stack's default."""

    project: ProjectName
    domain: ProjectName
    phases: tuple[ExecutionPhase, ...] = ()
    limit: int = 100


class CacheRemoval(Document):
    """Parameters of `cache_remove`."""

    wanted: EntryFilter
    dry_run: bool = False


class CacheCollection(Document):
    """Parameters of `cache_gc`; see `control.caching`."""

    project: ProjectName
    domain: ProjectName
    unused_s: float | None = None
    most_bytes: int | None = None
    dry_run: bool = False


class StackStatus(BaseModel):
    """What is known about a stack. Fields are only ever added.

    Args:
        running: Whether it runs.
        home: Its home.
        version: Version of the library that runs it.
        protocol: Version of its protocol.
        python: Interpreter that runs it.
        ui_url: Address of the Temporal UI.
        temporal_address: Host and port of the Temporal server.
        pids: Process ids of `supervisor`, `temporal` and `worker`.
        restarts: How often each child was restarted.
        open_executions: Executions that are not over; None if that is not known.
        problems: What is wrong now, in sentences.
    """

    running: bool
    home: str
    version: str = ""
    protocol: int = 0
    python: str = ""
    ui_url: str = ""
    temporal_address: str = ""
    pids: dict[str, int] = {}
    restarts: dict[str, int] = {}
    open_executions: int | None = None
    problems: list[str] = []


def line(kind: Literal["result", "item", "end", "error", "alive"], value: JsonValue = None) -> bytes:
    """Return one line of an answer."""
    return json.dumps({kind: value}, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def error_line(error: errors.FlyteTemporalError) -> bytes:
    """Return the line that carries an error."""
    return line("error", {"code": error.code, "message": error.message})


def read_error(value: dict[str, str]) -> errors.FlyteTemporalError:
    """Return the error that a line carries, of the class that it had on the other side, as far as it is known here."""
    return errors.class_of(value["code"], errors.PlatformError)(value["message"])
