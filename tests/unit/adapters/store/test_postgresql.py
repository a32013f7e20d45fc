"""How PostgreSQL is connected to; nothing of it needs a server."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from flyte_temporal.adapters.store.connection import open_engine


class Asked(Exception):
    """What a connection is asked for by."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters


def parameters(query: str = "") -> dict[str, Any]:
    engine = open_engine(f"postgresql://ft@db.example/ft{query}", synchronous="normal", busy_timeout_s=1)

    def asked(_dialect: object, _record: object, _arguments: object, given: dict[str, Any]) -> None:
        raise Asked(given)

    event.listen(engine, "do_connect", asked)
    with pytest.raises(Asked) as found:
        engine.connect()
    return found.value.parameters


def test_a_server_that_is_gone_without_a_word_is_noticed() -> None:
    asked = parameters()
    assert asked["connect_timeout"] <= 10
    assert asked["tcp_user_timeout"] <= 20_000
    assert asked["keepalives_idle"] + asked["keepalives_interval"] * asked["keepalives_count"] <= 30


def test_what_the_address_says_wins() -> None:
    asked = parameters("?keepalives_idle=99&connect_timeout=3")
    assert (asked["keepalives_idle"], asked["connect_timeout"]) == ("99", "3")
    assert asked["tcp_user_timeout"] == parameters()["tcp_user_timeout"]
