"""Queries on a SQLite file: values are bound, the result is a dataframe."""

import sqlite3
from datetime import date

import pandas as pd

from flyte_temporal import SQLite3Config, SQLite3Task, kwtypes, task, workflow

SHOP = "/tmp/flyte-temporal-parity-shop.db"


def _make() -> None:
    """Stand in for a database that exists: attempts import this module before they ask it."""
    with sqlite3.connect(SHOP) as connection:
        connection.execute(
            "create table if not exists sales (id integer primary key, what text, price real, day text)"
        )
        rows = [
            (1, "tea", 2.5, "2026-01-01"),
            (2, "o'clock", 9.0, "2026-02-01"),
            (3, "jam", 4.0, "2026-03-01"),
        ]
        connection.executemany("insert or ignore into sales values (?, ?, ?, ?)", rows)


_make()

named = SQLite3Task(
    name="parity.sqlite.named",
    query_template="select id, what from sales where what = '{{.inputs.what}}' or id in ({{ .inputs.ids }}) order by id",
    inputs=kwtypes(what=str, ids=list[int]),
    task_config=SQLite3Config(uri=SHOP),
)
since = SQLite3Task(
    name="parity.sqlite.since",
    query_template="select sum(price) as total from sales where day >= {{.inputs.day}} limit {{.inputs.limit}}",
    inputs=kwtypes(day=date, limit=int),
    output_schema_type=pd.DataFrame,
    task_config=SQLite3Config(uri=SHOP),
)
wrong = SQLite3Task(
    name="parity.sqlite.wrong", query_template="select id from nowhere", task_config=SQLite3Config(uri=SHOP)
)


@task
def first(frame: pd.DataFrame) -> float:
    return float(frame["total"][0])


@workflow
def bound(what: str, ids: list[int]) -> pd.DataFrame:
    return named(what=what, ids=ids)


@workflow
def total(day: date) -> float:
    return first(frame=since(day=day, limit=1))


@workflow
def fails() -> pd.DataFrame:
    return wrong()
