"""Where attempts run, by project and domain."""

from __future__ import annotations

import pytest

from flyte_temporal.config.defaults import Defaults, defaults_of
from flyte_temporal.errors import BadRequest

DEFAULTS = """{
  "trainers": {"launcher": "kubernetes", "cluster": "gpu"},
  "trainers/development": {"launcher": "podman", "image": "ours:1"}
}"""


def test_the_nearest_wins() -> None:
    environ = {"FLYTE_TEMPORAL_LAUNCHER": "process", "FLYTE_TEMPORAL_DEFAULTS": DEFAULTS}
    assert defaults_of({}, "p", "d") == Defaults("pool", "", "")
    assert defaults_of(environ, "p", "d") == Defaults("process")
    assert defaults_of(environ, "trainers", "production") == Defaults("kubernetes", "", "gpu")
    assert defaults_of(environ, "trainers", "development") == Defaults("podman", "ours:1", "gpu")


@pytest.mark.parametrize("text", ["[1]", "{", '{"p": {"lanucher": "x"}}', '{"p": {"image": 1}}'])
def test_what_does_not_fit(text: str) -> None:
    with pytest.raises(BadRequest, match="FLYTE_TEMPORAL_DEFAULTS"):
        defaults_of({"FLYTE_TEMPORAL_DEFAULTS": text}, "p", "d")
