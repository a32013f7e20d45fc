"""Promises: what calls return while a workflow's body runs, in place of values that do not exist yet.

Made by `recording`; turned into bindings by `binding`. What they can do and refuse to do is in `deferred`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.conditions import Side
from flyte_temporal.sdk.deferred import IN_TASK, Deferred
from flyte_temporal.sdk.drafts import NodeDraft
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.spec.paths import BadPath, type_at
from flyte_temporal.spec.types import LiteralType, TupleType, describe


class UnknownAttribute(CompileError, AttributeError):
    """A promised value has no such attribute; an AttributeError too, so that `hasattr` works."""


_OF_DICTS = ("items", "keys", "values", "get")
"""Methods of dicts, as which an attribute that is called was meant; `**` calls `keys`."""


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a promised value comes from.

    Args:
        recording: The recording it belongs to; it means nothing in another one.
        draft: The node; None for an input of the workflow.
        output: Name of the output or input.
        root: Type of that output or input.
        path: Attribute path into it.
        type: Type at the end of the path.
    """

    recording: object
    draft: NodeDraft | None
    output: str
    root: LiteralType
    path: tuple[str | int, ...]
    type: LiteralType

    def __str__(self) -> str:
        where = "".join(f".{s}" if isinstance(s, str) else f"[{s}]" for s in self.path)
        kind = "output" if self.draft is not None else "input"
        owner = self.draft.label if self.draft is not None else "the workflow"
        return f"{kind} {self.output!r}{where} ({describe(self.type)}) of {owner}"


class Promise(Deferred):
    """One value to be: an input of the workflow, an output of a node, or a part of one.

    Its attributes are those of the value, so all of its own is in one private place; see `origin_of`.

    Args:
        origin: Where the value comes from.
    """

    __slots__ = ("_origin",)
    _origin: Origin

    def __init__(self, origin: Origin) -> None:
        object.__setattr__(self, "_origin", origin)

    def _draft(self) -> NodeDraft | None:
        return self._origin.draft

    def _side(self) -> Side:
        return Side(self, None, self._origin.type, str(self._origin))

    def __getattr__(self, name: str) -> Promise:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._at(name)

    def __getitem__(self, key: object) -> Promise:
        if isinstance(key, bool) or not isinstance(key, str | int):
            what = "A slice" if isinstance(key, slice) else f"The item {shown(key)}"
            raise CompileError(
                f"{what} cannot be taken of the {self!r} before it exists; a constant position or key can. {IN_TASK}.",
                call_site(),
            )
        return self._at(key)

    def _at(self, step: str | int) -> Promise:
        origin = self._origin
        path = (*origin.path, step)
        try:
            return Promise(replace(origin, path=path, type=type_at(origin.root, path)))
        except BadPath as error:
            raise UnknownAttribute(f"The {self!r}: {error}. {IN_TASK}.", call_site()) from error

    def __call__(self, *_: object, **__: object) -> NoReturn:
        """Refuse to be called, and say more where a method of a dict was meant."""
        origin = self._origin
        if origin.path and origin.path[-1] in _OF_DICTS:
            path = origin.path[:-1]
            whole = replace(origin, path=path, type=type_at(origin.root, path))
            raise CompileError(
                f"The {whole} is not known while the workflow is compiled, so .{origin.path[-1]}() cannot be called: a "
                'dict whose values are not there yet cannot be iterated over or unpacked. Take a value by its key, ["key"], '
                "or pass the whole to a task and do it there.",
                call_site(),
            )
        super().__call__()

    def __setattr__(self, name: str, value: object) -> None:
        raise CompileError(
            f"The {self!r} cannot be changed (.{name} = ...). Return the new value from a task.", call_site()
        )

    def __setitem__(self, key: object, value: object) -> None:
        raise CompileError(
            f"The {self!r} cannot be changed ([{key!r}] = ...). Return the new value from a task.",
            call_site(),
        )

    def __iter__(self) -> Iterator[Promise]:
        type_ = self._origin.type
        if isinstance(type_, TupleType):
            return iter([self._at(i) for i in range(len(type_.elements))])
        raise CompileError(
            f"The {self!r} is not known while the workflow is compiled, so it cannot be iterated over or unpacked. Pass "
            "the whole to a task that loops over it, or take elements by position.",
            call_site(),
        )

    def __len__(self) -> int:
        type_ = self._origin.type
        if isinstance(type_, TupleType):
            return len(type_.elements)
        raise CompileError(
            f"The {self!r} is not known while the workflow is compiled, so its len() is not known. {IN_TASK}.",
            call_site(),
        )

    def __repr__(self) -> str:
        return str(self._origin)


def origin_of(promise: Promise) -> Origin:
    """Return where a promised value comes from."""
    return promise._origin  # noqa: SLF001 - a public attribute would hide the value's own of that name


class NodeOutputs(Deferred):
    """All outputs of a node: unpacked like a tuple, or taken by name. A node without outputs has an empty one."""

    __slots__ = ("_node", "_promises")
    _node: NodeDraft
    _promises: Mapping[str, Promise]

    def __init__(self, draft: NodeDraft, promises: Mapping[str, Promise]) -> None:
        self._node = draft
        self._promises = promises

    def _draft(self) -> NodeDraft:
        return self._node

    def _side(self) -> Side:
        if len(self._promises) == 1:
            return next(iter(self))._side()  # noqa: SLF001 - of one family
        raise CompileError(
            f"The {self!r} cannot be compared as one. Compare one of them, for example .{next(iter(self._promises), 'o0')}.",
            call_site(),
        )

    @property
    def outputs(self) -> Mapping[str, Promise]:
        """Return the outputs by name (flytekit's `Node.outputs`)."""
        return self._promises

    def __getattr__(self, name: str) -> Promise:
        if name.startswith("__"):
            raise AttributeError(name)
        found = self._promises.get(name)
        if found is None:
            raise UnknownAttribute(
                f"The {self._node.label} has no output {name!r}; it has: {self._names()}.", call_site()
            )
        return found

    def __getitem__(self, key: int | str) -> Promise:
        if isinstance(key, str):
            return self.__getattr__(key)
        try:
            return list(self._promises.values())[key]
        except IndexError:
            raise CompileError(
                f"The {self._node.label} has no output at position {key}; it has: {self._names()}.",
                call_site(),
            ) from None

    def __iter__(self) -> Iterator[Promise]:
        return iter(self._promises.values())

    def __len__(self) -> int:
        return len(self._promises)

    def _names(self) -> str:
        return ", ".join(self._promises) or "none"

    def __repr__(self) -> str:
        return f"outputs ({self._names()}) of {self._node.label}"
