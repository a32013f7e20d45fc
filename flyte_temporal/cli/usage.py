"""Help texts of `run`, whose flags typer cannot know: of the command, of a file, of an entity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_temporal.cli.flags import flag
from flyte_temporal.spec.types import BOOLEAN, describe

if TYPE_CHECKING:
    from flyte_temporal.sdk.entity import Entity
    from flyte_temporal.spec.entities import LaunchPlanSpec, TaskSpec, WorkflowSpec
    from flyte_temporal.spec.interface import Interface, Variable

    Described = TaskSpec | WorkflowSpec | LaunchPlanSpec

RUN = """\
Usage: flyte-temporal run [OPTIONS] FILE ENTITY [--NAME VALUE ...] [OPTIONS]

Run a task or workflow of a Python file durably, show its progress and print its outputs. Without ENTITY: list what
the file has. 'run FILE ENTITY --help' lists the inputs.

Options:
  --local            Run as plain Python in this process, without the engine.
  --detach           Print the id of the execution and return at once.
  --name ID          Id of the execution. The same id with the same request attaches to it.
  --inputs FILE      JSON file (or YAML) with inputs; flags win over it.
  --answers FILE     With --local: JSON file (or YAML) with the answers to gates, by name.
  -o, --output FMT   text or json: exactly one document on stdout.
  --launcher NAME    What runs the attempts: pool (default) or process.
  --project NAME     Project of the execution.
  --domain NAME      Domain of the execution.
  --debug            Show tracebacks.

Exit codes: 0 succeeded, 1 failed or aborted, 2 bad usage or inputs (nothing was started), 3 platform unavailable.
"""


def file_text(file: Path, entities: Mapping[str, Entity]) -> str:
    """Return what a file has to run."""
    if not entities:
        return f"{file} has no task or workflow. Decorate a function with @task or @workflow."
    lines = [f"Tasks and workflows in {file}:"]
    for name, entity in entities.items():
        inputs = ", ".join(f"{v.name}: {describe(v.type)}" for v in entity.interface.inputs)
        lines.append(f"  {name}({inputs})")
    lines.append(
        f"Run one with 'flyte-temporal run {file} NAME', or see its inputs with --help behind the name."
    )
    return "\n".join(lines)


def entity_text(file: Path, name: str, entity: Described) -> str:
    """Return the inputs of an entity as flags, with types, defaults and descriptions."""
    interface = entity.interface
    lines = [f"Usage: flyte-temporal run {file} {name}" + (" [INPUTS]" if interface.inputs else ""), ""]
    if description := getattr(entity, "description", ""):
        lines += [description, ""]
    lines += ["Inputs:", *_input_lines(interface)] if interface.inputs else ["It takes no inputs."]
    if interface.outputs:
        lines += ["", "Outputs:"]
        lines += [f"  {v.name}: {describe(v.type)}  {v.description}".rstrip() for v in interface.outputs]
    lines += ["", "Options of run: see 'flyte-temporal run --help'."]
    return "\n".join(lines)


def _input_lines(interface: Interface) -> list[str]:
    written = [_flag_text(variable) for variable in interface.inputs]
    width = max(len(text) for text in written)
    return [
        f"  {text.ljust(width)}  {_remark(variable)}".rstrip()
        for text, variable in zip(written, interface.inputs, strict=True)
    ]


def _flag_text(variable: Variable) -> str:
    if variable.type == BOOLEAN:
        return f"{flag(variable.name)} / --no-{variable.name}"
    return f"{flag(variable.name)} {describe(variable.type)}"


def _remark(variable: Variable) -> str:
    from flyte_temporal.cli.results import plain
    from flyte_temporal.sdk.types.display import show

    if variable.default is None:
        state = "[required]"
    else:
        state = f"[default: {plain(show(variable.default.value, variable.type))}]"
    return f"{variable.description}  {state}".strip()
