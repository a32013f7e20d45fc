"""What a conversion is: a pair of compiled functions per Python type, and the errors that say where a value does not fit.

Every family of types builds `Converter`s from these pieces; `engine` finds the family. Apart from `engine`, so that the
families do not import the registry that imports them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec.types import LiteralType

T = TypeVar("T")

INLINE_BYTES = 64 * 1024


@dataclass(frozen=True)
class ValueContext:
    """Where the files and large values of a conversion live.

    Args:
        blobs: The blob store; None in a plain local run, where files stay local paths and nothing is uploaded.
        scratch: A folder for downloaded copies and for files on their way to the store.
        inline_bytes: JSON larger than this number of bytes travels by reference.
        gives: Files in `scratch` and `working_directory` are given to the store when they are written out, because the code that made them has
            ended (see `BlobStore.put_file`).
        opens_pickles: Whether this is a task's own process, which may unpickle; see `opaque`.
        working_directory: Where the task makes its files, if that is not in `scratch`.
    """

    blobs: BlobStore | None
    scratch: Path
    inline_bytes: int = INLINE_BYTES
    gives: bool = False
    opens_pickles: bool = False
    working_directory: Path | None = None


@dataclass(frozen=True)
class InProcess(ValueContext):
    """The context of a plain call: values go through `Held` where JSON would need a file to be written."""

    opens_pickles: bool = True


@dataclass(frozen=True)
class Compiling(ValueContext):
    """The context of constants of a workflow: local directories are not walked, because they are refused anyway."""


@dataclass(frozen=True, slots=True)
class Held:
    """Stands where JSON would stand, for a value that a plain call hands on in memory (a dataframe, a value of a plug-in)."""

    value: Any


class Misfit(Exception):
    """A value does not fit a type; containers add the place on the way out, the engine turns it into a public error.

    Args:
        problem: What was expected and what was given.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.steps: list[str] = []

    def at_field(self, name: str) -> Misfit:
        """Return itself with a field name put before the place."""
        self.steps.append(f".{name}")
        return self

    def at_item(self, key: object) -> Misfit:
        """Return itself with a position or key put before the place."""
        self.steps.append(f"[{shown(key)}]")
        return self

    @property
    def message(self) -> str:
        """What is wrong, with the place in front if it is inside of the value."""
        place = "".join(reversed(self.steps))
        if len(place) > 120:
            place = f"{place[:80]}…{place[-30:]}"
        if not place:
            return self.problem
        return f"{'field' if place.startswith('.') else 'item'} {place}: {self.problem}"


def misfit(expected: str, value: object) -> Misfit:
    """Return the error for a value that is not what was expected."""
    return Misfit(f"expected {expected}, got {given(value)}")


def given(value: object) -> str:
    """Return type and (short) value for a message; never raises, whatever `__repr__` does."""
    if value is None:
        return "None"
    return f"{type(value).__name__} {shown(value)}"


_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


def shown(value: object) -> str:
    """Return a short `repr` without memory addresses, for messages that are the same in every run."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"of {value.bit_length()} bits"
    if isinstance(value, list | dict | set | frozenset | tuple) and len(value) > 20:
        return f"with {len(value)} items"
    try:
        text = _ADDRESS.sub("", repr(value))
    except Exception as error:  # noqa: BLE001 - a user's __repr__ may raise anything; the first error matters more
        return f"(its repr() raised {type(error).__name__})"
    return text if len(text) <= 80 else text[:77] + "…"


Write = Callable[[Any, ValueContext], Any]
Read = Callable[[Any, ValueContext], Any]
Exact = Callable[[Any], bool]
Many = Callable[[Sequence[Any]], list[Any] | None]


@dataclass(frozen=True, slots=True, eq=False)
class Converter:
    """The compiled conversion of one Python type.

    Args:
        type: How its values are typed in the spec.
        write: Python value → JSON; raises Misfit.
        read: JSON written by `type` → Python value; raises Misfit.
        exact: Whether a value is one of this type without any conversion; decides between members of a union.
        write_many: The same as `write` on many values at once, or None if one of them needs `write` itself.
        read_many: The same for `read`.
        write_parts: For a type whose values are read from one by one: the JSON of its elements.
        only_output: Why a task cannot take the type; empty if it can.
    """

    type: LiteralType
    write: Write
    read: Read
    exact: Exact
    write_many: Many | None = None
    read_many: Many | None = None
    write_parts: Callable[[Any, ValueContext], Iterator[Any]] | None = None
    only_output: str = ""

    def write_all(self, values: Sequence[Any], context: ValueContext) -> list[Any]:
        """Write a sequence of values; a misfit says at which position."""
        if self.write_many is not None and (done := self.write_many(values)) is not None:
            return done
        return _each(self.write, values, context)

    def read_all(self, values: Sequence[Any], context: ValueContext) -> list[Any]:
        """Read a sequence of JSON values; a misfit says at which position."""
        if self.read_many is not None and (done := self.read_many(values)) is not None:
            return done
        return _each(self.read, values, context)


def _each(convert: Write, values: Sequence[Any], context: ValueContext) -> list[Any]:
    done: list[Any] = []
    try:
        for value in values:
            done.append(convert(value, context))  # noqa: PERF401 - its length says where a misfit is
    except Misfit as error:
        raise error.at_item(len(done)) from None
    return done


class Converters(Protocol):
    """What a family of types needs of the engine: the converters of the types inside."""

    def converter(self, python_type: Any) -> Converter:
        """Return the converter of a Python type.

        Raises:
            UnsupportedType: If no family knows it.
        """


class TypeFamily(ABC):
    """A family of Python types that are converted alike. The engine asks `matches`, newest registration first."""

    @abstractmethod
    def matches(self, python_type: Any) -> bool:
        """Return whether the family is in charge of an annotation; cheap, and without importing optional packages."""

    @abstractmethod
    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile the conversion of a type; called once per type.

        Raises:
            UnsupportedType: If the type, or one inside of it, cannot be converted.
        """


class TypeTransformer(TypeFamily, Generic[T]):
    """The base of plug-ins: one Python type ↔ one type of the spec ↔ JSON. See docs/types.md for a worked example.

    Methods may raise `ValueError` or `TypeError` for values that do not fit; the engine adds the place.
    """

    @abstractmethod
    def literal_type(self, python_type: Any, engine: Converters) -> LiteralType:
        """Return the type of the spec; `engine.converter(inner).type` gives those of types inside."""

    @abstractmethod
    def to_json(self, value: T, python_type: Any, context: ValueContext) -> Any:
        """Return the JSON of a value, by the table in `spec.literals`."""

    @abstractmethod
    def to_python(self, value: Any, written: LiteralType, python_type: Any, context: ValueContext) -> T:
        """Return the value of some JSON, written by the literal type `written`."""

    def coerce(self, value: Any, python_type: Any) -> T:
        """Return what a task receives in a plain call; override it if that differs from the value itself."""
        if isinstance(python_type, type) and not isinstance(value, python_type):
            raise misfit(python_type.__name__, value)
        result: T = value
        return result

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile the four methods above."""
        written = self.literal_type(python_type, engine)

        def write(value: Any, context: ValueContext) -> Any:
            if isinstance(context, InProcess):
                return Held(_translated(self.coerce, value, python_type))
            return _translated(self.to_json, value, python_type, context)

        def read(value: Any, context: ValueContext) -> Any:
            if isinstance(value, Held):
                return value.value
            return _translated(self.to_python, value, written, python_type, context)

        def exact(value: Any) -> bool:
            return isinstance(python_type, type) and type(value) is python_type

        return Converter(written, write, read, exact)


def _translated(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except (TypeError, ValueError) as error:
        raise Misfit(str(error)) from error


def short_name(python_type: Any) -> str:
    """Return how a person writes an annotation."""
    if isinstance(python_type, type) and not hasattr(python_type, "__args__"):
        return python_type.__name__
    return _ADDRESS.sub("", str(python_type)).replace("typing.", "")
