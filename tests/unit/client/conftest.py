"""Fixtures of the clients' tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flyte_temporal.client import AsyncClient
from flyte_temporal.client.submitting import Workshop
from flyte_temporal.config.local import Caller, LocalSettings
from flyte_temporal.config.settings import Settings
from flyte_temporal.control.usecases import Control, Ports
from flyte_temporal.local.children import Child, Program
from flyte_temporal.local.host import Host
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.stack import Stack
from flyte_temporal.ports.clock import SystemClock
from flyte_temporal.storage.local import LocalBlobStore
from flyte_temporal.testing.catalog import MemoryCatalog
from flyte_temporal.testing.engine import FakeEngine
from flyte_temporal.testing.metadata import MemoryMetadataStore
from tests.unit.client.hosted import Setting


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def workshop(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> Workshop:
    for name in ("LAUNCHER", "IMAGE", "DEFAULTS", "STORAGE__ROOT"):
        monkeypatch.delenv(f"FLYTE_TEMPORAL_{name}", raising=False)
    return Workshop(tmp_path / "home", Caller(project="p", domain="d", user="u"), said.append)


@pytest.fixture
async def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Setting]:
    monkeypatch.setenv("FLYTE_TEMPORAL_OWNER", "ada")
    layout = Layout(tmp_path)
    layout.prepare()
    engine, store, blobs = FakeEngine(), MemoryMetadataStore(), LocalBlobStore(layout.storage)
    control = Control(Ports(engine, store, blobs, SystemClock(), MemoryCatalog()), Settings())
    stack = Stack(layout, LocalSettings())
    stack.children["worker"] = Child(Program("worker", [], {}, layout.log("worker"), tmp_path), lambda: None)
    stopped: list[bool] = []
    made = Host(control, stack, lambda: stopped.append(True))
    setting = Setting(tmp_path, engine, store, blobs, stack, made, stopped)
    await setting.reopen()
    yield setting
    await made.close()
    await control.close()


@pytest.fixture
def client(setting: Setting) -> AsyncClient:
    return AsyncClient.local(setting.home)
