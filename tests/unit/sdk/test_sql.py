"""SQL tasks: values are bound and never a part of the query's text."""

from __future__ import annotations

import sqlite3
import sys
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from flyte_temporal import (
    Secret,
    SQLAlchemyConfig,
    SQLAlchemyTask,
    SQLite3Config,
    SQLite3Task,
    SQLTask,
    kwtypes,
)
from flyte_temporal.errors import FlyteNonRecoverableException
from flyte_temporal.sdk.gather import _task_spec
from flyte_temporal.sdk.plain import run_plain
from flyte_temporal.sdk.sql import QueryFailed, sql_value
from flyte_temporal.spec.policies import SecretRequest


class Size(Enum):
    BIG = 10


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as connection:
        connection.execute("create table sales (id integer, what text)")
        connection.executemany("insert into sales values (?, ?)", [(1, "tea"), (2, "it's"), (3, "jam")])
    connection.close()
    return file


def rows(task: SQLTask, **inputs: Any) -> list[list[Any]]:
    return run_plain(task, inputs)["results"].to_numpy().tolist()  # type: ignore[no-any-return]


def sqlite_task(shop: Path, query: str, **options: Any) -> SQLite3Task:
    return SQLite3Task("tests.query", query, task_config=SQLite3Config(str(shop)), **options)


def test_marks_stand_where_placeholders_stood() -> None:
    task = SQLTask(
        "t",
        "a={{.inputs.x}} b in ({{ .inputs.y }}) c='{{.Inputs.x}}' d in ({{inputs.z}})",
        inputs=kwtypes(x=int, y=list[int], z=list[int]),
    )
    query, values = task.bound({"x": 1, "y": [2, 3], "z": []}, lambda n: f"${n}")
    assert query == "a=$0 b in ($1, $2) c=$3 d in (NULL)"
    assert values == [1, 2, 3, 1]


def test_a_value_is_never_a_part_of_the_query(shop: Path) -> None:
    task = sqlite_task(shop, "select id from sales where what = '{{.inputs.what}}'", inputs=kwtypes(what=str))
    assert rows(task, what="it's") == [[2]]
    assert rows(task, what="x' or 'a'='a") == []


def test_a_database_is_only_read(shop: Path) -> None:
    with pytest.raises(
        QueryFailed, match=r"The query of query failed: attempt to write a readonly database\."
    ):
        rows(sqlite_task(shop, "delete from sales"))


def test_an_archive_is_unpacked(shop: Path, tmp_path: Path) -> None:
    packed = tmp_path / "shop.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(shop, "inner/shop.sqlite")
        archive.writestr("readme.txt", "hello")
    task = SQLite3Task(
        "t", "select count(*) from sales", task_config=SQLite3Config(packed.as_uri(), compressed=True)
    )
    assert rows(task) == [[3]]


def test_a_missing_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(FlyteNonRecoverableException, match="There is no database"):
        rows(sqlite_task(tmp_path / "none.db", "select 1"))


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        (None, None),
        (True, True),
        (Size.BIG, 10),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02 03:00:00+00:00"),
        (timedelta(minutes=1), 60.0),
        (Decimal("1.50"), "1.50"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_values_as_sqlite_takes_them(value: Any, bound: Any) -> None:
    assert sql_value(value) == bound


def test_a_value_without_a_form_in_sql_is_refused() -> None:
    with pytest.raises(FlyteNonRecoverableException, match="A dict cannot be a value in a query"):
        sql_value({})


def test_sqlalchemy_binds_by_type_and_leaves_colons_alone() -> None:
    task = SQLAlchemyTask(
        "t",
        "select {{.inputs.x}} as a, ':p0 12:30::int' as b, {{.inputs.at}} as c",
        inputs=kwtypes(x=str, at=datetime),
        task_config=SQLAlchemyConfig("sqlite://"),
    )
    found = rows(task, x="it's :p1", at=datetime(2026, 1, 2, tzinfo=UTC))
    assert found == [["it's :p1", ":p0 12:30::int", "2026-01-02 00:00:00.000000"]]


def test_a_failed_query_does_not_show_its_values() -> None:
    task = SQLAlchemyTask(
        "t",
        "select {{.inputs.x}} from nowhere",
        inputs=kwtypes(x=str),
        task_config=SQLAlchemyConfig("sqlite://"),
    )
    with pytest.raises(QueryFailed) as caught:
        rows(task, x="private")
    assert caught.value.message == "The query of t failed: no such table: nowhere."
    assert caught.value.__cause__ is None


queried = SQLAlchemyTask(
    "tests.queried",
    "select 1",
    task_config=SQLAlchemyConfig("sqlite://", {"timeout": 1}, {"isolation_level": Secret("db", "level")}),
    secret_requests=[Secret("other", "key")],
)


def test_secrets_of_the_config_are_requested_and_not_stored() -> None:
    spec = _task_spec(queried, "tests.queried")
    assert spec.policy.secrets == (
        SecretRequest(group="other", key="key"),
        SecretRequest(group="db", key="level"),
    )
    assert spec.config == {"uri": "sqlite://", "connect_args": {"timeout": "1"}, "query": "select 1"}
    assert spec.type == "sqlalchemy"


def test_declaring_a_query_brings_no_database_library() -> None:
    import subprocess

    code = (
        "import sys; from flyte_temporal import SQLAlchemyConfig, SQLAlchemyTask, SQLite3Config, SQLite3Task, ShellTask\n"
        "SQLAlchemyTask('t', 'select 1', task_config=SQLAlchemyConfig('sqlite://'))\n"
        "SQLite3Task('u', 'select 1', task_config=SQLite3Config('a.db')); ShellTask('v', script='true')\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'sqlalchemy', 'pandas', 'temporalio', 'alembic'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.strip() == "[]"
