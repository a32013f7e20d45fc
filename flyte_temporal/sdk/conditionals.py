"""`conditional`: a node that runs the nodes of the first case whose condition holds.

Used by authors inside a workflow's body. What is called between a condition and its `.then(...)` belongs to that case and
runs only if it is taken. `branches` finds the questions that should have been written so.
"""

from __future__ import annotations

from typing import Any

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.binding import Target, reachable, reference
from flyte_temporal.sdk.branch import Branch, Case, Given
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.conditions import Asked, Combined, Compared, Condition, Side
from flyte_temporal.sdk.constants import constant_json
from flyte_temporal.sdk.deferred import Deferred, contains_promise
from flyte_temporal.sdk.drafts import Body
from flyte_temporal.sdk.promises import NodeOutputs, Promise, origin_of
from flyte_temporal.sdk.recording import Recording, active
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.sdk.types.engine import default_engine
from flyte_temporal.spec import nodes
from flyte_temporal.spec.types import ANY

Question = Condition | Promise | int
"""A comparison of promises or a promised bool. A type checker, which sees the types of values, takes `~flag` for an int."""


def conditional(name: str) -> Conditional:
    """Begin a choice between cases: `conditional("name").if_(x > 3).then(a(x=x)).else_().then(b(x=x))`.

    Each case is `.if_(condition)`, `.elif_(condition)` or `.else_()`, followed by `.then(value)` or `.fail(message)`. What
    the last of them returns is the promise of what the taken case gives. Without `else_()` it may be None, since nothing
    runs then if no condition holds.

    Args:
        name: Name of the node, for people.

    Raises:
        CompileError: If no workflow is being compiled, or the name is empty.
    """
    where, recording = call_site(), active()
    if not name or type(name) is not str:
        raise CompileError(
            f'conditional() takes a name for people, not {shown(name)}: conditional("big?").', where
        )
    if recording is None:
        raise CompileError(
            "conditional() makes a node of a workflow, but no workflow is being compiled. Use Python's `if` here.",
            where,
        )
    return Conditional(recording, name, where)


class Conditional:
    """A conditional without a case yet.

    Args:
        recording: What it becomes a part of.
        name: Its name.
        where: File and line of the call.
    """

    def __init__(self, recording: Recording, name: str, where: str) -> None:
        self._chain = _Chain(recording, name, where)

    def if_(self, condition: Question) -> OpenCase:
        """Begin the first case.

        Args:
            condition: A comparison of promises, or a promised bool.

        Raises:
            CompileError: If the condition is none, or there is a first case already.
        """
        self._chain.refuse_second_if()
        return self._chain.case("if_", condition)


class OpenCase:
    """A case without an end yet: what is called now belongs to it."""

    def __init__(self, chain: _Chain, condition: nodes.Condition | None, body: Body) -> None:
        self._chain = chain
        self._condition = condition
        self._body = body

    def then(self, value: Any) -> Any:
        """End the case with what it gives.

        Args:
            value: What a call returned: one promise, all outputs of a node, or a tuple of promises; or a constant.

        Returns:
            The promise of what the conditional gives, which also has `.elif_()` and `.else_()` unless this is the last.

        Raises:
            CompileError: If the value has no type that the other cases give.
        """
        return self._chain.end(self._body, self._condition, value, None)

    def fail(self, message: str) -> Any:
        """End the case with the failure of the execution, a user error with this message; returns as `then`."""
        if not message or type(message) is not str:
            raise CompileError(f".fail() takes a message for people, not {shown(message)}.", call_site())
        return self._chain.end(self._body, self._condition, None, message)


class _Chained:
    """What a conditional that may get more cases offers."""

    __slots__ = ()
    _chain: _Chain

    def elif_(self, condition: Question) -> OpenCase:
        """Begin a further case; see `Conditional.if_`."""
        return self._chain.case("elif_", condition)

    def else_(self) -> OpenCase:
        """Begin the case that is taken if no condition holds."""
        return self._chain.otherwise()


class ChainedPromise(_Chained, Promise):
    """The one value of a conditional that may get more cases."""

    __slots__ = ("_chain",)


class ChainedOutputs(_Chained, NodeOutputs):
    """The values of a conditional that may get more cases."""

    __slots__ = ("_chain",)


class _Chain:
    """A conditional in the making: its node, and the cases so far."""

    def __init__(self, recording: Recording, name: str, where: str) -> None:
        self._recording = recording
        self._branch = Branch(name)
        self._draft = recording.draft(self._branch, where)
        recording.add(self._draft)
        recording.at_end.append(self._refuse_empty)

    def _refuse_empty(self) -> None:
        if not self._branch.cases:
            raise CompileError(
                f'conditional("{self._branch.short_name}") has no case. Write .if_(...).then(...) behind it.',
                self._draft.where,
            )

    def refuse_second_if(self) -> None:
        if self._branch.cases:
            raise CompileError(
                f'conditional("{self._branch.short_name}") has its .if_() already. Go on with .elif_(...) behind .then(...).',
                call_site(),
            )

    def case(self, word: str, condition: object) -> OpenCase:
        where = call_site()
        self._refuse_more()
        return self._open(
            self._written(_asked(condition, word, where), where), f".{word}({condition!r})", where
        )

    def otherwise(self) -> OpenCase:
        self._refuse_more()
        return self._open(None, ".else_()", call_site())

    def _open(self, condition: nodes.Condition | None, word: str, where: str) -> OpenCase:
        label = f'case {word} of the conditional "{self._branch.short_name}"'
        body = Body(label, where, around=self._recording.body)
        if self._recording.body is not self._draft.body:
            raise CompileError(
                f'The conditional "{self._branch.short_name}" was begun in another place, so {word} cannot go on with it '
                "here. Write its cases in one expression.",
                where,
            )
        self._recording.begin(body)
        return OpenCase(self, condition, body)

    def _refuse_more(self) -> None:
        name, where = self._branch.short_name, call_site()
        if active() is not self._recording and not self._recording.by_calls:
            raise CompileError(
                f'The conditional "{name}" belongs to another workflow. Begin a new one.', where
            )
        if self._branch.exhaustive:
            raise CompileError(
                f'The conditional "{name}" has ended with its else_(). Write else_() last.', where
            )
        if self._draft.taken:
            raise CompileError(
                f'The value of the conditional "{name}" is in use already, so it can get no further case. Write all cases, '
                "then use what the last .then(...) or .fail(...) returns.",
                where,
            )

    def end(self, body: Body, condition: nodes.Condition | None, value: object, message: str | None) -> Any:
        """Add a case that is complete, and return the promise of what the node gives so far."""
        where = call_site()
        if body is not self._recording.body and not self._recording.body.inside(body):
            raise CompileError(
                f"The {body.label} has ended already. Write one .then(...) or .fail(...).", where
            )
        target = Target(f"the {body.label}", ANY, object, self._recording, where, body)
        given = None if message is not None else _given(value, target)
        self._recording.end(body)
        self._branch.add(Case(condition, body, given, message, where))
        return self._result(self._recording.promises(self._draft), single=self._branch.single)

    def _result(self, promises: dict[str, Promise], *, single: bool) -> Any:
        if self._branch.exhaustive:
            outputs = NodeOutputs(self._draft, promises)
            return outputs[0] if single else outputs
        if single:
            found: Deferred = ChainedPromise(origin_of(next(iter(promises.values()))))
        else:
            found = ChainedOutputs(self._draft, promises)
        object.__setattr__(found, "_chain", self)
        return found

    def _written(self, condition: Condition, where: str) -> nodes.Condition:
        """Return a condition as the spec writes it; promises become inputs of the node."""
        match condition:
            case Compared():
                left, right = (self._operand(side, where) for side in (condition.left, condition.right))
                return nodes.Comparison(op=condition.op, left=left, right=right)
            case Combined():
                return nodes.Logical(
                    op=condition.op, of=tuple(self._written(part, where) for part in condition.of)
                )
            case _:
                raise TypeError(condition)

    def _operand(self, side: Side, where: str) -> nodes.Operand:
        if side.promise is None:
            return nodes.Operand(constant=side.constant, type=side.type)
        label = f'the condition of the conditional "{self._branch.short_name}"'
        target = Target(label, side.type, object, self._recording, where, self._draft.body)
        binding = reference(reachable(side.promise, target), side.type)
        inputs = self._draft.inputs
        name = next((n for n, known in inputs.items() if known == binding), f"c{len(inputs)}")
        inputs[name] = binding
        self._branch.take(name, side.type)
        return nodes.Operand(input=name, type=side.type)


def _asked(condition: object, word: str, where: str) -> Condition:
    if isinstance(condition, Asked):
        return condition.is_true()
    hint = (
        "Use Python's `if` for what is known while the workflow is compiled"
        if isinstance(condition, bool)
        else "Compare a promise, for example x > 3"
    )
    raise CompileError(f".{word}() takes a condition, not {shown(condition)}. {hint}.", where)


def _given(value: object, target: Target) -> Given:
    """Return what a case gives, as name and source of each value."""
    if isinstance(value, NodeOutputs):
        names = tuple(value.outputs)
        return Given(names, tuple(_source(p, target) for p in value), single=False)
    if isinstance(value, tuple) and contains_promise(value):
        return Given(
            tuple(f"o{i}" for i in range(len(value))), tuple(_source(v, target) for v in value), single=False
        )
    return Given(("o0",), (_source(value, target),), single=True)


def _source(value: object, target: Target) -> Any:
    if isinstance(value, Promise):
        return reachable(value, target)
    if isinstance(value, Deferred | Condition) or contains_promise(value):
        raise CompileError(
            f".then() takes what a call returned, not {shown(value)}. Build the value in a task, and give its result.",
            target.where,
        )
    try:
        type_ = default_engine().literal_type(type(value))
        if type_ != ANY:
            return constant_json(value, type(value), type_), type_
    except CompileError:
        pass
    raise CompileError(
        f".then() takes what a call returned, or a plain constant, not {shown(value)}. Make the value in a task, and "
        "give its result.",
        target.where,
    )
