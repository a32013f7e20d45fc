"""`SQLAlchemyTask`: a query on any database that SQLAlchemy speaks to. The library is imported when a query runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Unpack
from urllib.parse import urlsplit

from flyte_temporal.errors import FlyteNonRecoverableException
from flyte_temporal.sdk.context import current_context
from flyte_temporal.sdk.instances import InstanceOptions
from flyte_temporal.sdk.secrets import Secret
from flyte_temporal.sdk.sql import QueryFailed, SQLTask

_SECRET_WORDS = ("password", "passwd", "pwd", "token", "secret")


@dataclass(frozen=True)
class SQLAlchemyConfig:
    """Which database a `SQLAlchemyTask` asks.

    Args:
        uri: SQLAlchemy's address of the database, without a password: `postgresql+psycopg://reader@host/shop`.
        connect_args: Further arguments of the driver's `connect`.
        secret_connect_args: The same, with secrets for values: `{"password": Secret("db", "password")}`.
    """

    uri: str
    connect_args: Mapping[str, Any] = field(default_factory=dict)
    secret_connect_args: Mapping[str, Secret] = field(default_factory=dict)


class SQLAlchemyTask(SQLTask):
    """A query on a database that SQLAlchemy speaks to; see docs/sql.md.

    The secrets of its config are requested by itself.

    Args:
        name: The name by which it is registered.
        query_template: The query, with `{{.inputs.x}}` where values belong.
        task_config: Which database.
        inputs: Python type of each input.
        output_schema_type: Type of the result.
        options: See `TaskOptions`.

    Raises:
        CompileError: As `SQLTask`; or if the config is missing, or holds a password.
    """

    task_type = "sqlalchemy"

    def __init__(
        self,
        name: str,
        query_template: str,
        *,
        task_config: SQLAlchemyConfig,
        inputs: Mapping[str, Any] | None = None,
        output_schema_type: Any = None,
        **options: Unpack[InstanceOptions],
    ) -> None:
        given: Any = dict(options)
        wanted = [*getattr(task_config, "secret_connect_args", {}).values()]
        if wanted:
            given["secret_requests"] = [*(given.get("secret_requests") or ()), *wanted]
        config = {
            "uri": getattr(task_config, "uri", ""),
            "connect_args": {k: str(v) for k, v in getattr(task_config, "connect_args", {}).items()},
        }
        super().__init__(
            name, query_template, inputs=inputs, output_schema_type=output_schema_type, config=config, **given
        )
        if not config["uri"]:
            raise self.wrong(
                f'{self.made_by} needs a database. Write task_config=SQLAlchemyConfig(uri="postgresql://...").'
            )
        self.task_config = task_config
        self._refuse_passwords(task_config)

    def _refuse_passwords(self, config: SQLAlchemyConfig) -> None:
        named = [name for name in config.connect_args if any(word in name.lower() for word in _SECRET_WORDS)]
        if _has_password(config.uri) or named:
            place = f"connect_args[{named[0]!r}]" if named else "The uri"
            raise self.wrong(
                f"{place} of {self.short_name} holds a password, which would be stored with the task. Write "
                'secret_connect_args={"password": Secret("group", "key")}.'
            )

    def parameter(self, value: Any) -> Any:
        """Return an input's value; the dialect takes times, decimals and UUIDs as they are."""
        return value.value if isinstance(value, Enum) else value

    def execute(self, **inputs: Any) -> Any:
        """Run the query in one transaction and return its result; a statement without rows gives an empty one.

        Raises:
            QueryFailed: If the database refuses it.
        """
        try:
            import sqlalchemy
        except ImportError as error:
            raise FlyteNonRecoverableException(
                "SQLAlchemyTask needs the package 'sqlalchemy' where the task runs: pip install sqlalchemy"
            ) from error
        secrets = current_context().secrets
        config = self.task_config
        hidden = {
            name: secrets.get(secret.group, secret.key, secret.group_version)
            for name, secret in config.secret_connect_args.items()
        }
        query, values = self.bound(inputs, "\0{}\0".format)
        # A colon of the author's own, as in '12:30 :x', is no parameter.
        query = re.sub("\0(\\d+)\0", r":p\1", query.replace(":", r"\:"))
        engine = sqlalchemy.create_engine(
            config.uri, connect_args={**config.connect_args, **hidden}, poolclass=sqlalchemy.NullPool
        )
        try:
            with engine.begin() as connection:
                # With bindparams the dialect knows the type of each value (datetime, Decimal, UUID).
                statement = sqlalchemy.text(query).bindparams(**{f"p{i}": v for i, v in enumerate(values)})
                done = connection.execute(statement)
                if not done.returns_rows:
                    return self.result([], [])
                return self.result([tuple(row) for row in done.fetchall()], list(done.keys()))
        except sqlalchemy.exc.SQLAlchemyError as error:
            reason = getattr(error, "orig", None) or error  # without the parameters, which may be private
            raise QueryFailed(f"The query of {self.short_name} failed: {reason}.") from None
        finally:
            engine.dispose()


def _has_password(uri: str) -> bool:
    try:
        return bool(urlsplit(uri).password)
    except ValueError:
        return False
