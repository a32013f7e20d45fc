"""Where attempts run, by project and domain."""

from __future__ import annotations

import pytest

from flyte_temporal.config.places import Place, place_of
from flyte_temporal.errors import BadRequest

PLACES = """{
  "trainers": {"launcher": "kubernetes", "cluster": "gpu"},
  "trainers/development": {"launcher": "podman", "image": "ours:1"}
}"""


def test_the_nearest_wins() -> None:
    environ = {"FLYTE_TEMPORAL_LAUNCHER": "process", "FLYTE_TEMPORAL_PLACES": PLACES}
    assert place_of({}, "p", "d") == Place("pool", "", "")
    assert place_of(environ, "p", "d") == Place("process")
    assert place_of(environ, "trainers", "production") == Place("kubernetes", "", "gpu")
    assert place_of(environ, "trainers", "development") == Place("podman", "ours:1", "gpu")


@pytest.mark.parametrize("text", ["[1]", "{", '{"p": {"lanucher": "x"}}', '{"p": {"image": 1}}'])
def test_what_does_not_fit(text: str) -> None:
    with pytest.raises(BadRequest, match="FLYTE_TEMPORAL_PLACES"):
        place_of({"FLYTE_TEMPORAL_PLACES": text}, "p", "d")
