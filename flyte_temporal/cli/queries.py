"""Commands about executions that exist: list, show, wait, logs, abort."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.follow import follow
from flyte_temporal.cli.output import Output, visible
from flyte_temporal.cli.place import Place
from flyte_temporal.cli.results import (
    error_of,
    error_text,
    execution_row,
    node_row,
    plain,
    record_document,
    table,
    taken_from,
)
from flyte_temporal.cli.session import open_client
from flyte_temporal.errors import BadRequest
from flyte_temporal.spec.execution import ExecutionPhase, NodeRecord

ABORT_WAIT_S = 30.0
"""How long `abort` waits for the end, in seconds: three times the grace time that tasks get."""


def executions(output: Output, place: Place, limit: int, phases: Sequence[str]) -> int:
    """List executions, newest first."""
    wanted = [_phase(text) for text in phases]
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


def _phase(text: str) -> ExecutionPhase:
    try:
        return ExecutionPhase(text.upper())
    except ValueError:
        known = ", ".join(phase.value for phase in ExecutionPhase)
        raise BadRequest(f"--phase: {text!r} is no phase. Phases: {known}.") from None


def execution(output: Output, place: Place, id_: str) -> int:
    """Show one execution."""
    with open_client(output, place) as client:
        found = client.execution(id_)
        record = found.record()
        outputs = found.outputs if record.phase is ExecutionPhase.SUCCEEDED else {}
        url = found.ui_url
    if output.json:
        output.document({**execution_row(record), **record_document(record, outputs), "ui_url": url})
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
    return ExitCode.SUCCEEDED


def nodes(output: Output, place: Place, id_: str) -> int:
    """List the nodes of an execution."""
    with open_client(output, place) as client:
        found = client.execution(id_).nodes()
    if output.json:
        output.document([node_row(node) for node in found])
        return ExitCode.SUCCEEDED
    columns = ("id", "name", "kind", "phase", "attempts", "cache", "started_at", "finished_at", "note")
    for line in table([{**node_row(node), "note": _note(node)} for node in found], columns):
        output.result(line)
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
    """Return why a node waits, why it or its earlier attempts failed, where its outputs come from, or why it was run anew."""
    said = node.error.message if node.error else node.reason
    if not said and node.failed:
        last = node_row(node)["failed"][-1]
        said = f"attempt {last['attempt']}: {last['verdict']} {last['code']}: {last['message']}"
    said = said or taken_from(node)
    if not said and node.anew:
        said = f"run anew: {node.anew}"
    return visible(said.partition("\n")[0])[:100]


def wait(output: Output, place: Place, id_: str) -> int:
    """Follow an execution to its end."""
    with open_client(output, place) as client:
        return follow(client.execution(id_), output, place.words)


def logs(output: Output, place: Place, id_: str, of: tuple[str | None, int | None]) -> int:
    """Print what tasks printed, of a node and an attempt or all; on a terminal each line says which node said it."""
    node, attempt = of
    with open_client(output, place) as client:
        lines = client.execution(id_).logs(node, attempt)
        if output.json:
            output.document([{"node": x.node, "attempt": x.attempt, "text": x.text} for x in lines])
            return ExitCode.SUCCEEDED
        prefixed = output.stdout.isatty() and node is None
        for each in lines:
            output.result(f"{each.node}#{each.attempt} | {each.text}" if prefixed else each.text)
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
