"""Inputs as files: one for each below a folder, and all of them together in one document."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flyte_temporal.runtime.io import messages
from flyte_temporal.sdk.types import contents, transfer
from flyte_temporal.sdk.types.converter import ValueContext
from flyte_temporal.sdk.types.values import json_of
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.commands import text_of
from flyte_temporal.spec.contents import holds_reference
from flyte_temporal.spec.literals import DatasetValue, DirectoryValue, FileValue, Inline, OpaqueValue
from flyte_temporal.spec.types import (
    BlobType,
    DatasetType,
    ListType,
    LiteralType,
    MapType,
    OpaqueType,
    Simple,
    SimpleType,
    StructType,
    TupleType,
    UnionType,
    plain_optional,
)


def write_inputs(order: AttemptOrder, folder: Path, context: ValueContext) -> None:
    """Write the inputs of an order below a folder, which exists.

    A value that is no file is a text file of its name; a list is a folder with the files `0`, `1`, …, a map one with a file
    for each key; `inputs.json` (or `.yaml`, `.pb`) has all of them.

    Args:
        order: Whose inputs.
        folder: Where.
        context: Has the store.

    Raises:
        FlyteTemporalError: If a value cannot be had.
        OSError: If it cannot be written.
    """
    container = order.task.container
    fetch = container is None or container.download != "none"
    types: dict[str, LiteralType] = {}
    found: dict[str, Any] = {}
    shown: dict[str, Any] = {}
    for variable in order.task.interface.inputs:
        literal = order.inputs.get(variable.name)
        if literal is None:
            literal = Inline(value=variable.default.value if variable.default is not None else None)
        value = json_of(literal, variable.type, context)
        types[variable.name], found[variable.name] = variable.type, value
        shown[variable.name] = _Writer(folder, context, fetch=fetch).write(
            value, variable.type, variable.name
        )
    form = container.metadata_format if container is not None else "json"
    document(folder, form, types, found, shown)


def document(
    folder: Path,
    form: str,
    types: Mapping[str, LiteralType],
    found: Mapping[str, Any],
    shown: Mapping[str, Any],
) -> None:
    """Write all inputs into one file.

    Args:
        folder: Where.
        form: `json`, `yaml` or `proto`.
        types: Their types.
        found: Their JSON by the table of `spec.literals`.
        shown: The same for people: files are paths below the folder.
    """
    match form:
        case "proto":
            (folder / "inputs.pb").write_bytes(messages.literal_map(found, types))
        case "yaml":
            # JSON in flow style is YAML; a line for each input, so that a person can read it.
            lines = [
                f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}\n"
                for name, value in shown.items()
            ]
            (folder / "inputs.yaml").write_text("".join(lines) or "{}\n", encoding="utf-8")
        case _:
            text = json.dumps(shown, ensure_ascii=False, indent=1)
            (folder / "inputs.json").write_text(f"{text}\n", encoding="utf-8")


class _Writer:
    """Writes values, each below a path, and tells how the common document shows them."""

    def __init__(self, folder: Path, context: ValueContext, *, fetch: bool) -> None:
        self._folder, self._context, self._fetch = folder, context, fetch

    def write(self, value: Any, type_: LiteralType, path: str) -> Any:
        match type_:
            case UnionType():
                return self._union(value, type_, path)
            case _ if value is None:
                self._text(path, "")
                return None
            case BlobType(shape="multipart"):
                return self._directory(DirectoryValue.model_validate(value), path)
            case BlobType():
                return self._file(FileValue.model_validate(value), path)
            case DatasetType():
                held = DatasetValue.model_validate(value)
                return self._file(FileValue(uri=held.uri, sha256=held.sha256, size=held.size), path)
            case OpaqueType():
                opaque = OpaqueValue.model_validate(value)
                return self._file(FileValue(uri=opaque.uri, sha256=opaque.sha256, size=opaque.size), path)
            case ListType():
                return self._sequence(value, [type_.element] * len(value), path)
            case TupleType():
                return self._sequence(value, list(type_.elements), path)
            case MapType():
                return self._map(value, type_, path)
            case StructType():
                return self._struct(value, type_, path)
            case SimpleType(simple=Simple.BYTES):
                target = self._folder / path
                target.write_bytes(base64.b64decode(value))
                return value
            case _:
                self._text(path, text_of(value, type_))
                return value

    def _union(self, value: Any, type_: UnionType, path: str) -> Any:
        inner = plain_optional(type_)
        if inner is not None:
            if value is None:
                return None
            return self.write(value, inner, path)
        return self.write(value["value"], type_.variants[int(value["variant"])], path)

    def _text(self, path: str, text: str) -> None:
        (self._folder / path).write_text(text, encoding="utf-8")

    def _file(self, value: FileValue, path: str) -> str:
        if not self._fetch:
            self._text(path, value.uri)
            return value.uri
        transfer.download(value, self._folder / path, self._context)
        return path

    def _directory(self, value: DirectoryValue, path: str) -> str:
        if not self._fetch:
            self._text(path, value.uri)
            return value.uri
        content = contents.content_of(value, self._context) or contents.Folder(self._context, value)
        content.fetch(self._folder / path, 0)
        return path

    def _sequence(self, values: list[Any], types: list[LiteralType], path: str) -> list[Any]:
        (self._folder / path).mkdir()
        pairs = enumerate(zip(values, types, strict=True))
        return [self.write(value, type_, f"{path}/{i}") for i, (value, type_) in pairs]

    def _map(self, value: Any, type_: MapType, path: str) -> Any:
        (self._folder / path).mkdir()
        pairs = list(value.items()) if isinstance(value, Mapping) else value
        texts = [text_of(key, type_.key) for key, _ in pairs]
        written = [
            self.write(item, type_.value, f"{path}/{file_name(text)}")
            for text, (_, item) in zip(texts, pairs, strict=True)
        ]
        return dict(zip(texts, written, strict=True))

    def _struct(self, value: Any, type_: StructType, path: str) -> Any:
        """Write a struct as JSON, and the files in it beside it."""
        shown = dict(value)
        for field in type_.fields:
            if field.name in value and holds_reference(field.type):
                beside = self._folder / f"{path}.files"
                beside.mkdir(exist_ok=True)
                shown[field.name] = self.write(value[field.name], field.type, f"{path}.files/{field.name}")
        self._text(path, json.dumps(shown, ensure_ascii=False))
        return shown


def file_name(key: str) -> str:
    """Return the name of the file for a key of a map: the key itself where that can be, else with `%2F` and such."""
    name = quote(key, safe=" !#$&'()+,;=@[]{}~^`")
    return {"": "%", ".": "%2E", "..": "%2E%2E"}.get(name, name)
