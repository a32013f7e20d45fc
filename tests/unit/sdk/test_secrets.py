"""Secrets: where they are looked for, who may read them, and that their values stay out of everything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flyte_temporal import Secret, current_context, task
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.secrets import SecretsManager, SecretUnavailable, exported
from flyte_temporal.spec.document import canonical_bytes

DB = Secret(group="DB", key="Password")


@task(secret_requests=[DB, Secret(key="token", group_version="v1", env_var="TOKEN")])
def uses() -> str:
    return current_context().secrets.get("db", "password") + os.environ.get("TOKEN", "-")


def test_the_environment_comes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_SECRETS_DEFAULT_DIR", str(tmp_path))
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "password").write_text(" from file\n")
    manager = SecretsManager((DB.request(),))
    assert manager.get("DB", "Password") == "from file"
    assert manager.get("DB", "Password", encode_mode="rb") == b" from file\n"
    monkeypatch.setenv("_FSEC_DB_PASSWORD", "from env")
    assert manager.get("DB", "Password") == "from env"


def test_prefixes_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_SECRETS_ENV_PREFIX", "MINE_")
    monkeypatch.setenv("FLYTE_SECRETS_FILE_PREFIX", "p-")
    monkeypatch.setenv("FLYTE_SECRETS_DEFAULT_DIR", str(tmp_path))
    manager = SecretsManager()
    assert manager.get_secrets_env_var("a", "b", "v") == "MINE_A_V_B"
    assert manager.get_secrets_file("a", "b", "v") == str(tmp_path / "a" / "v" / "p-b")


def test_a_missing_secret_names_both_places() -> None:
    with pytest.raises(SecretUnavailable) as caught:
        SecretsManager((DB.request(),)).get("DB", "Password")
    assert "_FSEC_DB_PASSWORD" in caught.value.message
    assert "/etc/flyte/secrets/db/password" in caught.value.message
    assert not caught.value.retryable


def test_only_requested_secrets_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FSEC_DB_OTHER", "x")
    with pytest.raises(SecretUnavailable, match=r'Secret\(group="DB", key="Other"\)'):
        SecretsManager((DB.request(),)).get("DB", "Other")
    assert SecretsManager((Secret(group="db").request(),)).get("DB", "Other") == "x"
    assert SecretsManager().get("DB", "Other") == "x"


def test_a_variable_of_choice_is_set_while_the_task_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_FSEC_DB_PASSWORD", "pw ")
    monkeypatch.setenv("_FSEC_V1_TOKEN", "t")
    assert uses() == "pwt"
    assert "TOKEN" not in os.environ
    monkeypatch.setenv("FLYTE_SECRETS_DEFAULT_DIR", str(tmp_path))
    (tmp_path / "key").write_text("x")
    file = Secret(key="key", env_var="WHERE", mount_requirement=Secret.MountType.FILE)
    monkeypatch.setenv("WHERE", "before")
    with exported([file.request()]):
        assert os.environ["WHERE"] == str(tmp_path / "key")
    assert os.environ["WHERE"] == "before"


def test_no_value_gets_into_the_spec_or_a_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FSEC_DB_PASSWORD", "needle")
    spec = next(iter(compile_entity(uses).tasks.values()))
    assert b"needle" not in canonical_bytes(spec)
    assert spec.policy.secrets[0].mount == "any"
    assert "needle" not in repr(SecretsManager(spec.policy.secrets))
    assert "needle" not in repr(current_context())


@pytest.mark.parametrize("wrong", [{"group": ""}, {"key": "a/b"}, {"key": "a", "env_var": ""}])
def test_a_wrong_request_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(CompileError, match="write a text that is not empty"):
        Secret(**wrong)  # type: ignore[arg-type]
