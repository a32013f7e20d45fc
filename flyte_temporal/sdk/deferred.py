"""`Deferred`: what promises, and the outputs of a node, can do and refuse to do.

Whatever would need the value is refused with the line of the user's code, because Python would otherwise go on with a wrong
answer. Apart from `promises`, which says what the values are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NoReturn, Self, TypeVar, Unpack

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.conditions import (
    Asked,
    Condition,
    Operator,
    Side,
    compared,
    condition_of,
    constant_side,
    truth,
)
from flyte_temporal.sdk.drafts import NodeDraft, NodeOptions
from flyte_temporal.sdk.types.converter import shown

Other = TypeVar("Other")


def _refusing(doing: str, instead: str) -> Callable[..., NoReturn]:
    def refuse(self: Deferred, *_: object, **__: object) -> NoReturn:
        raise CompileError(
            f"The {self!r} is not known while the workflow is compiled, so {doing}. {instead}", call_site()
        )

    return refuse


def _comparing(op: Operator) -> Callable[..., Any]:
    def compare(self: Deferred, other: object) -> Condition:
        right = other._side() if isinstance(other, Deferred) else constant_side(other)  # noqa: SLF001 - of one family
        return compared(op, self._side(), right)

    return compare


_BRANCH = (
    'Branch with conditional("name").if_(...), which combines conditions with &, | and ~ and asks .is_true() or '
    ".is_none(); or pass it to a task and decide there"
)
IN_TASK = "Pass it to a task and do it there"


class Deferred(Asked):
    """What promises and the outputs of a node have in common: ordering, overrides, comparing, refusing to be values."""

    __slots__ = ()

    @abstractmethod
    def _draft(self) -> NodeDraft | None:
        """Return the node; None for an input of the workflow."""

    @abstractmethod
    def _side(self) -> Side:
        """Return itself as one side of a comparison."""

    def is_true(self) -> Condition:
        """Return the condition that this promised bool is true.

        Raises:
            TypeMismatch: If it is no bool.
        """
        side = self._side()
        return truth(side.promise, side.type, side.text, wanted=True)

    def is_false(self) -> Condition:
        """Return the condition that this promised bool is false; raises as `is_true`."""
        side = self._side()
        return truth(side.promise, side.type, side.text, wanted=False)

    def is_none(self) -> Condition:
        """Return the condition that this value is None.

        Raises:
            TypeMismatch: If it never is.
        """
        return compared("==", self._side(), constant_side(None))

    def _ordered(self, doing: str) -> NodeDraft:
        draft = self._draft()
        if draft is None:
            raise CompileError(
                f"The {self!r} is no node, so it cannot {doing}. Use what a task or sub-workflow returned.",
                call_site(),
            )
        return draft

    def runs_before(self, other: Deferred) -> None:
        """Let another node start only after this one has ended, though no value flows between them."""
        self >> other

    def __rshift__(self, other: Other) -> Other:
        if not isinstance(other, Deferred):
            raise CompileError(
                f"`>>` orders two nodes, but its right side is {shown(other)}. Use what a task or sub-workflow returned.",
                call_site(),
            )
        other._ordered("be ordered by `>>`").run_after(self._ordered("be ordered by `>>`"), call_site())
        return other

    def with_overrides(self, **options: Unpack[NodeOptions]) -> Self:
        """Set options of this node anew: `node_name`, `resources`, `retries`, `timeout`, `cache` and so on.

        Raises:
            CompileError: If an option does not exist, its value makes no sense, or it is a promise.
        """
        for name, value in options.items():
            # Resources(cpu=...) and Cache(...) are objects with the value inside.
            if contains_promise(value) or contains_promise(getattr(value, "__dict__", None)):
                raise CompileError(
                    f"with_overrides({name}=...) takes values that are known now, not {shown(value)}. Write a constant.",
                    call_site(),
                )
        self._ordered("have options").override(options)
        return self

    __hash__ = object.__hash__
    __bool__ = _refusing("it cannot decide an `if`, `while`, `and`, `or` or `not`", f"{_BRANCH}.")
    __eq__ = _comparing("==")
    __ne__ = _comparing("!=")
    __lt__ = _comparing("<")
    __le__ = _comparing("<=")
    __gt__ = _comparing(">")
    __ge__ = _comparing(">=")
    __int__ = __index__ = _refusing("it cannot become an int", f"{IN_TASK}.")
    __float__ = __complex__ = _refusing("it cannot become a number", f"{IN_TASK}.")
    __format__ = _refusing(
        "it cannot be put into a text", "Pass it to a task that builds the text; repr() shows it."
    )
    __str__ = __format__
    __contains__ = _refusing("`in` cannot look into it", f"{IN_TASK}.")
    __call__ = _refusing("it cannot be called", f"{IN_TASK}.")
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refusing(
        "it cannot be computed with", f"{IN_TASK}."
    )
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __add__
    __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __neg__ = __pos__ = __abs__ = __round__ = __add__
    __xor__ = __rxor__ = __add__

    def __and__(self, other: object) -> Condition:
        return self.is_true() & other

    def __or__(self, other: object) -> Condition:
        return self.is_true() | other

    def __rand__(self, other: object) -> Condition:
        return condition_of(other, "&") & self

    def __ror__(self, other: object) -> Condition:
        return condition_of(other, "|") | self

    def __invert__(self) -> Condition:
        return self.is_false()

    __await__ = _refusing("it cannot be awaited", "Workflows are not asynchronous; remove the `await`.")
    __enter__ = _refusing("it cannot be entered by `with`", f"{IN_TASK}.")


def contains_promise(value: Any) -> bool:
    """Return whether a value is a promise or a container that holds one, however deep."""
    if isinstance(value, Deferred):
        return True
    if isinstance(value, dict):
        return any(map(contains_promise, value.values())) or any(isinstance(k, Deferred) for k in value)
    return isinstance(value, list | tuple | set) and any(map(contains_promise, value))
