"""Names: what is allowed, and what every refusal says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_temporal.errors import InvalidIdentifier
from flyte_temporal.spec import identifiers
from flyte_temporal.spec.identifiers import AttemptId, EntityId, ExecutionId

CHECKS: list[Callable[[str], str]] = [
    identifiers.project_name,
    identifiers.entity_name,
    identifiers.version_name,
    identifiers.execution_id,
    identifiers.node_id,
    identifiers.node_path,
]


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (identifiers.project_name, "my-project_2"),
        (identifiers.entity_name, "pkg.module.my_task"),
        (identifiers.version_name, "1.0.0+build-7"),
        (identifiers.execution_id, "Nightly.2026-01-01_x"),
        (identifiers.node_id, "n0"),
        (identifiers.node_path, "n0.inner[12].n3"),
    ],
)
def test_good_names_pass_unchanged(check: Callable[[str], str], value: str) -> None:
    assert check(value) == value


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "value",
    [
        "",
        "..",
        "a/b",
        "a\\b",
        "a\x00b",
        "a\nb",
        "a b",
        "%2e%2e",
        "é",
        "\u0430dmin",
        "a..b",
        ".a",
        "a" * 300,
        "\ud800",
    ],
)
def test_bad_names_are_refused_everywhere(check: Callable[[str], str], value: str) -> None:
    with pytest.raises(InvalidIdentifier):
        check(value)


@given(st.text(max_size=40))
def test_whatever_passes_is_safe_as_a_path(value: str) -> None:
    for check in CHECKS:
        try:
            checked = check(value)
        except InvalidIdentifier:
            continue
        assert checked.isascii()
        assert not {"/", "\\", "\0", "%"} & set(checked)
        assert ".." not in checked


def test_the_composed_entity_is_limited_and_says_its_size() -> None:
    name = "a" * 120
    version = "1" * 120
    with pytest.raises(InvalidIdentifier, match="at most 255 are allowed"):
        EntityId(kind="task", project="p" * 20, domain="d", name=name, version=version)


def test_an_attempt_has_a_folder_of_its_own() -> None:
    execution = ExecutionId(project="p", domain="d", name="e")
    first = AttemptId(execution=execution, node="n0.n1", number=1, token="aa")
    assert first.key == "attempts/p/d/e/n0.n1/1-aa"
    assert first.label == "e/n0.n1#1"
    assert first.model_copy(update={"token": "bb"}).key != first.key
