"""Commands that repair an execution in place: retry, skip, fail, pause, resume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.pauses import held_lines
from flyte_temporal.cli.results import error_fields, instant
from flyte_temporal.cli.session import open_client
from flyte_temporal.errors import BadRequest

if TYPE_CHECKING:
    from flyte_temporal.cli.output import Output
    from flyte_temporal.cli.place import Place
    from flyte_temporal.spec.repairs import RepairState


@dataclass(frozen=True)
class Retry:
    """What is asked of `retry`.

    Args:
        node: The node; None = `everything` was asked for.
        everything: All held nodes.
        code: File with fixed code.
        only_this: Whether it is for these nodes alone.
        resources: What they get: `memory`, `cpu`, `gpu`.
    """

    node: str | None
    everything: bool
    code: Path | None
    only_this: bool
    resources: dict[str, str]


def retry(output: Output, place: Place, id_: str, wish: Retry) -> int:
    """Try held nodes once more."""
    if (wish.node is None) is not wish.everything:
        raise BadRequest("Name one NODE, or write --all for all held nodes.")
    if wish.only_this and wish.code is None:
        raise BadRequest("--only-this says for whom --with-code is; give that as well.")
    with open_client(output, place) as client:
        found = client.execution(id_).retry(
            wish.node, code=wish.code, only_this=wish.only_this, resources=wish.resources
        )
    said = f"Tried again: {', '.join(found.touched)} of {id_}."
    if wish.code is not None:
        whose = "it runs" if wish.only_this else "all attempts from now on run"
        said += f" With the code of {wish.code}, {whose}: {', '.join(found.mended)}."
        changed = {task: why for task, why in found.kept.items() if "not in" not in why}
        said += "".join(f"\n{task} goes on with the code of before: {why}." for task, why in changed.items())
    return _shown(output, place, id_, found, said)


def outputs_and_format(given: Sequence[str]) -> tuple[dict[str, str], str]:
    """Take apart what was given to `--output` of `skip`: outputs of the node, and the format of the result.

    Raises:
        BadRequest: If it is neither, or an output is given twice.
    """
    outputs: dict[str, str] = {}
    format_ = "text"
    for text in given:
        name, assigned, value = text.partition("=")
        if not assigned and text in {"text", "json"}:
            format_ = text
        elif not assigned or not name:
            raise BadRequest(f"--output {text}: write NAME=VALUE, or text or json.")
        elif name in outputs:
            raise BadRequest(f"--output {name}=… is given twice; give it once.")
        else:
            outputs[name] = value
    return outputs, format_


def skip(output: Output, place: Place, id_: str, node: str, outputs: dict[str, str]) -> int:
    """End a held node with given outputs."""
    with open_client(output, place) as client:
        found = client.execution(id_).skip_text(node, outputs)
    return _shown(output, place, id_, found, f"Skipped: {', '.join(found.touched)} of {id_}.")


def fail(output: Output, place: Place, id_: str, reason: str) -> int:
    """Give up what is held."""
    with open_client(output, place) as client:
        found = client.execution(id_).fail(reason)
    said = f"Given up: {', '.join(found.touched)} of {id_}. 'flyte-temporal wait {id_}{place.words}' tells how it ends."
    return _shown(output, place, id_, found.model_copy(update={"held": ()}), said)


def pause(output: Output, place: Place, id_: str, reason: str) -> int:
    """Let nothing new start."""
    with open_client(output, place) as client:
        found = client.execution(id_).pause(reason)
    by = f" by {found.pause.by}" if found.pause and found.pause.by else ""
    return _shown(output, place, id_, found, f"Execution {id_} is paused{by}. What runs goes on to its end.")


def resume(output: Output, place: Place, id_: str) -> int:
    """Let new nodes start again."""
    with open_client(output, place) as client:
        found = client.execution(id_).resume()
    return _shown(output, place, id_, found, f"Execution {id_} may start new nodes.")


def _shown(output: Output, place: Place, id_: str, found: RepairState, said: str) -> int:
    if output.json:
        output.document({"id": id_, **repair_document(found)})
    else:
        output.result(said)
        for line in repair_lines(id_, found, place.words):
            output.note(line)
    return ExitCode.SUCCEEDED


def repair_document(found: RepairState) -> dict[str, Any]:
    """Return what waits for somebody as plain data."""
    held = [
        {
            "node": each.node,
            "name": each.name,
            "task": each.task or None,
            "attempts": each.attempts,
            "outputs": [v.name for v in each.outputs.outputs],
            "error": error_fields(each.error) if each.error else None,
        }
        for each in found.held
    ]
    by = found.pause
    return {
        "phase": found.phase.value,
        "paused": by and {"by": by.by, "reason": by.reason or None, "at": instant(by.at)},
        "held": held,
        "children": list(found.children),
        "touched": list(found.touched),
        "mended": list(found.mended),
        "kept": dict(found.kept),
    }


def repair_lines(id_: str, found: RepairState, place: str) -> list[str]:
    """Return what waits for somebody, in words."""
    lines = []
    if found.held:
        lines += held_lines(id_, [(h.node, h.name, h.error) for h in found.held], place)
    if found.pause is not None:
        by = f" by {found.pause.by}" if found.pause.by else ""
        why = f": {found.pause.reason}" if found.pause.reason else ""
        lines.append(f"Paused{by}{why}. Go on: flyte-temporal resume {id_}{place}")
    if found.children:
        lines.append(f"To be repaired: {', '.join(found.children)}, which it has started.")
    return lines
