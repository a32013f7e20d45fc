"""Python values known at compile time → JSON of a spec: defaults of parameters and constants in calls.

Apart from the type engine because a spec must say the same on every machine: no local paths, no uploads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NoReturn, cast
from urllib.parse import urlsplit

from pydantic import JsonValue

from flyte_temporal.errors import CompileError, FlyteTemporalError, PlatformError, TypeMismatch
from flyte_temporal.sdk.context import process_scratch
from flyte_temporal.sdk.types.converter import Compiling, InProcess
from flyte_temporal.sdk.types.engine import ValueContext, default_engine
from flyte_temporal.sdk.types.values import given_hash, literal_of
from flyte_temporal.spec.bindings import Constant
from flyte_temporal.spec.literals import Offloaded
from flyte_temporal.spec.types import (
    BlobType,
    DatasetType,
    ListType,
    LiteralType,
    MapType,
    OpaqueType,
    StructType,
    TupleType,
    UnionType,
    describe,
    plain_optional,
)


def constant(
    value: Any, python_type: Any, type_: LiteralType, context: ValueContext | None = None
) -> Constant:
    """Return a value as a constant of a binding.

    Args:
        value: The value.
        python_type: The annotation that it is written by.
        type_: The same as a type of the spec.
        context: Where files and large values go, for a dynamic task; None while a workflow is compiled.

    Raises:
        TypeMismatch: If the value is not one of the type.
        CompileError: If it is data, and there is no place to store it.
        StorageError: If it could not be stored.
    """
    if context is None:
        json = constant_json(value, python_type, type_)
        return Constant(value=json, hash=constant_hash(value, python_type))
    written = _written(value, python_type, type_, context)
    if isinstance(context, InProcess):
        # Not checked to be JSON: a value that is held in memory does not leave this process.
        return Constant.model_construct(kind="constant", value=written, stored=None)
    literal, digest = literal_of(written, context), constant_hash(value, python_type)
    if isinstance(literal, Offloaded):
        return Constant(value=None, stored=literal.model_copy(update={"hash": digest}))
    return Constant(value=written, hash=digest)


def constant_hash(value: Any, python_type: Any) -> str | None:
    """Return what stands for a value in cache keys, if its annotation has a `HashMethod`.

    Raises:
        CompileError: If the author's function failed.
    """
    if value is None:
        return None
    try:
        return given_hash(value, python_type)
    except FlyteTemporalError:
        raise
    except Exception as error:  # the author's function may raise anything
        raise CompileError(f"its HashMethod raised {type(error).__name__}: {error}") from error


def constant_json(value: Any, python_type: Any, type_: LiteralType) -> JsonValue:
    """Return a value as JSON of a declared type.

    Files and directories are allowed by remote URI only; dataframes and pickles not at all, because they would have
    to be stored somewhere before anything runs and a spec does no I/O. Let the parameter be `Optional[...] = None`
    and make the value in the task.

    Raises:
        TypeMismatch: If the value is not one of the type.
        CompileError: If it is a local file, a dataframe or a pickle.
    """
    if value is not None:
        _refuse_data(type_)
    if isinstance(type_, BlobType) and not isinstance(value, str | os.PathLike):
        _refuse(type(value).__name__)  # an array, a picture
    written = _written(value, python_type, type_, Compiling(None, process_scratch()))
    _refuse_stored(written, type_)
    return cast("JsonValue", written)


def _written(value: Any, python_type: Any, type_: LiteralType, context: ValueContext) -> Any:
    try:
        return default_engine().to_json(value, python_type, context)
    except PlatformError:
        raise
    except (FlyteTemporalError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = error.message if isinstance(error, FlyteTemporalError) else str(error)
        raise TypeMismatch(f"{reason.rstrip('.')}; give a value of type {describe(type_)}") from error


def _refuse_data(type_: LiteralType) -> None:
    if isinstance(type_, DatasetType | OpaqueType):
        _refuse(describe(type_))


def _refuse(what: str) -> NoReturn:
    raise CompileError(
        f"a {what} cannot be a constant of a workflow, since a spec holds no data. Make it in a task, or declare the "
        "parameter Optional[...] = None and load it there"
    )


def _is_remote(uri: str) -> bool:
    scheme = urlsplit(uri).scheme
    return len(scheme) > 1 and scheme != "file"


def _refuse_stored(value: Any, type_: LiteralType) -> None:
    """Refuse local files and stored data that stand inside a container."""
    if value is None:
        return
    if isinstance(type_, BlobType) and not _is_remote(value["uri"]):
        raise CompileError(
            f"{value['uri']} is a local file or directory, which other machines do not have. Give it as an input of "
            "the execution (it is uploaded then), or use a remote URI such as s3://bucket/key"
        )
    _refuse_data(type_)
    for item, inner in _parts(value, type_):
        _refuse_stored(item, inner)


def _parts(value: Any, type_: LiteralType) -> Iterable[tuple[Any, LiteralType]]:
    match type_:
        case ListType():
            return [(item, type_.element) for item in value]
        case TupleType():
            return zip(value, type_.elements, strict=True)
        case MapType():
            values = value.values() if isinstance(value, dict) else [pair[1] for pair in value]
            return [(item, type_.value) for item in values]
        case StructType():
            return [(value.get(field.name), field.type) for field in type_.fields]
        case UnionType():
            return [_variant(value, type_)]
        case _:
            return []


def _variant(value: Any, type_: UnionType) -> tuple[Any, LiteralType]:
    inner = plain_optional(type_)
    if inner is not None:
        return value, inner
    return value["value"], type_.variants[value["variant"]]
