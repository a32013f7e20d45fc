"""Differences in behaviour that concern a file: data, and the uses that bring each up. Collected by `survey`.

The whole table with reasons is docs/porting.md; a note is one sentence for those who have just ported a file that it
concerns.
"""

from __future__ import annotations

import libcst as cst
import libcst.matchers as m
from libcst.helpers import get_full_name_for_node

NOTES = {
    "retries": 'The line __retry_on__ = "recoverable" keeps flytekit\'s rule in this file, by which a number of retries is for FlyteRecoverableException only; without it every exception but FlyteNonRecoverableException is retried.',
    "try": "A try in a workflow's body catches nothing that a task raises, in plain runs too: the body only records calls.",
    "path": "A pathlib.Path travels as text; annotate FlyteFile or os.PathLike where the file itself is meant.",
    "dynamic": "A failed task inside a @dynamic is retried by its own retries; the @dynamic is not run again as a whole.",
    "eager": "@eager runs with --local only; a durable run of it is refused. In it, await def tasks and workflows by their .aio(...): a call gives the value itself.",
    "gates": "Answer gates with 'flyte-temporal approve|reject|set-input ID GATE'; a plain run asks on the terminal.",
    "sleep": "sleep() may last any time; it is not cut off after an hour.",
    "TypeTransformer": "A TypeTransformer has other methods here (matches, literal_type, to_json, to_python): docs/types.md.",
    "ImageSpec": "An ImageSpec declares an image and gives it a stable tag; on this machine, tasks run in the environment of their caller.",
    "is_container": "An ImageSpec has no is_container(): import in the task what only its image has, in place of 'if image.is_container():'.",
    "checkpoint": "Each save of a checkpoint replaces the one before as a whole, also one of another file name; save a folder to keep several files. restore() gives what earlier attempts saved, as in flytekit.",
    "map_task": "map_task() tells lists of different length before anything runs, and lets failures be None only with min_successes or min_success_ratio. In place of metadata=, write .with_overrides(...) behind the call.",
}
"""Key → sentence."""

_BY_NAME = {
    "dynamic": "dynamic",
    "eager": "eager",
    "approve": "gates",
    "wait_for_input": "gates",
    "sleep": "sleep",
    "TypeTransformer": "TypeTransformer",
    "ImageSpec": "ImageSpec",
    "map_task": "map_task",
}
_TASKS = {"task", "dynamic"}


class Notes:
    """Which notes a file needs."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._used: set[str] = set()

    @property
    def has_retries(self) -> bool:
        """Return whether the file says for some task how often it is retried."""
        return "retries" in self._keys

    def sentences(self) -> list[str]:
        """Return the sentences, in the order of the table."""
        return [NOTES[key] for key in NOTES if key in self._keys]

    def name(self, name: str) -> None:
        """Take note of a name of ours that the file uses."""
        self._used.add(name)
        if (key := _BY_NAME.get(name)) is not None:
            self._keys.add(key)

    def call(self, node: cst.Call) -> None:
        """Take note of a call."""
        called = _last(node.func)
        keywords = {arg.keyword.value for arg in node.args if arg.keyword is not None}
        if "retries" in keywords and called in _TASKS & self._used:
            self._keys.add("retries")
        if called == "is_container" and "ImageSpec" in self._used:
            self._keys.add("is_container")

    def attribute(self, node: cst.Attribute) -> None:
        """Take note of an attribute."""
        if node.attr.value == "checkpoint" and "current_context" in self._used:
            self._keys.add("checkpoint")

    def annotation(self, node: cst.Annotation) -> None:
        """Take note of an annotation."""
        if _TASKS & self._used and m.findall(
            node, m.Name("Path") | m.Attribute(m.Name("pathlib"), m.Name("Path"))
        ):
            self._keys.add("path")

    def function(self, node: cst.FunctionDef) -> None:
        """Take note of a function; one that is a workflow may hold a `try`."""
        decorators = {_last(_called(each.decorator)) for each in node.decorators}
        if "workflow" in decorators & self._used and m.findall(node.body, m.Try()):
            self._keys.add("try")


def _called(node: cst.BaseExpression) -> cst.BaseExpression:
    return node.func if isinstance(node, cst.Call) else node


def _last(node: cst.BaseExpression) -> str:
    return (get_full_name_for_node(node) or "").rpartition(".")[2]
