"""Requests made on this machine: what is said of images that nothing would use."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from flyte_temporal import ContainerTask, ImageSpec, task, workflow
from flyte_temporal.cli.exits import ExitCode, exit_code
from flyte_temporal.client.documents import RecoverOptions, RecoverySubmission, Submission, with_options
from flyte_temporal.client.submitting import Workshop
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import BadRequest
from flyte_temporal.sdk.entities import Entity
from tests.unit.client.earlier import then


@task(container_image="ghcr.io/me/trainer:v1")
def trains() -> int:
    return 1


@task(container_image=ImageSpec(packages=["pandas"]))
def declares() -> int:
    return 1


@task
def plain() -> int:
    return 1


boxed = ContainerTask("boxed", image="alpine:3", command=["true"])


@workflow
def mixed() -> None:
    trains()
    trains()
    declares()
    plain()
    boxed()


@workflow
def overridden() -> None:
    plain().with_overrides(container_image="other:1")  # type: ignore[attr-defined]


def submission(entity: Entity) -> Submission:
    return Submission(closure=compile_entity(entity))


@pytest.mark.parametrize("launcher", ["", "pool", "process"])
def test_ignored_images_are_told_once_with_what_to_set_up(
    workshop: Workshop, said: list[str], launcher: str
) -> None:
    made = workshop.request(replace(submission(mixed), launcher=launcher))
    assert made.environment.launcher == (launcher or "pool")
    (line,) = said
    assert "\n" not in line
    module = trains.name.rpartition(".")[0]
    assert (
        f"although they declare an image: {module}.declares, {module}.trains. Give --launcher podman, docker"
        in line
    )
    assert "docs/containers.md" in line
    assert "boxed" not in line  # it fails, and says so itself


def test_images_that_nodes_are_given_are_told_too(workshop: Workshop, said: list[str]) -> None:
    workshop.request(submission(overridden))
    assert overridden.name in said[0]


def test_nothing_is_said_where_no_image_is_ignored(
    workshop: Workshop, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_IMAGE", "default:1")
    workshop.request(submission(plain))
    workshop.request(replace(submission(overridden), launcher="podman"))
    assert said == []


@pytest.mark.parametrize(("image", "images"), [("a:1", {}), ("", {"trainer": "a:1"})])
def test_an_image_for_a_run_that_uses_none_is_refused(
    workshop: Workshop, image: str, images: dict[str, str]
) -> None:
    with pytest.raises(
        BadRequest, match=r"starts no containers, so nothing would use it\. Give --launcher"
    ) as refused:
        workshop.request(replace(submission(plain), launcher="process", image=image, images=images))
    assert exit_code(refused.value) is ExitCode.BAD_REQUEST
    made = workshop.request(replace(submission(plain), launcher="docker", image=image, images=images))
    assert (made.environment.image, made.environment.images) == (image, images)


@pytest.mark.parametrize(
    ("variables", "launcher", "message"),
    [
        ({}, "podmann", "launcher: there is no launcher 'podmann'. There are: docker, "),
        ({"LAUNCHER": "podmann"}, "", "FLYTE_TEMPORAL_LAUNCHER: there is no launcher 'podmann'"),
        (
            {"DEFAULTS": '{"p": {"launcher": "pol"}}'},
            "",
            "FLYTE_TEMPORAL_DEFAULTS, p: there is no launcher 'pol'",
        ),
    ],
)
def test_a_launcher_that_does_not_exist_is_refused_by_who_names_it(
    workshop: Workshop,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    launcher: str,
    message: str,
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(f"FLYTE_TEMPORAL_{name}", text)
    with pytest.raises(BadRequest) as refused:
        workshop.request(replace(submission(plain), launcher=launcher))
    assert message in refused.value.message


def test_a_recovery_with_a_launcher_that_does_not_exist_is_refused(workshop: Workshop) -> None:
    options = RecoverOptions(launcher="podmann")
    with pytest.raises(BadRequest, match="no launcher 'podmann'"):
        workshop.recover_request(options.applied(RecoverySubmission("e")), then(workshop, plain))
    assert workshop.recover_request(RecoverySubmission("e"), then(workshop, plain)).launcher == ""


@pytest.mark.parametrize("wrong", [-5, timedelta(seconds=-1), float("inf"), float("nan")])
def test_a_deadline_that_is_no_time_is_refused(workshop: Workshop, wrong: float | timedelta) -> None:
    with pytest.raises(BadRequest, match="deadline: "):
        workshop.request(with_options(submission(plain), {"deadline": wrong}))
    assert workshop.request(with_options(submission(plain), {"deadline": 0})).deadline_s == 0


def test_what_is_said_of_the_cache_may_not_contradict_itself(workshop: Workshop) -> None:
    said = "overwrite_cache remembers what is computed, no_cache does not"
    with pytest.raises(BadRequest, match=said):
        workshop.request(with_options(submission(plain), {"overwrite_cache": True, "no_cache": True}))
    options = RecoverOptions(overwrite_cache=True, no_cache=True)
    with pytest.raises(BadRequest, match=said):
        workshop.recover_request(options.applied(RecoverySubmission("e")), then(workshop, plain))
