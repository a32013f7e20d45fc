"""Help texts of `run`, whose flags typer cannot know: of the command, of a file, of an entity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_temporal.cli.flags import flag
from flyte_temporal.cli.forms import forms
from flyte_temporal.cli.help_page import HelpPage, Row
from flyte_temporal.cli.words import SWITCHES, VALUES
from flyte_temporal.spec.types import BOOLEAN, EnumType, UnionType, describe, plain_optional

if TYPE_CHECKING:
    from flyte_temporal.sdk.entity import Entity
    from flyte_temporal.spec.entities import LaunchPlanSpec, TaskSpec, WorkflowSpec
    from flyte_temporal.spec.interface import Interface, Variable

    Described = TaskSpec | WorkflowSpec | LaunchPlanSpec

_MOST = 60

RUN = """\
Usage: flyte-temporal run [OPTIONS] FILE ENTITY [--NAME VALUE ...] [OPTIONS]

Run a task or workflow of a Python file durably, show its progress and print its outputs. Without ENTITY: list what
the file has. 'run FILE ENTITY --help' lists the inputs.

Options:
  --local            Run as plain Python in this process, without the engine.
  --detach           Print the id of the execution and return at once.
  --overwrite-cache  Compute what is remembered anew, and remember that.
  --no-cache         Neither look for what is remembered nor remember anything.
  --pause-on-failure Hold nodes that would fail for good, to be repaired: retry, skip, fail.
  --name ID          Id of the execution. The same id with the same request attaches to it.
  --inputs FILE      JSON or YAML file with inputs, - for standard input; flags win over it.
  --answers FILE     With --local: JSON or YAML file with the answers to gates, by name.
  -o, --output FMT   text or json: exactly one document on stdout.
  --launcher NAME    What runs the attempts: pool (default), process, podman, docker or kubernetes.
  --image [NAME=]URI Image of tasks that name none; with NAME, that of {{.image.NAME.fqn}}. May be repeated.
  --deadline SECONDS Time from the start after which the execution fails and what it runs is stopped.
  --project NAME     Project of the execution.
  --domain NAME      Domain of the execution.
  --debug            Show tracebacks.

Exit codes: 0 succeeded, 1 failed or aborted, 2 bad usage or inputs (nothing was started), 3 platform unavailable.
"""

RECOVER = """\
Usage: flyte-temporal recover [OPTIONS] ID [--NAME VALUE ...] [OPTIONS]

Start an execution that takes over what an earlier one has done, as far as it still stands, and runs the rest: after a
failure, an abort, with fixed code or with other inputs. Says beforehand what is copied, and why each other node is not.

Options:
  --file FILE        The fixed code. Without it: the code of then, whatever has become of the files.
  --NAME VALUE       Another value for an input; the others are as they were.
  --inputs FILE      JSON or YAML file with other inputs, - for standard input; flags win over it.
  --from NODE        Run this node (its id or name) again, and all that comes after it; may be repeated.
  --trust-code       Copy results of code that has changed since, too.
  --overwrite-cache  Compute what is run, and remember it anew.
  --no-cache         Neither take what is run from the cache nor remember it.
  --dry-run          Only say what would be copied and run.
  --detach           Print the id of the new execution and return at once.
  --name ID          Id of the new execution. The same id with the same request attaches to it.
  -o, --output FMT   text or json: exactly one document on stdout, with the plan in it.
  --launcher NAME    What runs the attempts, such as pool or podman; without it, what ran them then.
  --image [NAME=]URI As for run, where it is to be another one than then. May be repeated.
  --project NAME     Project of the execution.
  --domain NAME      Domain of the execution.
  --debug            Show tracebacks.

Exit codes: 0 succeeded, 1 failed or aborted, 2 bad usage or inputs (nothing was started), 3 platform unavailable.
"""


def file_page(file: Path, entities: Mapping[str, Entity]) -> HelpPage:
    """Return what a file has to run, with the first sentence of each docstring."""
    kinds: dict[str, list[Row]] = {"Workflows": [], "Launch plans": [], "Tasks": []}
    titles = {"workflow": "Workflows", "launch_plan": "Launch plans", "task": "Tasks"}
    for name, entity in entities.items():
        row = Row(name, _inputs(entity), _first_line(entity))
        kinds.setdefault(titles.get(entity.kind, "Others"), []).append(row)
    closing = (
        "Put --help behind a name to see its inputs."
        if entities
        else f"{file} has no task or workflow. Decorate a function with @task or @workflow."
    )
    return HelpPage(f"flyte-temporal run {file} NAME [INPUTS]", sections=kinds, closing=closing)


def _inputs(entity: Entity) -> str:
    """Return the inputs on one line of a readable length."""
    text = ", ".join(f"{v.name}: {describe(v.type)}" for v in entity.interface.inputs)
    return f"({text})" if len(text) <= _MOST else f"({text[: _MOST - 1]}…)"


def entity_document(name: str, entity: Entity) -> dict[str, str]:
    """Return an entity of a file as plain data."""
    return {"name": name, "kind": entity.kind, "description": _first_line(entity)}


def _first_line(entity: Entity) -> str:
    lines = str(getattr(entity, "description", "") or "").strip().splitlines()
    return lines[0] if lines else ""


def entity_page(file: Path, name: str, entity: Described) -> HelpPage:
    """Return the inputs of an entity as flags, with types, defaults and descriptions."""
    interface = entity.interface
    inputs = [Row(_flags(v), _kind(v), v.description, _state(v)) for v in interface.inputs]
    outputs = [Row(v.name, describe(v.type), v.description) for v in interface.outputs]
    intro = str(getattr(entity, "description", "") or "")
    if not inputs:
        intro = f"{intro}\n\nIt takes no inputs.".strip()
    return HelpPage(
        f"flyte-temporal run {file} {name}" + (" [INPUTS]" if inputs else "") + " [OPTIONS]",
        intro,
        {"Inputs": inputs, "Outputs": outputs, "How values are written": forms(interface)},
        _closing(interface),
    )


def recover_page(id_: str, entity: str, interface: Interface) -> HelpPage:
    """Return the inputs that may be given anew when an execution is recovered."""
    inputs = [Row(_flags(v), _kind(v), v.description, "") for v in interface.inputs]
    return HelpPage(
        f"flyte-temporal recover {id_}" + (" [INPUTS]" if inputs else "") + " [OPTIONS]",
        f"It ran {entity}. What is not given is as it was.",
        {"Inputs": inputs, "How values are written": forms(interface)},
        "Options such as --file, --from and --dry-run: see 'flyte-temporal recover --help'.",
    )


def _closing(interface: Interface) -> str:
    ours = {flag_.lstrip("-") for flag_ in (*SWITCHES, *VALUES)}
    taken = [flag(v.name) for v in interface.inputs if v.name in ours]
    said = "Options such as --local, --detach and --inputs FILE: see 'flyte-temporal run --help'."
    if taken:
        said += f" Behind the name, {' and '.join(taken)} is the input; the option stands before FILE."
    return said


def _flags(variable: Variable) -> str:
    no = f", --no-{variable.name}" if _is_boolean(variable) else ""
    return f"{flag(variable.name)}{no}"


def _is_boolean(variable: Variable) -> bool:
    type_ = variable.type
    return type_ == BOOLEAN or (isinstance(type_, UnionType) and plain_optional(type_) == BOOLEAN)


def _kind(variable: Variable) -> str:
    return describe(variable.type)


def _state(variable: Variable) -> str:
    from flyte_temporal.cli.results import plain
    from flyte_temporal.sdk.types.display import show

    if variable.default is None:
        return "required"
    if isinstance(variable.type, EnumType) and variable.type.names:
        return f"default: {variable.type.names[variable.type.values.index(variable.default.value)]}"
    return f"default: {plain(show(variable.default.value, variable.type))}"
