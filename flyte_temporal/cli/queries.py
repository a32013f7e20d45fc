"""Commands about executions that exist: list, show, wait, logs, abort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.follow import follow
from flyte_temporal.cli.output import Output, visible
from flyte_temporal.cli.place import Place
from flyte_temporal.cli.repairs import repair_document, repair_lines
from flyte_temporal.cli.results import (
    error_of,
    error_text,
    execution_row,
    items_text,
    node_row,
    plain,
    record_document,
    table,
    taken_from,
)
from flyte_temporal.cli.session import open_client
from flyte_temporal.client import Execution, RepairState
from flyte_temporal.errors import BadRequest, Conflict, NotFound, PlatformError
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase, NodeRecord

P = TypeVar("P", ExecutionPhase, NodePhase)

ABORT_WAIT_S = 30.0
"""How long `abort` waits for the end, in seconds: three times the grace time that tasks get."""


def executions(output: Output, place: Place, limit: int, phases: Sequence[str]) -> int:
    """List executions, newest first."""
    wanted = [_phase(ExecutionPhase, text) for text in phases]
    with open_client(output, place) as client:
        rows = [execution_row(record) for record in client.executions(limit=limit, phases=wanted)]
    if output.json:
        output.document(rows)
    elif rows:
        for line in table(rows, ("id", "phase", "entity", "created_at", "finished_at")):
            output.result(line)
    else:
        output.note("No executions. Start one with 'flyte-temporal run FILE ENTITY'.")
    return ExitCode.SUCCEEDED


def _phase(kind: type[P], text: str) -> P:
    try:
        return kind(text.upper())
    except ValueError:
        known = ", ".join(phase.value for phase in kind)
        raise BadRequest(f"--phase: {text!r} is no phase. Phases: {known}.") from None


def execution(output: Output, place: Place, id_: str) -> int:
    """Show one execution."""
    with open_client(output, place) as client:
        found = client.execution(id_)
        record = found.record()
        outputs = found.outputs if record.phase is ExecutionPhase.SUCCEEDED else {}
        url = found.ui_url
        waits = _waits(found) if record.phase is ExecutionPhase.PAUSED else None
    if output.json:
        document = {**execution_row(record), **record_document(record, outputs), "ui_url": url}
        output.document({**document, "waits": repair_document(waits)} if waits else document)
        return ExitCode.SUCCEEDED
    for name, value in {**execution_row(record), "ui_url": url}.items():
        if value:
            output.result(f"{name.replace('_', ' ')}: {value}")
    if outputs:
        output.result("outputs:")
        for name, value in outputs.items():
            output.result(f"  {name}: {plain(value)}")
    if error := error_of(record):
        output.result(error_text(error))
    if waits is not None:
        for line in repair_lines(id_, waits, place.words):
            output.result(line)
    return ExitCode.SUCCEEDED


def _waits(found: Execution) -> RepairState | None:
    """Return what an execution waits for; None if it does not tell just now, or has ended a moment ago."""
    try:
        return found.repairs()
    except (Conflict, PlatformError):
        return None


@dataclass(frozen=True)
class Wanted:
    """Which nodes are listed.

    Args:
        below: Path of a node; empty = all, without the items of maps in shards.
        phases: In which phases; empty = all.
        limit: How many at most.
        offset: How many are left out at the beginning.
    """

    below: str = ""
    phases: Sequence[str] = ()
    limit: int = 1_000
    offset: int = 0

    @property
    def some(self) -> bool:
        """Return whether anything in particular is wanted."""
        return bool(self.below or self.phases or self.offset)


def nodes(output: Output, place: Place, id_: str, wanted: Wanted) -> int:
    """List nodes of an execution."""
    phases = [_phase(NodePhase, text) for text in wanted.phases]
    with open_client(output, place) as client:
        found = client.execution(id_)
        if wanted.some:
            # One more than is shown tells whether there are more.
            shown = found.nodes(wanted.below, phases=phases, limit=wanted.limit + 1, offset=wanted.offset)
        else:
            shown = found.nodes()
    more = wanted.some and len(shown) > wanted.limit
    shown = shown[: wanted.limit] if wanted.some else shown
    if wanted.below and not shown and not wanted.offset and not phases:
        raise NotFound(f"The execution {id_} has no node {wanted.below!r}, or it was not reached.")
    if output.json:
        output.document([node_row(node) for node in shown])
    else:
        columns = ("id", "name", "kind", "phase", "attempts", "cache", "started_at", "finished_at", "note")
        for line in table([{**node_row(node), "note": _note(node)} for node in shown], columns):
            output.result(line)
    if more:
        output.note(f"There are more; --offset {wanted.offset + wanted.limit} shows the next.")
    elif inside := [node.id for node in shown if node.items and not wanted.some]:
        output.note(f"The items of a map are listed by 'flyte-temporal get nodes {id_} --below {inside[0]}'.")
    return ExitCode.SUCCEEDED


def abort_node(output: Output, place: Place, id_: str, wish: tuple[str, str]) -> int:
    """Have one node fail; `wish` is the node and the reason."""
    node, reason = wish
    with open_client(output, place) as client:
        found = client.execution(id_).abort_node(node, reason)
    if output.json:
        output.document(node_row(found))
    else:
        output.result(
            f"Node {found.id} ({found.name}) of {id_} is being stopped, and fails; 'flyte-temporal get nodes {id_}' tells "
            "when it has."
        )
    return ExitCode.SUCCEEDED


def _note(node: NodeRecord) -> str:
    """Return why a node waits or failed, how a map's items are, where outputs come from, or why it was run anew."""
    said = node.error.message if node.error else items_text(node) or node.reason
    if not said and node.failed:
        last = node.failed[-1]
        said = f"attempt {last.number}: {last.verdict.value} {last.code}: {last.message}"
    said = said or taken_from(node)
    if not said and node.anew:
        said = f"run anew: {node.anew}"
    return visible(said.partition("\n")[0])[:100]


def wait(output: Output, place: Place, id_: str, *, until_paused: bool = False) -> int:
    """Follow an execution to its end, or until it waits for somebody."""
    with open_client(output, place) as client:
        if not until_paused:
            return follow(client.execution(id_), output, place.words)
        found = client.execution(id_)
        for update in found.watch():
            if update.execution.phase is ExecutionPhase.PAUSED:
                break
    if not update.execution.phase.terminal:
        return execution(output, place, id_)
    return wait(output, place, id_)


def logs(
    output: Output, place: Place, id_: str, of: tuple[str | None, int | None], *, follow_on: bool = False
) -> int:
    """Print what tasks printed, of a node and an attempt or all; on a terminal each line says which node said it."""
    node, attempt = of
    prefixed = output.stdout.isatty() and node is None
    if follow_on and output.json:
        raise BadRequest("--follow prints lines as they come; leave it out, or leave out -o json.")
    with open_client(output, place) as client:
        lines = client.execution(id_).logs(node, attempt, follow=follow_on)
        if output.json:
            output.document([{"node": x.node, "attempt": x.attempt, "text": x.text} for x in lines])
            return ExitCode.SUCCEEDED
        for each in lines:
            output.result(f"{each.node}#{each.attempt} | {each.text}" if prefixed else each.text)
            output.stdout.flush()
    return ExitCode.SUCCEEDED


def deck(output: Output, place: Place, id_: str, node: str, save: Path | None) -> int:
    """Say where the deck of a node is, or copy it to a file."""
    with open_client(output, place) as client:
        found = client.execution(id_).deck(node)
    if save is not None:
        try:
            save.write_text(found.html, encoding="utf-8")
        except OSError as error:
            raise BadRequest(f"--save: {save} cannot be written: {error.strerror}.") from error
    where = found.uri if save is None else str(save)
    if output.json:
        output.document({"node": found.node, "attempt": found.attempt, "deck": where})
    else:
        output.result(where)
    return ExitCode.SUCCEEDED


def abort(output: Output, place: Place, id_: str, reason: str) -> int:
    """Stop an execution, and wait until it has stopped."""
    with open_client(output, place) as client:
        found = client.execution(id_)
        if found.record().phase.terminal:
            raise BadRequest(
                f"Execution {id_} is over ({found.record().phase.value}); nothing is left to abort."
            )
        found.abort(reason)
        output.note(f"Aborting {id_} …")
        record = found.wait(ABORT_WAIT_S)
    if output.json:
        output.document(record_document(record, {}))
    elif record.phase.terminal:
        output.result(f"Execution {id_} {record.phase.value}.")
    else:
        output.result(
            f"Execution {id_} is still stopping; 'flyte-temporal get execution {id_}' tells when it has."
        )
    return ExitCode.SUCCEEDED
