"""Files, directories and datasets as people give them: a local path, an address, or the object that a run printed."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from flyte_temporal.errors import InvalidInputs, UnsupportedSpec
from flyte_temporal.sdk.types import transfer
from flyte_temporal.sdk.types.converter import Misfit, ValueContext, misfit
from flyte_temporal.sdk.types.dataset_registry import format_of
from flyte_temporal.sdk.types.directory import FlyteDirectory
from flyte_temporal.sdk.types.frames import FORMATS
from flyte_temporal.sdk.types.trees import load
from flyte_temporal.spec import keys
from flyte_temporal.spec.literals import DatasetValue, DirectoryValue, FileValue
from flyte_temporal.spec.types import BlobType, DatasetType, describe


def read_reference(data: Any, type_: BlobType | DatasetType, context: ValueContext) -> dict[str, Any]:
    """Return the JSON of a file, directory or dataset; a local one is uploaded when the context has a blob store.

    Args:
        data: A path, an address, or an object with `uri`.
        type_: The declared type.
        context: Where to upload to.

    Raises:
        Misfit: If it does not exist, or its address is not one that we read.
        StorageError: If it could not be uploaded.
    """
    if isinstance(data, dict):
        return _from_object(data, type_, context)
    if not isinstance(data, str) or not data:
        raise misfit(f"{describe(type_)} as a path or address", data)
    if isinstance(type_, BlobType) and type_.shape == "multipart":
        return _directory(data, type_, context).model_dump(mode="json")
    local = transfer.local_path(data) if transfer.is_uri(data) else Path(data).expanduser()
    if local is None:
        transfer.check_scheme(data, context)
        file = FileValue(uri=data, name=transfer.name_of(data))
    else:
        file = transfer.upload(local, context, name=local.name)
    if isinstance(type_, BlobType):
        return file.model_copy(update={"format": type_.format}).model_dump(mode="json")
    found = format_of(data)
    if type_.format and found != type_.format and found in FORMATS.values() and PurePosixPath(data).suffix:
        raise Misfit(f"expected a dataset in the format {type_.format!r}, got {data!r}")
    dataset = DatasetValue(uri=file.uri, format=type_.format or found, sha256=file.sha256, size=file.size)
    return dataset.model_dump(mode="json")


def _from_object(
    data: dict[str, Any], type_: BlobType | DatasetType, context: ValueContext
) -> dict[str, Any]:
    model: type[FileValue | DirectoryValue | DatasetValue] = DatasetValue
    if isinstance(type_, BlobType):
        model = FileValue if type_.shape == "single" else DirectoryValue
    try:
        value = model.model_validate(data)
    except ValueError:
        raise misfit(f"{describe(type_)} as a path, an address, or an object with 'uri'", data) from None
    if not transfer.is_uri(value.uri):
        raise Misfit(f"expected an address such as s3://…, got {value.uri!r}; give a path as a plain string")
    transfer.check_scheme(value.uri, context)
    if isinstance(value, DirectoryValue) and value.sha256 is None:
        value = _printed(value.uri, context) or value
    return value.model_dump(mode="json")


def _directory(data: str, type_: BlobType, context: ValueContext) -> DirectoryValue:
    printed = _printed(data, context)
    if printed is not None:
        return printed.model_copy(update={"format": type_.format})
    local = None if transfer.is_uri(data) else Path(data).expanduser()
    try:
        return FlyteDirectory(local or data).leave(context, type_.format)
    except InvalidInputs as error:
        raise Misfit(error.message) from None


def _printed(uri: str, context: ValueContext) -> DirectoryValue | None:
    """Return the stored directory whose address a run has printed, None for other addresses."""
    key = context.blobs.key(uri) if context.blobs is not None else None
    sha256 = (key or "").rpartition("/")[2]
    if key is None or key != keys.blob(sha256):
        return None
    value = DirectoryValue(uri=uri, sha256=sha256)
    try:
        tree = load(value, context)
    except UnsupportedSpec:
        raise Misfit(f"{uri} is a file, not a directory") from None
    return value.model_copy(update={"size": tree.size, "files": len(tree.files)})
