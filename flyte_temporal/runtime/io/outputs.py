"""Outputs from files: what a command left below a folder, as literals of the declared types."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from flyte_temporal.runtime.io.inputs import file_name
from flyte_temporal.runtime.io.texts import OutputInvalid, parsed, plain
from flyte_temporal.sdk.types import transfer, trees
from flyte_temporal.sdk.types.converter import Misfit, ValueContext
from flyte_temporal.sdk.types.values import literal_of
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.literals import DatasetValue, LiteralValue, OpaqueValue
from flyte_temporal.spec.types import (
    STRING,
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
    describe,
    is_nullable,
    plain_optional,
)

MOST_BYTES = 64 * 1024**2
"""Largest value that is no file."""


def read_outputs(interface: Interface, folder: Path, context: ValueContext) -> dict[str, LiteralValue]:
    """Return a literal for each output; files are stored.

    Args:
        interface: What the task declares.
        folder: Where the command left a file (or folder) for each output: `name`, or `name.csv` and such.
        context: Has the store.

    Raises:
        OutputInvalid: If one is missing, or does not hold a value of its type.
        StorageError: If something could not be stored.
    """
    reader = _Reader(folder, context)
    return {v.name: literal_of(reader.output(v.name, v.type), context) for v in interface.outputs}


class _Reader:
    """Reads values; what it says of a mistake begins with the file's place."""

    def __init__(self, folder: Path, context: ValueContext) -> None:
        self._folder, self._context = folder, context

    def output(self, name: str, type_: LiteralType) -> Any:
        found = self._found(name)
        if found is None:
            if is_nullable(type_):
                return None
            listed = ", ".join(sorted(path.name for path in self._folder.iterdir())[:20]) or "nothing"
            raise OutputInvalid(
                f"The command left no file {name!r} for the output of that name in its output folder; there is {listed}."
            )
        return self.value(found, type_)

    def _found(self, name: str) -> Path | None:
        path = self._folder / name
        if path.is_symlink() or path.exists():
            self._check_inside(path)  # before anything is said of what it leads to
        if path.exists():
            return path
        others = [each for each in self._folder.glob(f"{name}.*") if each.stem == name]
        return others[0] if len(others) == 1 else None

    def value(self, path: Path, type_: LiteralType) -> Any:
        self._check_inside(path)
        match type_:
            case UnionType():
                return self._union(path, type_)
            case BlobType() | DatasetType() | OpaqueType():
                return self._stored(path, type_)
            case ListType() if path.is_dir():
                return [self.value(each, type_.element) for each in _in_order(path)]
            case TupleType() if path.is_dir():
                files = _in_order(path)
                if len(files) != len(type_.elements):
                    raise OutputInvalid(
                        f"{self._place(path)} has {len(files)} files; {describe(type_)} has {len(type_.elements)}."
                    )
                return [
                    self.value(each, element) for each, element in zip(files, type_.elements, strict=True)
                ]
            case MapType() if path.is_dir():
                pairs = [
                    [parsed(_key(each.name), type_.key, self._place(each)), self.value(each, type_.value)]
                    for each in sorted(path.iterdir())
                ]
                return dict(pairs) if type_.key == STRING else pairs
            case StructType() if path.is_dir():
                return self._fields({each.name: each for each in path.iterdir()}, type_, path)
            case ListType() | TupleType() | MapType() | StructType():
                return self.json(self._json(path), type_, self._place(path))
            case SimpleType(simple=Simple.BYTES):
                return base64.b64encode(self._bytes(path)).decode()
            case _:
                return parsed(self._text(path), type_, self._place(path))

    def json(self, value: Any, type_: LiteralType, place: str) -> Any:
        """Return JSON that the command wrote as JSON of a type; files in it are paths below the output folder."""
        match type_:
            case UnionType():
                return self._union_json(value, type_, place)
            case ListType() if isinstance(value, list):
                return [self.json(item, type_.element, f"{place}[{i}]") for i, item in enumerate(value)]
            case TupleType() if isinstance(value, list) and len(value) == len(type_.elements):
                pairs = enumerate(zip(value, type_.elements, strict=True))
                return [self.json(item, element, f"{place}[{i}]") for i, (item, element) in pairs]
            case MapType() if isinstance(value, dict):
                found = [
                    [
                        parsed(key, type_.key, f"{place}, a key,"),
                        self.json(item, type_.value, f"{place}[{key!r}]"),
                    ]
                    for key, item in value.items()
                ]
                return dict(found) if type_.key == STRING else found
            case StructType() if isinstance(value, dict):
                return self._struct_json(value, type_, place)
            case BlobType() | DatasetType() | OpaqueType() if isinstance(value, str):
                return self._stored(self._below(value, place), type_)
            case (
                ListType()
                | TupleType()
                | MapType()
                | StructType()
                | BlobType()
                | DatasetType()
                | OpaqueType()
            ):
                raise OutputInvalid(f"{place} holds {json.dumps(value)[:60]}, which is no {describe(type_)}.")
            case _:
                return plain(value, type_, place)

    def _union(self, path: Path, type_: UnionType) -> Any:
        inner = plain_optional(type_)
        if inner is not None:
            empty = not path.is_dir() and not path.stat().st_size
            return None if empty and inner != STRING else self.value(path, inner)
        for index, variant in enumerate(type_.variants):
            try:
                return {"variant": index, "value": self.value(path, variant)}
            except OutputInvalid:
                continue
        raise OutputInvalid(f"{self._place(path)} holds nothing that is {describe(type_)}.")

    def _union_json(self, value: Any, type_: UnionType, place: str) -> Any:
        inner = plain_optional(type_)
        if inner is not None:
            return None if value is None else self.json(value, inner, place)
        for index, variant in enumerate(type_.variants):
            try:
                return {"variant": index, "value": self.json(value, variant, place)}
            except OutputInvalid:
                continue
        raise OutputInvalid(f"{place} holds {json.dumps(value)[:60]}, which is not {describe(type_)}.")

    def _struct_json(self, value: Mapping[str, Any], type_: StructType, place: str) -> Any:
        types = {field.name: field.type for field in type_.fields}
        missing = [
            f.name for f in type_.fields if f.required and f.name not in value and not is_nullable(f.type)
        ]
        unknown = [name for name in value if name not in types]
        if missing:
            raise OutputInvalid(f"{place} lacks the field {missing[0]!r} of {describe(type_)}.")
        if unknown and not type_.open:
            raise OutputInvalid(f"{place} has the field {unknown[0]!r}, which {describe(type_)} has not.")
        return {
            name: self.json(item, types[name], f"{place}.{name}") if name in types else item
            for name, item in value.items()
        }

    def _fields(self, files: Mapping[str, Path], type_: StructType, path: Path) -> Any:
        missing = [
            f.name for f in type_.fields if f.required and f.name not in files and not is_nullable(f.type)
        ]
        if missing:
            raise OutputInvalid(f"{self._place(path)} lacks the field {missing[0]!r} of {describe(type_)}.")
        return {f.name: self.value(files[f.name], f.type) for f in type_.fields if f.name in files}

    def _stored(self, path: Path, type_: BlobType | DatasetType | OpaqueType) -> Any:
        context, name = self._context, path.name
        self._check_inside(path)
        try:
            if isinstance(type_, BlobType) and type_.shape == "multipart":
                if not path.is_dir():
                    raise OutputInvalid(f"{self._place(path)} is no folder; {describe(type_)} is one.")
                tree = trees.store(trees.listing(path), {}, context)
                return trees.value_of(tree, context, name, type_.format).model_dump(mode="json")
            if isinstance(type_, DatasetType) and path.is_dir():
                path = self._only(path)
                self._check_inside(path)
            if isinstance(type_, BlobType):
                return transfer.upload(path, context, type_.format, name).model_dump(mode="json")
            file = transfer.upload(path, context)
        except Misfit as error:
            raise OutputInvalid(f"{self._place(path)}: {error.message}") from error
        if isinstance(type_, OpaqueType):
            return OpaqueValue(
                uri=file.uri,
                codec=type_.codec,
                sha256=file.sha256 or "",
                size=file.size or 0,
                python=type_.python,
            ).model_dump(mode="json")
        format_ = type_.format or path.suffix.lstrip(".") or "parquet"
        return DatasetValue(uri=file.uri, format=format_, sha256=file.sha256, size=file.size).model_dump(
            mode="json"
        )

    def _only(self, path: Path) -> Path:
        files = [each for each in path.iterdir() if each.is_file() and not each.name.startswith((".", "_"))]
        if len(files) != 1:
            raise OutputInvalid(f"{self._place(path)} holds {len(files)} files; a dataset is one file.")
        return files[0]

    def _below(self, text: str, place: str) -> Path:
        path = self._folder / text
        try:
            below = path.resolve().is_relative_to(self._folder.resolve()) and path.exists()
        except (OSError, ValueError, RuntimeError):  # a zero byte, a name too long, a link to itself
            below = False
        if not below:
            raise OutputInvalid(f"{place} names {text!r}, and there is no such file below the output folder.")
        return path

    def _json(self, path: Path) -> Any:
        try:
            return json.loads(self._text(path))
        except (ValueError, RecursionError) as error:
            raise OutputInvalid(f"{self._place(path)} does not hold JSON: {error}") from error

    def _text(self, path: Path) -> str:
        try:
            return self._bytes(path).decode()
        except UnicodeDecodeError as error:
            raise OutputInvalid(f"{self._place(path)} does not hold text in UTF-8.") from error

    def _bytes(self, path: Path) -> bytes:
        self._check_inside(path)
        if not path.is_file():
            raise OutputInvalid(f"{self._place(path)} is no file of the output folder.")
        if path.stat().st_size > MOST_BYTES:
            raise OutputInvalid(
                f"{self._place(path)} has more than {MOST_BYTES:,} bytes; declare the output as a FlyteFile."
            )
        return path.read_bytes()

    def _check_inside(self, path: Path) -> None:
        """Refuse what a link anywhere on the way leads out of the folder: the command made it, and others own what is there."""
        try:
            inside = path.resolve().is_relative_to(self._folder.resolve())
        except (OSError, RuntimeError) as error:  # a link to itself
            raise OutputInvalid(f"{self._place(path)} cannot be read: {error}") from error
        if not inside:
            raise OutputInvalid(f"{self._place(path)} is a link that leads out of the output folder.")

    def _place(self, path: Path) -> str:
        return f"The output file {path.relative_to(self._folder).as_posix()}"


def _in_order(folder: Path) -> list[Path]:
    """Return the files of a list: by number where all names are numbers, else by name."""
    found = sorted(folder.iterdir())
    numbered = all(path.stem.isdecimal() for path in found)
    return sorted(found, key=lambda path: int(path.stem)) if numbered else found


def _key(name: str) -> str:
    key = unquote(name)
    return key if file_name(key) == name else "" if name == "%" else name
