"""One flytekit source → the same source for this library. Pure: bytes in, bytes out."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst
from libcst.metadata import MetadataWrapper

from flyte_temporal.cli.port.lookup import Lookup
from flyte_temporal.cli.port.survey import Findings, Remark, Replacement, survey
from flyte_temporal.sdk.retrying import RETRY_ON


@dataclass(frozen=True)
class Ported:
    """What becomes of a source.

    Args:
        source: The new source; the old one if there are problems or nothing is to be done.
        problems: Why it cannot be ported.
        leftovers: What is left to a person.
        notes: What behaves differently from now on; empty if nothing was changed.
    """

    source: bytes
    problems: tuple[Remark, ...] = ()
    leftovers: tuple[Remark, ...] = ()
    notes: tuple[str, ...] = ()


def port_source(source: bytes, lookup: Lookup) -> Ported:
    """Rewrite a source.

    Args:
        source: The bytes of a file. Its encoding, its byte order mark and its line ends are kept.
        lookup: The table of names.

    Returns:
        The new source, or the old one with what is in the way: names that we lack, or a syntax error.
    """
    if b"flytekit" not in source:
        return Ported(source)
    mark = codecs.BOM_UTF8 if source.startswith(codecs.BOM_UTF8) else b""
    try:
        module = cst.parse_module(source[len(mark) :])
    except cst.ParserSyntaxError as error:
        message = f"The file is no Python that can be read ({error.message}); correct it first."
        return Ported(source, problems=(Remark(error.raw_line, "", message),))
    except (UnicodeDecodeError, LookupError, SyntaxError) as error:
        message = f"The file cannot be decoded ({error}); correct its encoding line first."
        return Ported(source, problems=(Remark(1, "", message),))
    wrapper = MetadataWrapper(module)
    found = survey(wrapper, lookup)
    if found.problems:
        return Ported(source, tuple(found.problems), tuple(found.leftovers))
    if not found.edits:
        return Ported(source, leftovers=tuple(found.leftovers))
    applied = wrapper.module.visit(_Apply(found))
    if found.notes.has_retries:
        applied = _with_rule(applied)
    written = mark + applied.bytes
    return Ported(written, (), tuple(found.leftovers), tuple(found.notes.sentences()))


def _with_rule(module: cst.Module) -> cst.Module:
    """Have a file's numbers of retries mean what they mean in flytekit: a line behind its first imports."""
    last = 0
    for index, statement in enumerate(module.body):
        if isinstance(statement, cst.FunctionDef | cst.ClassDef):
            break
        if isinstance(statement, cst.SimpleStatementLine) and isinstance(
            statement.body[0], cst.Import | cst.ImportFrom
        ):
            last = index + 1
    rule = cst.parse_statement(f'{RETRY_ON} = "recoverable"')
    spaced = rule.with_changes(leading_lines=[cst.EmptyLine(indent=False)])
    return module.with_changes(body=[*module.body[:last], spaced, *module.body[last:]])


class _Apply(cst.CSTTransformer):
    def __init__(self, found: Findings) -> None:
        super().__init__()
        self._edits = found.edits

    def on_leave(self, original_node: cst.CSTNode, updated_node: cst.CSTNode) -> cst.CSTNode:  # type: ignore[override]
        edit = self._edits.get(original_node)
        if edit is not None:
            return self._replaced(original_node, edit)  # type: ignore[return-value]
        if isinstance(original_node, cst.SimpleStatementLine) and isinstance(
            updated_node, cst.SimpleStatementLine
        ):
            return _lines(original_node, updated_node)  # type: ignore[return-value]
        return super().on_leave(original_node, updated_node)  # type: ignore[return-value]

    @staticmethod
    def _replaced(
        original: cst.CSTNode, edit: Replacement
    ) -> cst.CSTNode | cst.FlattenSentinel[cst.BaseSmallStatement] | cst.RemovalSentinel:
        if isinstance(edit, Sequence):
            return cst.FlattenSentinel(edit) if edit else cst.RemoveFromParent()
        lpar, rpar = getattr(original, "lpar", ()), getattr(original, "rpar", ())
        return edit.with_changes(lpar=lpar, rpar=rpar) if lpar else edit


def _lines(
    original: cst.SimpleStatementLine, updated: cst.SimpleStatementLine
) -> cst.SimpleStatementLine | cst.FlattenSentinel[cst.SimpleStatementLine]:
    """Give each of several statements that came from one a line of its own; comments stay with the first."""
    if len(original.body) != 1 or len(updated.body) < 2:
        return updated
    first, *others = updated.body
    return cst.FlattenSentinel(
        [
            updated.with_changes(body=[_alone(first)]),
            *(cst.SimpleStatementLine(body=[_alone(each)]) for each in others),
        ]
    )


def _alone(statement: cst.BaseSmallStatement) -> cst.BaseSmallStatement:
    return statement.with_changes(semicolon=cst.MaybeSentinel.DEFAULT)
