"""Values as bytes that only a task's own process opens: pickles of all kinds.

`pickles`, `estimators` and `tensors` say how the bytes are made; here is who may open them. A pickle runs code of whoever
wrote it, so a context opens it only if it says so (`ValueContext.opens_pickles`): an attempt does, and a plain run; the
client, the command line, the control plane and the console never do. They see an `OpaqueReference`.
"""

from __future__ import annotations

import io
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from flyte_temporal.config.pickling import pickle_policy
from flyte_temporal.errors import UnsupportedType
from flyte_temporal.sdk.types import stored, transfer
from flyte_temporal.sdk.types.converter import Converter, Held, InProcess, Misfit, ValueContext
from flyte_temporal.spec.literals import FileValue, OpaqueValue
from flyte_temporal.spec.types import OpaqueType


@dataclass(frozen=True)
class OpaqueReference:
    """Stands for a pickled value wherever it is not opened; it may be given to another run as it is.

    Args:
        value: Where the bytes are, how they were written, and of which class they are.
    """

    value: OpaqueValue

    def __repr__(self) -> str:
        return f"<{self.value.codec} of {self.value.python} at {self.value.uri}>"


@dataclass(frozen=True)
class Codec:
    """How the values of one type become bytes.

    Args:
        name: Its name in the spec.
        dump: Writes a value to a stream; may raise anything.
        load: Reads it; may raise anything.
        of_python: Whether the bytes depend on the version of Python.
    """

    name: str
    dump: Callable[[Any, IO[bytes]], None]
    load: Callable[[IO[bytes]], Any]
    of_python: bool = True


def opaque_converter(
    codec: Codec, name: str, check: Callable[[Any], None], exact: Callable[[Any], bool]
) -> Converter:
    """Return the conversion of a type whose values are opaque.

    Args:
        codec: How they are written.
        name: Dotted name of the class.
        check: Raises Misfit for a value that is not of the type; also asked for what was read.
        exact: As in `Converter`.
    """

    def write(value: Any, context: ValueContext) -> Any:
        if isinstance(value, OpaqueReference):
            return value.value.model_dump(mode="json")
        check(value)
        if isinstance(context, InProcess):
            # Through bytes in a plain run too: no task can change what another one gets, and what cannot be pickled
            # is seen at once.
            buffer = io.BytesIO()
            _dumped(codec, value, buffer)
            return Held(buffer.getvalue())

        def save(path: Path) -> None:
            with path.open("wb") as file:
                _dumped(codec, value, file)

        file = stored.store(save, f"value.{codec.name}", codec.name, context)
        return _opaque_value(file, codec, type(value)).model_dump(mode="json")

    def read(value: Any, context: ValueContext) -> Any:
        if isinstance(value, Held):
            found = _loaded(codec, io.BytesIO(value.value), name)
        else:
            reference = _reference(value)
            if not context.opens_pickles:
                return OpaqueReference(reference)
            found = _opened(codec, reference, context)
        check(found)
        return found

    return Converter(OpaqueType(codec=codec.name, python=name), write, read, exact)


def _opaque_value(file: FileValue, codec: Codec, cls: type) -> OpaqueValue:
    sha256, size = file.sha256, file.size
    if sha256 is None or size is None:
        local = transfer.local_path(file.uri)
        sha256, size = transfer.digest(local) if local is not None else ("", 0)
    version = _python() if codec.of_python else ""
    return OpaqueValue(
        uri=file.uri, codec=codec.name, sha256=sha256, size=size, python=dotted(cls), python_version=version
    )


def _reference(value: Any) -> OpaqueValue:
    try:
        return OpaqueValue.model_validate(value)
    except ValueError:
        raise Misfit(f"expected the address of a pickled value, got {value!r}") from None


def _opened(codec: Codec, value: OpaqueValue, context: ValueContext) -> Any:
    if value.codec != codec.name:
        raise Misfit(f"expected a value written as {codec.name}, got one written as {value.codec}")
    if not transfer.is_stored(value.uri, context):
        raise Misfit(
            f"the pickle {value.uri!r} is not in the blob store of this execution and is not opened: a pickle runs "
            "code of whoever wrote it. Let a task return the value"
        )
    if value.python_version and value.python_version != _python():
        raise Misfit(
            f"the {value.python} was pickled by Python {value.python_version}, and this is Python {_python()}, which may "
            "not read it. Run both tasks with the same Python, or declare a type that needs no pickle"
        )
    file = FileValue(uri=value.uri, sha256=value.sha256, size=value.size)
    with stored.fetched(file, context, "pickle") as path, path.open("rb") as stream:
        return _loaded(codec, stream, value.python)


def _dumped(codec: Codec, value: Any, stream: IO[bytes]) -> None:
    try:
        codec.dump(value, stream)
    except Exception as error:  # __reduce__ of the user's may raise anything
        raise Misfit(f"this {type(value).__name__} cannot be pickled: {error}") from error


def _loaded(codec: Codec, stream: IO[bytes], name: str) -> Any:
    try:
        return codec.load(stream)
    except Exception as error:  # so may __setstate__
        raise Misfit(f"the {name} cannot be unpickled: {type(error).__name__}: {error}") from error


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def dotted(cls: Any) -> str:
    """Return the dotted name of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def refuse_pickles(name: str, kind: Literal["known", "any"]) -> None:
    """Refuse a type that travels as a pickle where the settings forbid it.

    Args:
        name: The type, for the message.
        kind: `known` if it has a transformer of its own (an estimator), `any` for the fallback.

    Raises:
        UnsupportedType: If it is forbidden.
        BadRequest: If the setting has an unknown value.
    """
    policy = pickle_policy()
    if policy == "forbid" or (policy == "known" and kind == "any"):
        raise UnsupportedType(
            f"{name} would travel as a pickle, which FLYTE_TEMPORAL_PICKLE={policy} forbids. Use one of the types in "
            "docs/types.md, or register a TypeTransformer for it."
        )
