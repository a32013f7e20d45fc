"""What is particular to a database file: making it, upgrading it, and what is said when it cannot be used."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from flyte_temporal.adapters.store.schema import HEAD, metadata
from flyte_temporal.adapters.store.sql import SqlMetadataStore
from flyte_temporal.adapters.store.upgrade import MIGRATIONS, migrate
from flyte_temporal.errors import BadRequest, PlatformUnavailable
from flyte_temporal.spec.identifiers import EntityId

ENTITY = EntityId(kind="task", project="p", domain="d", name="a.b", version="v1")


def _schema(file: Path) -> list[str]:
    with sqlite3.connect(file) as connection:
        found = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        ).fetchall()
    connection.close()
    return [re.sub(r"\s+", " ", sql.replace('"', "")) for (sql,) in found]


def test_a_new_file_gets_the_same_tables_as_by_all_migrations(tmp_path: Path) -> None:
    store = SqlMetadataStore(f"sqlite:///{tmp_path}/at_once.db")
    store.upgrade()
    store.close()
    engine = create_engine(f"sqlite:///{tmp_path}/in_turn.db")
    with engine.begin() as connection:
        migrate(connection)
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
    assert _schema(tmp_path / "at_once.db") == _schema(tmp_path / "in_turn.db")


def test_the_fast_path_knows_the_newest_migration() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == HEAD


def test_a_file_is_made_and_reopened_without_alembic(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from flyte_temporal.adapters.store.sql import SqlMetadataStore\n"
        f"for _ in range(2): SqlMetadataStore('sqlite:///{tmp_path}/new/folder/m.db').upgrade()\n"
        "print('alembic' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
    assert (tmp_path / "new/folder").stat().st_mode & 0o077 == 0


def test_processes_that_start_together_both_come_up(tmp_path: Path) -> None:
    script = (
        "from flyte_temporal.adapters.store.sql import SqlMetadataStore\n"
        f"SqlMetadataStore('sqlite:///{tmp_path}/m.db').upgrade()"
    )
    started = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(4)]
    assert [process.wait(60) for process in started] == [0, 0, 0, 0]


def test_an_interrupted_first_start_leaves_no_half_made_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise RuntimeError("power cut")

    store = SqlMetadataStore(f"sqlite:///{tmp_path}/m.db")
    with monkeypatch.context() as patched:
        patched.setattr("flyte_temporal.adapters.store.upgrade.insert", fail)
        with pytest.raises(RuntimeError):
            store.upgrade()
    assert _schema(tmp_path / "m.db") == []
    store.upgrade()
    assert store.closure_of(ENTITY) is None
    store.close()


def test_a_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    store = SqlMetadataStore(f"sqlite:///{tmp_path}/m.db")
    store.upgrade()
    with sqlite3.connect(tmp_path / "m.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(PlatformUnavailable, match=r"9999.*newer"):
        store.upgrade()
    store.close()


@pytest.mark.parametrize(("durability", "level"), [("normal", 1), ("full", 2)])
def test_files_are_in_wal_mode_with_the_durability_asked_for(
    tmp_path: Path, durability: str, level: int
) -> None:
    store = SqlMetadataStore(f"sqlite:///{tmp_path}/m.db", synchronous=durability)
    store.upgrade()
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    store.close()


def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "m.db"
    file.write_bytes(b"this is no database" * 1000)
    with pytest.raises(PlatformUnavailable, match=r"m\.db is damaged\. Move it away"):
        SqlMetadataStore(f"sqlite:///{file}").upgrade()


def test_a_file_damaged_in_the_middle_is_told_too(tmp_path: Path) -> None:
    store = SqlMetadataStore(f"sqlite:///{tmp_path}/m.db")
    store.upgrade()
    store.close()
    data = bytearray((tmp_path / "m.db").read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    (tmp_path / "m.db").write_bytes(data)
    with pytest.raises(PlatformUnavailable, match="is damaged"):
        store.register(ENTITY, "1" * 64, datetime.now(UTC))
    store.close()


def test_a_locked_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    store = SqlMetadataStore(f"sqlite:///{tmp_path}/m.db", busy_timeout_s=0.05)
    store.upgrade()
    other = sqlite3.connect(tmp_path / "m.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(PlatformUnavailable, match=r"locked by another process.*BUSY_TIMEOUT"):
            store.register(ENTITY, "1" * 64, datetime.now(UTC))
        assert store.closure_of(ENTITY) is None
    finally:
        other.close()
    store.register(ENTITY, "1" * 64, datetime.now(UTC))
    store.close()


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(PlatformUnavailable, match=r"file/m\.db.*FLYTE_TEMPORAL_HOME"):
        SqlMetadataStore(f"sqlite:///{tmp_path}/file/m.db").upgrade()


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    store = SqlMetadataStore(f"sqlite:///{tmp_path}/m.db")
    store.upgrade()
    with store._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        connection.commit()

    def fill() -> None:
        for i in range(10_000):
            store.register(ENTITY.model_copy(update={"version": f"v{i}"}), "1" * 64, datetime.now(UTC))

    with pytest.raises(PlatformUnavailable, match="disk is full"):
        fill()
    store.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense"])
def test_an_unusable_address_is_refused(url: str) -> None:
    with pytest.raises(BadRequest, match=r"metadata store|METADATA__URL"):
        SqlMetadataStore(url)


def test_a_postgres_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    store = SqlMetadataStore(f"postgresql://me:geheim@/db?host={tmp_path}")
    with pytest.raises(PlatformUnavailable, match="did not answer") as caught:
        store.upgrade()
    assert "geheim" not in str(caught.value)
