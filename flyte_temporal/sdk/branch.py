"""`Branch`, what stands at the node of a conditional: its cases, and what they give together.

Filled by `conditionals` while a body is recorded; read by `gather` (which writes it) and by `plain` (which runs it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import JsonValue

from flyte_temporal.errors import CompileError, TypeMismatch
from flyte_temporal.sdk.binding import reference
from flyte_temporal.sdk.drafts import Body
from flyte_temporal.sdk.entity import Entity
from flyte_temporal.sdk.promises import Origin
from flyte_temporal.sdk.signature import Signature
from flyte_temporal.sdk.types.adapt import adapt
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.spec.assignability import accepts
from flyte_temporal.spec.bindings import Constant, OutputBinding
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.nodes import Condition
from flyte_temporal.spec.types import NONE, STRING, LiteralType, UnionType, describe, optional, plain_optional

Source = Origin | tuple[JsonValue, LiteralType]
"""A promised value, or a constant and its type."""


@dataclass(frozen=True)
class Given:
    """What a case gives.

    Args:
        names: Names of the values.
        sources: Where they come from.
        single: Whether it is one value and not the outputs of a node.
    """

    names: tuple[str, ...]
    sources: tuple[Source, ...]
    single: bool


@dataclass(frozen=True, eq=False)
class Case:
    """A case that is complete.

    Args:
        when: Its condition; None for `else_()`.
        body: Its nodes.
        given: What it gives; None if it fails.
        message: Why it fails; None if it does not.
        where: File and line of its end.
    """

    when: Condition | None
    body: Body
    given: Given | None
    message: str | None
    where: str


class Branch(Entity):
    """What a conditional runs.

    Args:
        name: Its name, for people.
    """

    kind: ClassVar[Literal["task", "workflow", "launch_plan"]] = "workflow"

    def __init__(self, name: str) -> None:
        self._name = name
        self._operands: dict[str, Variable] = {}
        self._outputs: tuple[Variable, ...] = ()
        self.cases: list[Case] = []

    @property
    def what(self) -> str:
        """Return what its node is, for messages."""
        return "conditional"

    @property
    def name(self) -> str:
        """Return its name."""
        return self._name

    @property
    def short_name(self) -> str:
        """Return its name."""
        return self._name

    @property
    def exhaustive(self) -> bool:
        """Return whether it has an `else_()`."""
        return bool(self.cases) and self.cases[-1].when is None

    @property
    def single(self) -> bool:
        """Return whether it gives one value and not the outputs of a node."""
        return any(case.given is not None and case.given.single for case in self.cases)

    @property
    def signature(self) -> Signature:
        """Return what it gives; it is never called with arguments."""
        outputs = {variable.name: Any for variable in self._outputs}
        return Signature({}, outputs, "single" if self.single else "tuple")

    @property
    def interface(self) -> Interface:
        """Return the operands of its conditions, and what it gives with the cases that it has so far."""
        return Interface(inputs=tuple(self._operands.values()), outputs=self._outputs)

    @property
    def optional_because(self) -> str:
        """Return that there is no `else_()`."""
        return "" if self.exhaustive else f', since the conditional "{self._name}" has no else_()'

    def take(self, name: str, type_: LiteralType) -> None:
        """Add an operand."""
        self._operands[name] = Variable(name=name, type=type_)

    def add(self, case: Case) -> None:
        """Add a case.

        Raises:
            CompileError: If it does not give as many values as the others.
            TypeMismatch: If a value has no type in common with those of the others.
        """
        giving = [(c, c.given) for c in (*self.cases, case) if c.given is not None]
        if giving and case.given is not None:
            first = giving[0][1]
            if len(first.names) != len(case.given.names):
                raise CompileError(
                    f'The cases of the conditional "{self._name}" give different numbers of values: {len(first.names)} '
                    f"at {giving[0][0].where}, {len(case.given.names)} here. Let each give the same.",
                    case.where,
                )
        self.cases.append(case)
        if giving:
            self._outputs = self._merged([given for _, given in giving], case)

    def _merged(self, given: list[Given], case: Case) -> tuple[Variable, ...]:
        same = all(g.names == given[0].names for g in given)
        outputs = []
        for i, name in enumerate(given[0].names):
            merged = type_of(given[0].sources[i])
            for other in given[1:]:
                wider = _wider(merged, type_of(other.sources[i]))
                if wider is None:
                    raise TypeMismatch(
                        f'The cases of the conditional "{self._name}" give {describe(merged)} and '
                        f"{describe(type_of(other.sources[i]))}, which have no type in common. Convert one of them in a task.",
                        case.where,
                    )
                merged = wider
            type_ = merged if self.exhaustive else optional(merged)
            outputs.append(Variable(name=name if same else f"o{i}", type=type_))
        return tuple(outputs)

    def bound(self, given: Given) -> tuple[OutputBinding, ...]:
        """Return where the node's outputs come from if a case is taken; node ids are final when it is asked."""
        return tuple(
            OutputBinding(name=variable.name, binding=_binding(source, variable.type))
            for variable, source in zip(self._outputs, given.sources, strict=True)
        )

    def sources(self) -> set[str]:
        """Return the ids of nodes outside of its cases that they wait for."""
        found: set[str] = set()
        for case in self.cases:
            for node in case.body.nodes:
                found |= node.upstream()
            if case.given is not None:
                found |= {
                    s.draft.id for s in case.given.sources if isinstance(s, Origin) and s.draft is not None
                }
        return found - {node.id for case in self.cases for node in case.body.nodes}

    def evaluate(self, inputs: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
        """Refuse: it runs only among the nodes of its workflow, see `plain`."""
        raise NotImplementedError


def type_of(source: Source) -> LiteralType:
    """Return the type of what a case gives."""
    return source.type if isinstance(source, Origin) else source[1]


def _binding(source: Source, declared: LiteralType) -> Any:
    if isinstance(source, Origin):
        return reference(source, declared)
    return Constant(value=adapt(source[0], source[1], declared))


def _wider(one: LiteralType, other: LiteralType) -> LiteralType | None:
    """Return the type that has the values of both, if one of them does but for None."""
    if accepts(one, other) and not (other == STRING and accepts(other, one)):
        return one
    if accepts(other, one):
        return other
    inner = [_present(one), _present(other)]
    if inner[0] is None or inner[1] is None:
        return optional(inner[0] or inner[1] or NONE)
    if inner == [one, other]:
        return None
    wider = _wider(inner[0], inner[1])
    return None if wider is None else optional(wider)


def _present(type_: LiteralType) -> LiteralType | None:
    if type_ == NONE:
        return None
    return (plain_optional(type_) or type_) if isinstance(type_, UnionType) else type_
