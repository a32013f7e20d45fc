"""Nothing secret in what is written down with every attempt, and nothing of it in what is said about it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from flyte_temporal.config.settings import Settings
from flyte_temporal.errors import BadRequest, StorageError
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.storage.clouds import connection

ROOT = "s3://bucket/prefix"


@pytest.mark.parametrize(
    "given",
    [
        {"options": {"key": "hunter2"}},
        {"options": {"Secret": "hunter2"}},
        {"options": {"client_kwargs": {"aws_secret_access_key": "hunter2"}}},
        {"options": {"headers": [{"Authorization": "hunter2"}]}},
        {"options": {"token": "hunter2"}},
        {"options": {"s3_additional_kwargs": {"SSECustomerKey": "hunter2"}}},
        {"options": {"config_kwargs": {"proxies": {"http": "http://me:hunter2@proxy:3128"}}}},
        {"options": {"config_kwargs": {"proxies": {"https": "me:hunter2@proxy:3128"}}}},
        {"options": {"client_kwargs": {"endpoint_url": "https://hunter2@minio"}}},
        {"options": {"headers": {"X-Api-Key": "hunter2"}}},
        {"options": {"headers": {"Cookie": "hunter2"}}},
        {"options": {"proxies": {"http://me:hunter2@proxy": "x"}}},
        {"endpoint": "admin:hunter2@minio:9000"},
        {"options": {"token": {"private_key": "hunter2"}}},
        {"endpoint": "http://admin:hunter2@minio:9000"},
        {"root": "s3://admin:hunter2@bucket/prefix"},
    ],
)
def test_credentials_are_refused_and_not_repeated(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValidationError, match="credential") as refused:
        StorageConfig(**{"root": ROOT, **given})
    assert "hunter2" not in str(refused.value)
    for name, value in {"root": ROOT, **given}.items():
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv(f"FLYTE_TEMPORAL_STORAGE__{name.upper()}", text)
    with pytest.raises(BadRequest, match=r"FLYTE_TEMPORAL_STORAGE.*credential") as said:
        Settings.load()
    assert "hunter2" not in str(said.value)


def test_options_that_are_no_json_are_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_STORAGE__OPTIONS", '{"secret": "hunter2", ')
    with pytest.raises(BadRequest, match="settings that do not fit") as said:
        Settings.load()
    assert "hunter2" not in str(said.value)


def test_what_only_sounds_like_a_credential_is_taken() -> None:
    given: dict[str, Any] = {
        "s3_additional_kwargs": {
            "SSEKMSKeyId": "alias/data",
            "BucketKeyEnabled": True,
            "ServerSideEncryption": "aws:kms",
        },
        "config_kwargs": {
            "proxies": {"https": "http://proxy:3128"},
            "tcp_keepalive": True,
            "signature_version": "s3v4",
        },
        "client_kwargs": {"endpoint_url": "https://minio:9000/a@b", "verify": "/etc/ca.pem"},
        "headers": {"X-Team": "me@example.org"},
    }
    assert StorageConfig(root=ROOT, options=given).options == given


def test_ways_to_find_credentials_are_no_secrets() -> None:
    assert StorageConfig(root="gs://b/p", options={"token": "cloud"}).options == {"token": "cloud"}


def test_settings_reach_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "ROOT": ROOT,
        "ENDPOINT": "http://minio:9000",
        "REGION": "eu-west-1",
        "PATH_STYLE": "true",
        "OPTIONS": '{"config_kwargs": {"read_timeout": 5}, "requester_pays": true}',
    }
    for name, value in given.items():
        monkeypatch.setenv(f"FLYTE_TEMPORAL_STORAGE__{name}", value)
    config = Settings.load().storage.config()
    assert connection(config) == {
        "endpoint_url": "http://minio:9000",
        "client_kwargs": {"region_name": "eu-west-1"},
        "config_kwargs": {
            "connect_timeout": 10,
            "read_timeout": 5,
            "signature_version": "s3v4",
            "s3": {"addressing_style": "path"},
        },
        "requester_pays": True,
    }
    assert connection(config.model_copy(update={"anonymous": True}))["anon"] is True
    gcs = StorageConfig(root="gs://b/p")
    assert connection(gcs) == {"token": "google_default", "consistency": "md5"}
    assert connection(gcs.model_copy(update={"anonymous": True}))["token"] == "anon"


def test_a_whole_configuration_in_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As containers are given it."""
    config = StorageConfig(root=ROOT, endpoint="http://minio:9000", path_style=True)
    monkeypatch.setenv("FLYTE_TEMPORAL_STORAGE", config.model_dump_json())
    assert Settings.load().storage.config() == config


def test_no_credentials_for_gcs_is_said_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    pytest.importorskip("gcsfs")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(StorageError, match="gcloud auth application-default login"):
        open_store(StorageConfig(root="gs://bucket/prefix"))
