"""Write docs/api.md: every exported name with its signature and its docstring, by subject.

Called by `make api`; a test fails when the page is older than the code, or when a name has no docstring. Names that are not
listed here are put by the module that they come from, so that a new one needs no change of this file.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import flyte_temporal
from tools.api_entry import docstring, entry

PAGE = Path(__file__).parents[1] / "docs" / "api.md"

_SUBJECTS = {
    "Tasks and workflows": "task workflow dynamic eager Environment PythonTask Workflow PythonFunctionWorkflow "
    "ImperativeWorkflow create_node",
    "Control structures": "conditional map_task sleep wait_for_input approve gate_answers FailurePolicy "
    "WorkflowFailurePolicy",
    "Launch plans and references": "LaunchPlan Options CronSchedule FixedRate Email Slack PagerDuty reference_task "
    "reference_workflow reference_launch_plan WorkflowExecutionPhase",
    "Tasks without Python of their own": "ShellTask OutputLocation SQLTask SQLite3Task SQLite3Config SQLAlchemyTask "
    "SQLAlchemyConfig ContainerTask DataStrategy PythonInstanceTask TaskMetadata",
    "Resources, caching, secrets and images": "Resources Cache CachePolicy VersionParameters Secret ImageSpec PodTemplate",
    "Retries and time-outs": "RetryPolicy Backoff OnOom Timeouts",
    "Files, directories and tables": "FlyteFile FlyteDirectory StructuredDataset kwtypes BatchSize",
    "Types and annotations": "",
    "Inside a task": "current_context ExecutionParameters Checkpoint Deck DeckField MarkdownRenderer TopFrameRenderer",
    "Errors": "",
    "Tests": "",
    "From Python: the client": "",
    "Other": "",
}
_BY_HOME = {  # the first that fits
    "flyte_temporal.sdk.types.formats": "Files, directories and tables",
    "flyte_temporal.sdk.types.datasets": "Files, directories and tables",
    "flyte_temporal.sdk.artifacts": "Types and annotations",
    "flyte_temporal.sdk.types": "Types and annotations",
    "flyte_temporal.errors": "Errors",
    "flyte_temporal.testing": "Tests",
    "flyte_temporal.client": "From Python: the client",
}
_PACKAGES = ("flyte_temporal.testing", "flyte_temporal.client")
"""Packages beside the root whose `__all__` is public."""

_INTRO = """\
# Public names

<!-- Written by `make api` from the docstrings; do not edit. -->

`from flyte_temporal import …` has every name below but those of `flyte_temporal.testing` and `flyte_temporal.client`, whose
headings say so. Times are in seconds where nothing else is said. Every error of this library is a `FlyteTemporalError`; its
`message` says what was wrong, where, and what to do.
"""


def exported() -> dict[str, tuple[Any, str]]:
    """Return every public name with what it is and the module that it comes from."""
    found: dict[str, tuple[Any, str]] = {}
    for name in flyte_temporal.__all__:
        found[name] = getattr(flyte_temporal, name), f"flyte_temporal.{flyte_temporal._HOMES[name]}"  # noqa: SLF001
    for package in _PACKAGES:
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", ()):
            found.setdefault(name, (getattr(module, name), package))
    return found


def without_docstring() -> list[str]:
    """Return the exported names that have no docstring of their own."""
    renamed = flyte_temporal._RENAMED  # noqa: SLF001 - the root says which name stands for which
    return [
        name
        for name, (value, home) in exported().items()
        if name not in renamed and not docstring(name, value, home)
    ]


def page() -> str:
    """Return the text of the page."""
    names = exported()
    subjects = by_subject(names)
    lines = [_INTRO]
    anchor = anchors(names)
    for subject, members in subjects.items():
        links = ", ".join(f"[{name}](#{anchor[name]})" for name in members)
        lines.append(f"- **{subject}**: {links}")
    for subject, members in subjects.items():
        lines += ["", f"## {subject}"]
        if any(names[name][1] in _PACKAGES for name in members):
            lines += ["", f"`from {names[members[0]][1]} import …`"]
        for name in members:
            lines += ["", *entry(name, *names[name])]
    return "\n".join(lines).rstrip() + "\n"


def anchors(names: dict[str, tuple[Any, str]]) -> dict[str, str]:
    """Return the anchor of each name on the page: as GitHub makes them, with a number for a second one of the same letters."""
    found: dict[str, str] = {}
    for members in by_subject(names).values():
        for name in members:
            same = sum(other.lower() == name.lower() for other in found)
            found[name] = name.lower() + (f"-{same}" if same else "")
    return found


def by_subject(names: dict[str, tuple[Any, str]]) -> dict[str, list[str]]:
    """Return the names by subject, in the order of the page."""
    listed = {name: subject for subject, text in _SUBJECTS.items() for name in text.split()}
    found: dict[str, list[str]] = {
        subject: [name for name in text.split() if name in names] for subject, text in _SUBJECTS.items()
    }
    for name in sorted(names):
        if name not in listed:
            home = names[name][1]
            subject = next((s for h, s in _BY_HOME.items() if home == h or home.startswith(f"{h}.")), "Other")
            found[subject].append(name)
    return {subject: members for subject, members in found.items() if members}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
