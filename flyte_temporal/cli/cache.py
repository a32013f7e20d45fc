"""`flyte-temporal cache ls | rm | gc`."""

from __future__ import annotations

from typing import Any

from flyte_temporal.cli.amounts import seconds, shown_size, size
from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.output import Output
from flyte_temporal.cli.place import Place
from flyte_temporal.cli.results import instant, table
from flyte_temporal.cli.session import open_client
from flyte_temporal.control.documents import CacheSweep
from flyte_temporal.spec.cache import CacheEntry

_SHORT = 12
"""Characters of a key that are shown; enough to tell keys apart, and `rm` takes them."""


def ls(output: Output, place: Place, task: str, execution: str, limit: int) -> int:
    """List remembered outputs."""
    with open_client(output, place) as client:
        rows = [_row(entry) for entry in client.cache_entries(task=task, execution=execution, limit=limit)]
    if output.json:
        output.document(rows)
        return ExitCode.SUCCEEDED
    columns = ("key", "task", "version", "execution", "node", "size", "created_at", "last_used_at")
    shown = [
        {
            **row,
            "key": row["key"][:_SHORT],
            "version": row["version"][:_SHORT],
            "size": shown_size(row["size"]),
        }
        for row in rows
    ]
    for line in table(shown, columns):
        output.result(line)
    return ExitCode.SUCCEEDED


def rm(output: Output, place: Place, key: str, wanted: tuple[str, str], *, dry_run: bool) -> int:
    """Remove remembered outputs: of a key, of a task, of an execution."""
    task, execution = wanted
    with open_client(output, place) as client:
        swept = client.cache_remove(key=key, task=task, execution=execution, dry_run=dry_run)
    return _tell(output, swept)


def gc(output: Output, place: Place, ttl: str | None, most: str | None, *, dry_run: bool) -> int:
    """Remove what was not used for long, and the least recently used beyond a size."""
    unused_s = None if ttl is None else seconds(ttl, "--ttl")
    most_bytes = None if most is None else size(most, "--max-size")
    with open_client(output, place) as client:
        swept = client.cache_gc(unused_s=unused_s, most_bytes=most_bytes, dry_run=dry_run)
    return _tell(output, swept)


def _tell(output: Output, swept: CacheSweep) -> int:
    if output.json:
        counts = swept.model_dump(mode="json", exclude={"entries"})
        zero = {"removed": 0, "removed_bytes": 0, "left": 0, "left_bytes": 0, "dry_run": False}
        output.document({**zero, **counts, "entries": [_row(entry) for entry in swept.entries]})
        return ExitCode.SUCCEEDED
    for entry in swept.entries:
        output.result(f"{entry.key[:_SHORT]}  {entry.task}  {entry.execution} {entry.node}")
    done = "Would remove" if swept.dry_run else "Removed"
    output.note(
        f"{done} {swept.removed} entries of {shown_size(swept.removed_bytes)} of outputs. The outputs themselves stay "
        "with the executions that computed them."
    )
    return ExitCode.SUCCEEDED


def _row(entry: CacheEntry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "task": entry.task,
        "version": entry.version,
        "execution": entry.execution,
        "node": entry.node,
        "attempt": entry.attempt,
        "inputs_sha256": entry.inputs,
        "outputs_sha256": entry.outputs_digest,
        "size": entry.size,
        "created_at": instant(entry.created_at),
        "last_used_at": instant(entry.last_used_at),
    }
