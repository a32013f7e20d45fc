"""Where attempts run, by project and domain."""

from __future__ import annotations

import pytest

from flyte_temporal.config.defaults import Defaults, defaults_of
from flyte_temporal.errors import BadRequest

DEFAULTS = """{
  "trainers": {"launcher": "kubernetes", "cluster": "gpu"},
  "trainers/development": {"launcher": "podman", "image": "ours:1"}
}"""


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LAUNCHER", "IMAGE", "CLUSTER", "DEFAULTS"):
        monkeypatch.delenv(f"FLYTE_TEMPORAL_{name}", raising=False)


def test_the_nearest_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert defaults_of("p", "d") == Defaults("pool", "", "")
    monkeypatch.setenv("FLYTE_TEMPORAL_LAUNCHER", "process")
    monkeypatch.setenv("FLYTE_TEMPORAL_DEFAULTS", DEFAULTS)
    assert defaults_of("p", "d") == Defaults("process")
    assert defaults_of("p", "d").said_by == "FLYTE_TEMPORAL_LAUNCHER"
    assert defaults_of("trainers", "production") == Defaults("kubernetes", "", "gpu")
    assert defaults_of("trainers", "development") == Defaults("podman", "ours:1", "gpu")
    assert defaults_of("trainers", "production").said_by == "FLYTE_TEMPORAL_DEFAULTS, trainers"
    assert defaults_of("trainers", "development").said_by == "FLYTE_TEMPORAL_DEFAULTS, trainers/development"


@pytest.mark.parametrize("text", ["[1]", "{", '{"p": {"lanucher": "x"}}', '{"p": {"image": 1}}'])
def test_what_does_not_fit(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_DEFAULTS", text)
    with pytest.raises(BadRequest, match="FLYTE_TEMPORAL_DEFAULTS"):
        defaults_of("p", "d")
