"""Names: what is allowed, and what every refusal says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_temporal.errors import InvalidIdentifier
from flyte_temporal.spec import identifiers
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.entities import ContainerSpec
from flyte_temporal.spec.execution import Environment
from flyte_temporal.spec.identifiers import AttemptId, EntityId, ExecutionId
from flyte_temporal.spec.policies import Overrides, SecretRequest, TaskPolicy

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


@pytest.mark.parametrize(
    "name",
    [
        "",
        "alpine",
        "alpine:3.20",
        "ghcr.io/me/my_trainer:v1.2-rc1",
        "localhost:5000/a/b",
        "a@sha256:0123456789abcdef",
        "reg.io:443/a/b:1@sha256:0123",
        "sha256:0123456789abcdef",
        "{{.image.x.fqn}}",
        "{{ .images.default.fqn }}:{{ .images.default.version }}",
        "{{.image.x}}-gpu",
    ],
)
def test_names_of_images(name: str) -> None:
    assert identifiers.image_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "--privileged",
        "-v/:/host",
        "a b",
        " a",
        "a\n",
        "a\n--privileged",
        "docker://alpine",
        "dir:/etc",
        "a,b",
        "a:-x",
        "/a",
        "a/../b",
        "a@sha256:",
        "a=b",
        "{{.inputs.x}}",
        "-{{.image.x.fqn}}",
        "x" * 600,
    ],
)
def test_what_is_no_name_of_an_image(name: str) -> None:
    with pytest.raises(InvalidIdentifier, match="is not the name of an image"):
        identifiers.image_name(name)


@pytest.mark.parametrize("folder", ["", "/var/inputs", "/a/b.c/..d/", "/my data"])
def test_folders_in_containers(folder: str) -> None:
    assert identifiers.container_folder(folder) == folder


@pytest.mark.parametrize(
    "folder", ["out", "/", "/a/../b", "/..", "/./a", "//a", "/out,source=/root/.ssh", '/a"b', "/a\n", "/a:ro"]
)
def test_what_is_no_folder_in_a_container(folder: str) -> None:
    with pytest.raises(InvalidIdentifier, match="absolute path such as /var/outputs"):
        identifiers.container_folder(folder)


@pytest.mark.parametrize("part", ["/etc", "a/b", "..", ".", "a\0", "a\n", "a,b"])
def test_parts_of_secrets_stay_below_their_folder(part: str) -> None:
    for name in ("group", "key", "version"):
        with pytest.raises(InvalidIdentifier, match=r"no '/', and not '\.\.'"):
            SecretRequest(**{"group": "g", "key": "k", name: part})


def test_a_request_of_all_secrets_is_refused() -> None:
    with pytest.raises(InvalidIdentifier, match="neither its group nor its key"):
        SecretRequest(group="", key="", version="v1")
    assert SecretRequest(group="certs", key="ca.pem", version="v1.2").key == "ca.pem"


def test_documents_from_elsewhere_are_checked_too() -> None:
    """A specification need not come from the SDK."""
    given: list[tuple[type[Document], str]] = [
        (TaskPolicy, '{"image": "--privileged"}'),
        (Overrides, '{"image": "--privileged"}'),
        (Environment, '{"image": "--privileged"}'),
        (Environment, '{"images": {"x": "--privileged"}}'),
        (ContainerSpec, '{"image": "--privileged"}'),
        (ContainerSpec, '{"image": "a", "input_dir": "/in,source=/root"}'),
        (ContainerSpec, '{"image": "a", "output_dir": "/out,source=/root"}'),
        (TaskPolicy, '{"secrets": [{"group": "/etc", "key": "hostname"}]}'),
    ]
    for document, text in given:
        with pytest.raises(InvalidIdentifier):
            document.model_validate_json(text)
