"""Queries by SQLAlchemy: typed parameters, a statement without rows, and a secret among the driver's arguments."""

from datetime import UTC, datetime

import pandas as pd

from flyte_temporal import Secret, SQLAlchemyConfig, SQLAlchemyTask, kwtypes, workflow

literal = SQLAlchemyTask(
    name="parity.sqlalchemy.literal",
    query_template="select {{.inputs.name}} as name, {{.inputs.n}} + 1 as n, ':x at 12:30' as text, "
    "'{{.inputs.at}}' < '2027-01-01' as early",
    inputs=kwtypes(name=str, n=int, at=datetime),
    task_config=SQLAlchemyConfig(uri="sqlite://"),
)
timed = SQLAlchemyTask(
    name="parity.sqlalchemy.timed",
    query_template="select 1 as one where {{.inputs.price}} > 1",
    inputs=kwtypes(price=float),
    task_config=SQLAlchemyConfig(
        uri="sqlite://",
        connect_args={"timeout": 3.5},
        secret_connect_args={"isolation_level": Secret(group="shop", key="level")},
    ),
)
made = SQLAlchemyTask(
    name="parity.sqlalchemy.made",
    query_template="create table t (n int)",
    task_config=SQLAlchemyConfig(uri="sqlite://"),
)


@workflow
def values(name: str, n: int) -> pd.DataFrame:
    return literal(name=name, n=n, at=datetime(2026, 5, 1, tzinfo=UTC))


@workflow
def rows(price: float) -> pd.DataFrame:
    return timed(price=price)


@workflow
def nothing() -> pd.DataFrame:
    return made()
