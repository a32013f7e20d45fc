"""An installation is prepared, on a real Temporal server, and again."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from flyte_temporal.config.settings import MetadataSettings, Settings, StorageSettings, TemporalSettings
from flyte_temporal.spec.search import SEARCH_ATTRIBUTES
from flyte_temporal.worker.preparing import main, prepare


def settings_for(server: str, folder: Path, namespace: str, retention_days: int = 5) -> Settings:
    return Settings(
        temporal=TemporalSettings(address=server, namespace=namespace, retention_days=retention_days),
        storage=StorageSettings(root=(folder / "storage").as_uri()),
        metadata=MetadataSettings(url=f"sqlite:///{folder / 'metadata.db'}"),
    )


async def test_what_is_missing_is_made_and_what_is_there_stays(server: str, tmp_path: Path) -> None:
    await prepare(settings_for(server, tmp_path, "prepared"))
    await prepare(settings_for(server, tmp_path, "prepared", retention_days=9))

    client = await Client.connect(server, namespace="prepared")
    asked = DescribeNamespaceRequest(namespace="prepared")
    described = await client.workflow_service.describe_namespace(asked)
    assert described.config.workflow_execution_retention_ttl.ToTimedelta().days == 5
    found = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace="prepared")
    )
    assert set(SEARCH_ATTRIBUTES) <= set(found.custom_attributes)
    engine = create_engine(f"sqlite:///{tmp_path / 'metadata.db'}")
    assert "executions" in inspect(engine).get_table_names()
    engine.dispose()


def test_a_platform_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_HOME", str(tmp_path))
    monkeypatch.setenv("FLYTE_TEMPORAL_TEMPORAL__ADDRESS", "127.0.0.1:9")
    monkeypatch.setenv("FLYTE_TEMPORAL_TEMPORAL__CONNECT_TIMEOUT_S", "0.1")
    assert main() == 3
    assert "Temporal did not answer at 127.0.0.1:9" in caplog.text
