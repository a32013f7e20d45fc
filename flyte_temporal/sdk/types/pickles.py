"""`FlytePickle`, and the fallback for classes that nothing else knows: cloudpickle if it is installed, else pickle.

Asked last of all, after the plug-ins. What is pickled without the author's asking is remembered, and `sdk.interface` warns
of it once per type.
"""

from __future__ import annotations

import functools
import pickle
from typing import IO, TYPE_CHECKING, Annotated, Any, TypeVar, get_origin

from flyte_temporal.config.pickling import pickle_policy
from flyte_temporal.sdk.types.converter import Converter, Converters, Misfit, TypeFamily, misfit, short_name
from flyte_temporal.sdk.types.opaque import Codec, dotted, opaque_converter, refuse_pickles

T = TypeVar("T")


class PickleWarning(UserWarning):
    """A type is not known and its values are pickled. Give it a transformer, or declare `FlytePickle[T]`."""


class Pickled:
    """`FlytePickle[T]`: values of the class `T`, pickled on purpose; bare, of any class. Never None."""

    python_type: Any = object

    def __class_getitem__(cls, item: Any) -> type:
        """Return the type of pickles of a class."""
        return cls if item is Any else _pickled_as(item)


@functools.cache
def _pickled_as(python_type: Any) -> type:
    name = f"FlytePickle[{short_name(python_type)}]"
    return type(name, (Pickled,), {"python_type": python_type, "__module__": __name__})


if TYPE_CHECKING:
    FlytePickle = Annotated[T, "pickled"]
else:
    FlytePickle = Pickled


def dump(value: Any, stream: IO[bytes]) -> None:
    """Pickle a value; cloudpickle also takes classes and functions that cannot be imported."""
    try:
        import cloudpickle as chosen
    except ImportError:
        chosen = pickle  # type: ignore[assignment,unused-ignore]
    chosen.dump(value, stream, protocol=pickle.HIGHEST_PROTOCOL)


def load(stream: IO[bytes]) -> Any:
    """Unpickle a value; called by `opaque` alone, which decides whether it may be."""
    return pickle.load(stream)  # noqa: S301 - only in the task's own process, see `opaque`


PICKLE = Codec("pickle", dump, load)


class ExplicitPickles(TypeFamily):
    """`FlytePickle` and `FlytePickle[T]`."""

    def matches(self, python_type: Any) -> bool:
        """Return whether the author asks for a pickle."""
        return isinstance(python_type, type) and issubclass(python_type, Pickled)

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Compile for the class in the brackets."""
        cls = get_origin(python_type.python_type) or python_type.python_type
        if not isinstance(cls, type):
            cls = object
        refuse_pickles(python_type.__name__, "known")
        return _pickled(cls)


class Pickles(TypeFamily):
    """Any class that nothing else knows."""

    def __init__(self) -> None:
        self._unannounced: list[str] = []
        self._announced: set[str] = set()

    def matches(self, python_type: Any) -> bool:
        """Return whether it is a class whose instances can be told and pickled; what `typing` has is none."""
        cls = get_origin(python_type) or python_type
        if not isinstance(cls, type) or cls in {object, type, staticmethod, classmethod}:
            return False
        is_form = cls.__module__ in {"typing", "typing_extensions", "collections.abc", "types"}
        return not (is_form or getattr(cls, "_is_protocol", False))

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Compile for one class, and remember that nobody asked for the pickle.

        Raises:
            UnsupportedType: If the settings forbid it.
        """
        cls = get_origin(python_type) or python_type
        refuse_pickles(short_name(cls), "any")
        if dotted(cls) not in self._announced:
            self._announced.add(dotted(cls))
            self._unannounced.append(dotted(cls))
        return _pickled(cls)

    def warnings(self) -> list[str]:
        """Return what to warn of, each type once."""
        names, self._unannounced = self._unannounced, []
        if pickle_policy() == "allow":
            return []
        return [
            f"{name} is no type that flyte_temporal knows, so its values travel as pickles: readable only by the same "
            f"Python version, and not by other programs. Declare FlytePickle[{name.rpartition('.')[2]}] if that is meant, "
            "use a dataclass, or register a TypeTransformer."
            for name in names
        ]


def _pickled(cls: type) -> Converter:
    name = "" if cls is object else dotted(cls)

    def check(value: Any) -> None:
        if value is None:
            raise Misfit(
                f"expected {cls.__name__}, got None, which is not pickled; declare Optional[...] for it"
            )
        if not isinstance(value, cls):
            raise misfit(cls.__name__, value)

    return opaque_converter(PICKLE, name, check, lambda value: type(value) is cls)
