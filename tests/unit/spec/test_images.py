"""Names of images with templates."""

from __future__ import annotations

import pytest

from flyte_temporal.spec.images import filled, split, unfilled

KNOWN = {
    "default": "ghcr.io/me/all:v1",
    "trainer": "localhost:5000/trainer:1.2",
    "pinned": "ghcr.io/me/x@sha256:" + "0" * 64,
    "bare": "alpine",
}


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("{{.image.trainer.fqn}}:{{.image.trainer.version}}", "localhost:5000/trainer:1.2"),
        ("{{ .image.default.fqn }}:other", "ghcr.io/me/all:other"),
        ("{{.image.pinned.fqn}}:{{.image.pinned.version}}", KNOWN["pinned"]),
        ("{{.image.bare.fqn}}:{{.image.bare.version}}", "alpine"),
        ("{{.image.trainer}}", "localhost:5000/trainer:1.2"),
        ("alpine:3.20", "alpine:3.20"),
        ("{{.image.unknown.fqn}}:x", "{{.image.unknown.fqn}}:x"),
    ],
)
def test_filled(image: str, name: str) -> None:
    assert filled(image, KNOWN) == name


def test_parts() -> None:
    assert split("localhost:5000/a") == ("localhost:5000/a", "")
    assert unfilled("{{.image.a.fqn}}:{{.image.b.version}}") == ["a", "b"]
