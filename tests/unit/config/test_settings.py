from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flyte_temporal.config.home import child_environment, home_directory, search_path, set_environment
from flyte_temporal.config.local import caller, local_settings
from flyte_temporal.config.settings import Settings, WorkerSettings
from flyte_temporal.errors import BadRequest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLYTE_TEMPORAL_HOME", str(tmp_path))
    return tmp_path.resolve()


def test_defaults_lie_under_the_home(home: Path) -> None:
    settings = Settings.load()
    assert settings.storage.config().root == f"file://{home}/storage"
    assert settings.metadata.url == f"sqlite:///{home}/metadata.db"
    assert settings.worker.scratch == home / "attempts"


def test_nested_variables_are_read_and_reach_the_interpreters_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_TEMPORAL__ADDRESS", "10.0.0.1:7000")
    monkeypatch.setenv("FLYTE_TEMPORAL_WORKER__HEARTBEAT_TIMEOUT_S", "1.5")
    monkeypatch.setenv("FLYTE_TEMPORAL_LIMITS__WINDOW", "50")
    monkeypatch.setenv("FLYTE_TEMPORAL_STORAGE__OPTIONS", '{"endpoint_url": "http://x"}')
    settings = Settings.load()
    assert settings.temporal.address == "10.0.0.1:7000"
    assert settings.run_limits().heartbeat_timeout_s == 1.5
    assert settings.run_limits().window == 50
    assert settings.storage.options == {"endpoint_url": "http://x"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLYTE_TEMPORAL_LIMITS__WINDOW", "5000"),
        ("FLYTE_TEMPORAL_WORKER__POOL_SIZE", "many"),
        ("FLYTE_TEMPORAL_WORKER__POOL_SISE", "2"),
    ],
)
def test_a_bad_or_misspelt_variable_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadRequest, match=name):
        Settings.load()


def test_every_setting_is_explained() -> None:
    for group in Settings.model_fields.values():
        fields = getattr(group.annotation, "model_fields", None) or {"itself": group}
        if fields == {"itself": group}:
            assert group.description
        else:
            assert all(field.description for field in fields.values())
    assert "lost worker" in (WorkerSettings.model_fields["heartbeat_timeout_s"].description or "")


def test_local_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_LOCAL__IDLE_TIMEOUT_S", "5")
    monkeypatch.setenv("FLYTE_TEMPORAL_LOCAL__DURABILITY", "full")
    settings = local_settings()
    assert (settings.idle_timeout_s, settings.durability, settings.ui_port) == (5.0, "full", 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("IDLE_TIMEOUT_S", "soon"), ("UI_PORT", "-1"), ("DURABILITY", "off"), ("START_TIMEOUT_S", "inf")],
)
def test_a_bad_local_setting_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"FLYTE_TEMPORAL_LOCAL__{name}", value)
    with pytest.raises(BadRequest, match=name):
        local_settings()


def test_caller_is_who_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_OWNER", "ada")
    monkeypatch.setenv("FLYTE_TEMPORAL_PROJECT", "engines")
    assert (caller().user, caller().project, caller().domain) == ("ada", "engines", "development")


def test_two_spellings_of_one_home_are_one(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    monkeypatch.setenv("FLYTE_TEMPORAL_HOME", str(link))
    assert home_directory() == home


def test_environment_for_children(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ABC":
        monkeypatch.setenv(name, "mine")
    monkeypatch.delenv("C")
    set_environment({"A": "forced"}, {"B": "default", "C": "default"})
    made = child_environment({"D": "added"})
    assert [made[name] for name in "ABCD"] == ["forced", "mine", "default", "added"]
    assert "D" not in child_environment({})
    assert search_path()


def test_the_light_half_imports_only_the_standard_library() -> None:
    probe = (
        "import sys; import flyte_temporal.config.home, flyte_temporal.config.local; "
        "print([m for m in ('pydantic', 'pydantic_settings') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
