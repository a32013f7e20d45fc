"""Finds every use of flytekit in one module and decides what becomes of it; changes nothing.

Names are resolved by scope, so that a local variable called `flytekit` or `fk` is left alone. What is decided is a map
from node to replacement, which `rewrite` applies when there is no problem in the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import libcst as cst
from libcst.helpers import get_full_name_for_node
from libcst.metadata import ImportAssignment, MetadataWrapper, PositionProvider, ScopeProvider

from flyte_temporal.cli.port import names
from flyte_temporal.cli.port.imports import Imports
from flyte_temporal.cli.port.lookup import Lack, Lookup, Target, module_of, split
from flyte_temporal.cli.port.notes import Notes

Replacement = cst.BaseExpression | Sequence[cst.BaseSmallStatement]
"""What stands in a node's place; no statements at all remove it."""

_IN_TEXT = re.compile(r"\bflytekit(?:plugins)?\.\w[\w.]*|^flytekit$")


@dataclass(frozen=True)
class Remark:
    """Something about a place in the file that a person has to know.

    Args:
        line: Its line, from 1.
        name: The name of flytekit that it is about.
        message: What to do.
    """

    line: int
    name: str
    message: str


@dataclass
class Findings:
    """What was found in a file.

    Args:
        edits: What becomes of which node.
        problems: Names that we lack; the file stays as it is.
        leftovers: Texts that name flytekit; they are left to a person.
        notes: Keys of the differences in behaviour that concern the file.
    """

    edits: dict[cst.CSTNode, Replacement] = field(default_factory=dict)
    problems: list[Remark] = field(default_factory=list)
    leftovers: list[Remark] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)


def survey(wrapper: MetadataWrapper, lookup: Lookup) -> Findings:
    """Return what is to be done in a module.

    Args:
        wrapper: The module with its metadata.
        lookup: The table of names.
    """
    visitor = _Survey(lookup)
    wrapper.visit(visitor)
    visitor.findings.problems.sort(key=lambda remark: remark.line)
    return visitor.findings


class _Survey(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (ScopeProvider, PositionProvider)

    def __init__(self, lookup: Lookup) -> None:
        super().__init__()
        self.findings = Findings()
        self._lookup = lookup
        self._imports = Imports(lookup)
        self._star = False
        self._annotations = 0

    # ---- imports
    def visit_Import(self, node: cst.Import) -> bool:  # noqa: N802 - libcst's names
        self._statement(node, self._imports.of_import(node))
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:  # noqa: N802
        self._star = self._star or self._imports.is_star(node)
        self._statement(node, self._imports.of_from(node))
        return False

    def _statement(self, node: cst.CSTNode, found: tuple[Replacement | None, list[Lack | Target]]) -> None:
        replacement, names_ = found
        if replacement is not None:
            self.findings.edits[node] = replacement
        for each in names_:
            self._judge(node, each)

    def _judge(self, node: cst.CSTNode, found: Lack | Target) -> None:
        if isinstance(found, Target):
            self.findings.notes.name(found.name)
            return
        self.findings.problems.append(Remark(self._line(node), found.name, found.message))

    # ---- uses
    def visit_Attribute(self, node: cst.Attribute) -> bool:  # noqa: N802
        self.findings.notes.attribute(node)
        parts = _chain(node)
        if parts is None:
            node.value.visit(self)
        else:
            self._use(parts)
        return False

    def visit_Name(self, node: cst.Name) -> None:  # noqa: N802
        self._use([node])

    def visit_Arg(self, node: cst.Arg) -> bool:  # noqa: N802
        node.value.visit(self)  # the keyword is no use of a name
        return False

    def _use(self, parts: list[cst.BaseExpression], at: cst.CSTNode | None = None) -> None:
        """Decide about a dotted name.

        Args:
            parts: Its prefixes, the shortest first.
            at: The node whose scope it is in; by default its own.
        """
        base = parts[0]
        imported = self._imported(base, at or base)
        if imported is None:
            self._unbound(base)
            return
        module, alias = imported
        words = (*module.split("."), *(_last(part) for part in parts[1:]))
        home, name, count = split(words)
        taken = parts[max(count - len(module.split(".")), 0)]
        if name is None:
            written = self._binding(alias, module, module_of(home))
        else:
            found = self._lookup.find(home, name)
            self._judge(base, found)
            if isinstance(found, Lack):
                return
            written = f"{self._binding(alias, module, found.module)}.{found.name}"
        if get_full_name_for_node(taken) != written:
            self.findings.edits[taken] = cst.parse_expression(written)

    @staticmethod
    def _binding(alias: str | None, module: str, ours: str) -> str:
        """Return the expression for a module of ours, seen from an import of flytekit's `module`."""
        if alias is None:
            return ours
        return f"{alias}{ours.removeprefix(module_of(module))}"

    def visit_Global(self, node: cst.Global) -> bool:  # noqa: N802
        for item in node.names:  # of which libcst says no scope
            self._use([item.name], node)
        return False

    def _imported(self, base: cst.BaseExpression, at: cst.CSTNode) -> tuple[str, str | None] | None:
        """Return the flytekit module that a name is bound to, and its alias (None: bound by its own name)."""
        scope = self.get_metadata(ScopeProvider, at, None)
        if not isinstance(base, cst.Name) or scope is None:
            return None
        for assignment in scope[base.value]:
            if isinstance(assignment, ImportAssignment):
                found = self._imports.bound(assignment.node, base.value)
                if found is not None:
                    return found
        return None

    def _unbound(self, base: cst.BaseExpression) -> None:
        """Report a name that only a star import can have brought, and that we lack."""
        if self._star and isinstance(base, cst.Name) and base.value in names.LACKING:
            scope = self.get_metadata(ScopeProvider, base, None)
            if scope is not None and not scope[base.value]:
                found = self._lookup.find("flytekit", base.value)
                if isinstance(found, Lack):
                    self._judge(base, found)

    # ---- texts
    def visit_Expr(self, node: cst.Expr) -> bool:  # noqa: N802
        return not isinstance(node.value, cst.SimpleString | cst.ConcatenatedString)  # docstrings are prose

    def visit_Annotation(self, node: cst.Annotation) -> None:  # noqa: N802
        self._annotations += 1
        self.findings.notes.annotation(node)

    def leave_Annotation(self, original_node: cst.Annotation) -> None:  # noqa: N802
        del original_node
        self._annotations -= 1

    def visit_SimpleString(self, node: cst.SimpleString) -> None:  # noqa: N802
        text = node.evaluated_value
        if not isinstance(text, str):
            return
        if self._annotations and "flytekit" in text:
            self._quoted(node, text)
        else:
            self._leftover(node, text)

    def visit_FormattedStringText(self, node: cst.FormattedStringText) -> None:  # noqa: N802
        self._leftover(node, node.value)

    def _leftover(self, node: cst.CSTNode, text: str) -> None:
        for found in _IN_TEXT.findall(text):
            message = "This is text, which is left as it is; write the name of flyte_temporal by hand."
            self.findings.leftovers.append(Remark(self._line(node), found, message))

    def _quoted(self, node: cst.SimpleString, text: str) -> None:
        """Rewrite an annotation in quotes, whose names are those of the module."""

        def named(match: re.Match[str]) -> str:
            at, name, count = split(tuple(match[0].split(".")))
            found = self._lookup.find(at, name or "")
            self._judge(node, found)
            if isinstance(found, Lack):
                return match[0]
            return ".".join((found.module, found.name, *match[0].split(".")[count:]))

        written = _IN_TEXT.sub(named, text)
        if written != text:
            quoted = f"{node.prefix}{node.quote}{written}{node.quote}"
            self.findings.edits[node] = node.with_changes(value=quoted)

    # ---- behaviour
    def leave_Call(self, original_node: cst.Call) -> None:  # noqa: N802
        # Afterwards, so that the names in it are known to be ours.
        self.findings.notes.call(original_node)

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:  # noqa: N802
        self.findings.notes.function(node)

    def _line(self, node: cst.CSTNode) -> int:
        return self.get_metadata(PositionProvider, node).start.line


def _chain(node: cst.Attribute) -> list[cst.BaseExpression] | None:
    """Return the prefixes of a dotted name, the shortest first, or None if it does not start with a name."""
    found: list[cst.BaseExpression] = [node]
    while isinstance(found[-1], cst.Attribute):
        found.append(found[-1].value)
    return found[::-1] if isinstance(found[-1], cst.Name) else None


def _last(node: cst.BaseExpression) -> str:
    return node.attr.value if isinstance(node, cst.Attribute) else ""
