"""Images of what is started, recovered and fixed: declared ones are built, and names that nobody has given are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal import ImageSpec, dynamic, task, workflow
from flyte_temporal.client.documents import RecoverOptions, RecoverySubmission, Submission
from flyte_temporal.client.submitting import Workshop
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import BadRequest
from flyte_temporal.sdk.entities import Entity
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.images import Declared
from tests.unit.client.earlier import then

PANDAS = ImageSpec(packages=["pandas"])
POLARS = ImageSpec(packages=["polars"], registry="ghcr.io/me")


@task(container_image=PANDAS)
def declares() -> int:
    return 1


@task(container_image=POLARS)
def helper() -> int:
    found: int = declares.function()
    return found


@task(container_image="{{.image.tools.fqn}}:x")
def names() -> int:
    return 1


@dynamic
def inner() -> int:
    return declares()


def chosen(wide: bool) -> Any:
    return {True: helper, False: inner}[wide]()


@dynamic
def outer(wide: bool) -> int:
    return chosen(wide)  # type: ignore[no-any-return]


@dynamic
def narrow() -> int:
    return helper()


@workflow
def wf() -> int:
    return outer(wide=True)


class Built(list[tuple[str, Path | None]]):
    """What was to be built, and the folder of the code."""

    @property
    def images(self) -> set[str]:
        return {image for image, _ in self}


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Built:
    found = Built()

    def provide(_: object, declared: Declared, root: Path | None) -> None:
        found.append((declared.image, root))

    monkeypatch.setattr("flyte_temporal.adapters.images.building.Builder.provide", provide)
    return found


def recovered(entity: Entity | None = None, **changes: Any) -> RecoverySubmission:
    closure = None if entity is None else compile_entity(entity)
    return replace(RecoverySubmission("before", closure), **changes)


# ---------------------------------------------------------------------------------------------------------------- start


def test_images_of_tasks_that_only_dynamic_tasks_call_are_built_too(workshop: Workshop, built: Built) -> None:
    workshop.request(Submission(compile_entity(wf), launcher="podman"))
    assert built.images == {PANDAS.image_name(), POLARS.image_name()}


def test_what_a_task_uses_as_a_function_needs_no_image(workshop: Workshop, built: Built) -> None:
    workshop.request(Submission(compile_entity(narrow), launcher="podman"))
    assert built.images == {POLARS.image_name()}


def test_nothing_is_built_for_processes(workshop: Workshop, built: Built) -> None:
    workshop.request(Submission(compile_entity(wf), launcher="process"))
    assert built == []


@pytest.mark.parametrize(("launcher", "times"), [("kubernetes", 1), ("podman", 0)])
def test_nodes_of_a_cluster_must_have_what_no_registry_has(
    workshop: Workshop, built: Built, said: list[str], launcher: str, times: int
) -> None:
    workshop.request(Submission(compile_entity(wf), launcher=launcher))
    lines = [line for line in said if "no registry=" in line]
    assert len(lines) == times
    assert all(PANDAS.image_name() in line and POLARS.image_name() not in line for line in lines)


# ------------------------------------------------------------------------------------------------------------- recovery


def test_images_of_recovered_code_are_built(workshop: Workshop, built: Built, tmp_path: Path) -> None:
    before = then(workshop, names, launcher="podman")
    wish = recovered(declares)
    workshop.recover_request(wish, before, build=False)
    assert built == [], "a preview builds nothing"
    workshop.recover_request(wish, before)
    assert built == [(PANDAS.image_name(), None)]


def test_images_of_then_are_built_for_another_launcher(
    workshop: Workshop, built: Built, tmp_path: Path
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "requirements.txt").write_text("rich\n")
    bundle = workshop.request(
        Submission(compile_entity(helper), source_root=tmp_path / "code")
    ).environment.bundle
    before = then(workshop, declares, launcher="pool", bundle=bundle)
    workshop.recover_request(recovered(), before)
    assert built == [], "who runs it as then needs nothing"
    workshop.recover_request(recovered(launcher="podman"), before)
    ((image, root),) = built
    assert image == PANDAS.image_name()
    assert root is not None
    assert (root / "requirements.txt").read_text() == "rich\n", "files of declarations are those of then"


def test_a_run_without_containers_can_be_recovered_with_images(workshop: Workshop) -> None:
    before = then(workshop, names, launcher="pool")
    with pytest.raises(
        BadRequest, match=r"use the image 'tools' by name, and no such image is given\. Write --image tools"
    ):
        workshop.recover_request(recovered(launcher="podman"), before)
    options = RecoverOptions(launcher="podman", image="all:1", images={"tools": "tools:1"})
    made = workshop.recover_request(options.applied(recovered()), before)
    assert (made.image, made.images) == ("all:1", {"tools": "tools:1"})


def test_images_of_then_are_known(workshop: Workshop) -> None:
    before = then(workshop, declares, launcher="podman", images={"tools": "tools:1"})
    assert workshop.recover_request(recovered(names), before).images == {}


def test_an_image_for_a_recovery_that_uses_none_is_refused(workshop: Workshop) -> None:
    before = then(workshop, names, launcher="pool")
    with pytest.raises(BadRequest, match="starts no containers"):
        workshop.recover_request(recovered(image="a:1"), before)


# ----------------------------------------------------------------------------------------------------------- fixed code

FIXED = """
from flyte_temporal import ImageSpec, dynamic, task, workflow

@task(container_image=ImageSpec(packages=["pandas"]))
def used() -> int:
    return 1

@task(container_image=ImageSpec(packages=["polars"]))
def called() -> int:
    return 2

@task(container_image=ImageSpec(packages=["unused"]))
def unused() -> int:
    return 3

@dynamic
def calls() -> int:
    return called()

@workflow
def flow() -> tuple[int, int]:
    return used(), calls()
"""


def fixed_by(workshop: Workshop, folder: Path, text: str, root: str, **environment: Any) -> Sequence[str]:
    file = folder / "code" / "mended_images.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    before = then(workshop, declares, **environment)
    before = before.model_copy(update={"root": before.root.model_copy(update={"name": root})})
    closure, _ = workshop.fix(file, before)
    assert isinstance(closure, Closure)
    return [name.rpartition(".")[2] for name in closure.tasks]


def test_images_of_fixed_code_are_built_as_a_run_of_it_would_have_them(
    workshop: Workshop, built: Built, tmp_path: Path
) -> None:
    tasks = fixed_by(workshop, tmp_path, FIXED, "before.flow", launcher="podman")
    assert {"used", "called", "unused"} <= set(tasks)
    polars = ImageSpec(packages=["polars"])
    assert set(built) == {(spec.image_name(), tmp_path / "code") for spec in (PANDAS, polars)}


def test_of_a_file_with_tasks_alone_those_of_all_are(
    workshop: Workshop, built: Built, tmp_path: Path
) -> None:
    fixed_by(workshop, tmp_path, FIXED, "before.other", launcher="podman")
    assert len(built.images) == 3


def test_without_containers_fixed_code_needs_no_image(
    workshop: Workshop, built: Built, tmp_path: Path
) -> None:
    fixed_by(workshop, tmp_path, FIXED, "before.flow", launcher="pool")
    assert built == []


def test_fixed_code_may_use_the_names_that_the_run_knows(workshop: Workshop, tmp_path: Path) -> None:
    text = FIXED.replace('ImageSpec(packages=["pandas"])', '"{{.image.tools.fqn}}:x"')
    text = text.replace('ImageSpec(packages=["polars"])', '"a:1"')
    with pytest.raises(
        BadRequest, match=r"'tools' by name, and no such image is given\. Name the image itself"
    ):
        fixed_by(workshop, tmp_path, text, "before.flow", launcher="podman")
    fixed_by(workshop, tmp_path, text, "before.flow", launcher="podman", images={"tools": "tools:1"})
