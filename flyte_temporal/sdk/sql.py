"""`SQLTask`, the base of tasks that are a query, and `SQLite3Task`.

Values of inputs are bound parameters of the query, never a part of its text. Apart from `instances` because of the
template; tasks for other databases subclass `SQLTask`: see docs/sql.md, and `adapters.databases` for SQLAlchemy.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack
from uuid import UUID

from flyte_temporal.errors import FlyteNonRecoverableException, UserCodeError
from flyte_temporal.sdk.instances import InstanceOptions, PythonInstanceTask
from flyte_temporal.sdk.signature import Signature
from flyte_temporal.sdk.types.file import FlyteFile

_PLACEHOLDER = re.compile(r"\{\{\s*\.?\s*([A-Za-z_]\w*)((?:\.\w+)*)\s*\}\}")
_QUOTED = re.compile(r"'(?:[^']|'')*'")


class QueryFailed(UserCodeError):
    """The database refused the query."""

    code = "QueryFailed"


class SQLTask(PythonInstanceTask):
    """A task that is a query with one result, a dataframe named `results`.

    Subclasses override `execute` and build their query by `bound`.

    Args:
        name: The name by which it is registered.
        query_template: The query, with `{{.inputs.x}}` where values belong. A list becomes several values: `IN ({{…}})`.
        inputs: Python type of each input.
        output_schema_type: Type of the result: `pandas.DataFrame` (if it is not said), or a type that is made from one.
        config: What else the query depends on, as JSON; no secrets.
        options: See `TaskOptions`.

    Raises:
        CompileError: If the template uses what is no input, or a placeholder in a quoted text.
    """

    task_type = "sql"

    def __init__(
        self,
        name: str,
        query_template: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        output_schema_type: Any = None,
        config: Mapping[str, Any] | None = None,
        **options: Unpack[InstanceOptions],
    ) -> None:
        super().__init__(name, inputs=inputs, config={**(config or {}), "query": query_template}, **options)
        self._result = output_schema_type
        self.query_template = re.sub(r"'(\{\{[^{}']*\}\})'", r"\1", query_template)
        self._check()

    @cached_property
    def signature(self) -> Signature:
        """Return the Python side; the type of the result brings its library, so it is looked up late."""
        type_ = self._result if self._result is not None else _pandas().DataFrame
        return Signature(super().signature.parameters, {"results": type_}, "single")

    def _check(self) -> None:
        for found in _PLACEHOLDER.finditer(self.query_template):
            scope, name = found[1].lower(), found[2].lstrip(".")
            if scope != "inputs" or name not in self._inputs:
                raise self.wrong(
                    f"The query uses {found[0]}, but {self.short_name} has no such input; it has: "
                    f"{', '.join(self._inputs) or 'none'}. Declare it in inputs=kwtypes(...)."
                )
        for text in _QUOTED.finditer(self.query_template):
            if found_in := _PLACEHOLDER.search(text[0]):
                raise self.wrong(
                    f"{found_in[0]} stands inside of the quoted text {text[0]}. Values are bound, not pasted: put the "
                    "text together in SQL, for example '%' || " + found_in[0] + " || '%'."
                )

    def bound(self, inputs: Mapping[str, Any], mark: Callable[[int], str]) -> tuple[str, list[Any]]:
        """Return the query for the database driver, and the values of its parameters in order.

        Args:
            inputs: A value for each input.
            mark: How the driver writes its nth parameter, counted from 0: `?`, `:p0`, `%s`.
        """
        values: list[Any] = []

        def put(found: re.Match[str]) -> str:
            value = inputs[found[2].lstrip(".")]
            several = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
            first = len(values)
            values.extend(self.parameter(each) for each in several)
            return ", ".join(mark(i) for i in range(first, len(values))) or "NULL"

        return _PLACEHOLDER.sub(put, self.query_template), values

    def parameter(self, value: Any) -> Any:
        """Return an input's value as the driver takes it; override it for drivers that take more types."""
        return sql_value(value)

    def result(self, rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> Any:
        """Return rows as the declared type of the result."""
        pandas = _pandas()
        frame = pandas.DataFrame.from_records(rows, columns=list(columns), coerce_float=True)
        annotation = self.signature.outputs["results"]
        type_ = getattr(annotation, "__origin__", annotation)
        return frame if isinstance(frame, type_) else type_(dataframe=frame)


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise FlyteNonRecoverableException(
            "The result of a SQL task is a dataframe, for which the package 'pandas' is needed: pip install pandas pyarrow"
        ) from error


def sql_value(value: Any) -> Any:
    """Return a value as database drivers take it: numbers, texts, bytes and None as they are, others as text."""
    match value:
        case Enum():
            return sql_value(value.value)
        case bool() | int() | float() | str() | bytes() | None:
            return value
        case datetime():
            return value.isoformat(sep=" ")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal() | UUID():
            return str(value)
        case _:
            raise FlyteNonRecoverableException(
                f"A {type(value).__name__} cannot be a value in a query. Give its parts as inputs of their own."
            )


@dataclass(frozen=True)
class SQLite3Config:
    """Which database a `SQLite3Task` reads.

    Args:
        uri: Path or address (`https://`, `s3://`) of the database file; a relative path starts at the module's folder.
        compressed: Whether it is an archive (zip, tar) with the database in it.
    """

    uri: str
    compressed: bool = False


class SQLite3Task(SQLTask):
    """A query on a SQLite file, which is only read. See docs/sql.md.

    Args:
        name: The name by which it is registered.
        query_template: The query, with `{{.inputs.x}}` where values belong.
        task_config: Which database.
        inputs: Python type of each input.
        output_schema_type: Type of the result.
        options: See `TaskOptions`.

    Raises:
        CompileError: As `SQLTask`; or if there is no config.
    """

    task_type = "sqlite3"

    def __init__(
        self,
        name: str,
        query_template: str,
        *,
        task_config: SQLite3Config,
        inputs: Mapping[str, Any] | None = None,
        output_schema_type: Any = None,
        **options: Unpack[InstanceOptions],
    ) -> None:
        config = {
            "uri": getattr(task_config, "uri", ""),
            "compressed": getattr(task_config, "compressed", False),
        }
        super().__init__(
            name,
            query_template,
            inputs=inputs,
            output_schema_type=output_schema_type,
            config=config,
            **options,
        )
        if not config["uri"]:
            raise self.wrong(
                f'{self.made_by} needs a database. Write task_config=SQLite3Config(uri="data.db").'
            )
        self.task_config = task_config

    def execute(self, **inputs: Any) -> Any:
        """Run the query and return its result.

        Raises:
            QueryFailed: If SQLite refuses it.
        """
        query, values = self.bound(inputs, lambda _: "?")
        with tempfile.TemporaryDirectory(prefix="sqlite-") as folder:
            file = self._database(Path(folder))
            try:
                with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
                    cursor = connection.execute(query, values)
                    columns = [column[0] for column in cursor.description or ()]
                    return self.result(cursor.fetchall(), columns)
            except sqlite3.Error as error:
                raise QueryFailed(f"The query of {self.short_name} failed: {error}.") from error

    def _database(self, folder: Path) -> Path:
        uri = self.task_config.uri
        file = self.folder() / uri if "://" not in uri else Path(FlyteFile(uri).download())
        if not file.is_file():
            raise FlyteNonRecoverableException(f"There is no database {uri!r} (looked at {file}).")
        if not self.task_config.compressed:
            return file
        try:
            # The filter is for tar alone; zip never leaves its folder.
            options: dict[str, Any] = {} if file.suffix == ".zip" else {"filter": "data"}
            shutil.unpack_archive(str(file), str(folder), **options)
        except (shutil.ReadError, ValueError) as error:
            raise FlyteNonRecoverableException(f"{uri!r} cannot be unpacked: {error}.") from error
        inside = sorted(_databases(folder))
        if len(inside) != 1:
            raise FlyteNonRecoverableException(f"{uri!r} must hold one database, and holds {len(inside)}.")
        return inside[0]


def _databases(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                if stream.read(16) == b"SQLite format 3\0":
                    yield file
