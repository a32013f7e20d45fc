"""Declared images: a tag that says what is in them, wherever it is computed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal import ImageSpec, task
from flyte_temporal.errors import CompileError, CredentialStored
from flyte_temporal.sdk.images import tag_of
from flyte_temporal.spec.policies import TaskPolicy

FULL: dict[str, Any] = {
    "python_version": "3.12",
    "packages": ["b==1", "a"],
    "apt_packages": ["git", "curl"],
    "env": {"B": "2", "A": "1"},
    "commands": ["one", "two"],
}


def test_order_counts_only_where_it_means_something() -> None:
    spec = ImageSpec(**FULL)
    same = {**FULL, "packages": ["a", "b==1"], "apt_packages": ["curl", "git"], "env": {"A": "1", "B": "2"}}
    assert ImageSpec(**same).tag == spec.tag
    assert ImageSpec(**{**FULL, "commands": ["two", "one"]}).tag != spec.tag
    channels = [["x", "y"], ["y", "x"]]
    assert len({ImageSpec(conda_channels=c).tag for c in channels}) == 2


@pytest.mark.parametrize("name", sorted(FULL))
def test_each_field_counts(name: str) -> None:
    assert ImageSpec(**{k: v for k, v in FULL.items() if k != name}).tag != ImageSpec(**FULL).tag


def test_another_process_computes_the_same() -> None:
    code = f"from flyte_temporal import ImageSpec; print(ImageSpec(**{FULL!r}).tag)"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert done.stdout.strip() == ImageSpec(**FULL).tag


def test_where_it_is_kept_is_no_part_of_the_tag() -> None:
    spec = ImageSpec(name="mine", registry="ghcr.io/me/", tag_format="v1-{spec_hash}", packages=["a"])
    assert spec.image_name() == f"ghcr.io/me/mine:v1-{ImageSpec(packages=['a']).tag}"


def test_the_content_of_files_counts_and_not_their_place(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("r1.txt", "a/r2.txt"):
        (tmp_path / name).write_text("pandas\n")
    one, two = (ImageSpec(requirements=str(tmp_path / n)).tag for n in ("r1.txt", "a/r2.txt"))
    assert one == two
    (tmp_path / "a/r2.txt").write_text("numpy\n")
    assert ImageSpec(requirements=str(tmp_path / "a/r2.txt")).tag != one
    folder = ImageSpec(copy=[str(tmp_path / "a")]).tag
    (tmp_path / "a/more").write_text("")
    assert ImageSpec(copy=[str(tmp_path / "a")]).tag != folder


def test_the_content_of_the_source_root_counts(tmp_path: Path) -> None:
    source = tmp_path / "src"
    (source / ".venv").mkdir(parents=True)
    (source / "a.py").write_text("A = 1\n")
    before = ImageSpec(source_root=str(source)).tag
    (source / ".venv" / "b.py").write_text("")
    assert ImageSpec(source_root=str(source)).tag == before
    (source / "a.py").write_text("A = 2\n")
    assert ImageSpec(source_root=str(source)).tag != before


def test_a_source_root_that_an_older_release_has_stored_has_a_tag() -> None:
    assert tag_of({"name": "a", "source_root": "src"}) != tag_of({"name": "a"})


def test_a_folder_that_is_not_there_is_refused() -> None:
    with pytest.raises(CompileError, match="'nowhere' cannot be read"):
        assert ImageSpec(source_root="nowhere").tag


def test_where_a_file_is_copied_to_counts(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("same\n")
    assert len({ImageSpec(copy=[str(tmp_path / n)]).tag for n in ("a.txt", "b.txt")}) == 2


def test_extensions_make_new_declarations() -> None:
    base = ImageSpec(packages=["a"])
    more = base.with_packages(["b"]).with_apt_packages("git").with_commands("c").with_runtime_packages(["r"])
    assert (base.packages, more.packages) == (["a"], ["a", "b"])
    assert (
        more.tag
        == ImageSpec(packages=["b", "a"], apt_packages=["git"], commands=["c"], runtime_packages=["r"]).tag
    )
    assert ImageSpec(base_image=base).tag != ImageSpec(base_image=more).tag


def test_a_task_keeps_name_and_declaration() -> None:
    @task(container_image=ImageSpec(packages=["b", "a"]))
    def declared() -> None: ...

    @task(container_image="{{.image.trainer.fqn}}:{{.image.trainer.version}}")
    def named() -> None: ...

    assert declared.policy.image == ImageSpec(packages=["a", "b"]).image_name()
    assert declared.policy.image_spec == {
        "name": "flyte-temporal",
        "packages": ["a", "b"],
        "platform": "linux/amd64",
    }
    assert named.policy.image == "{{.image.trainer.fqn}}:{{.image.trainer.version}}"
    assert named.policy.image_spec == {}


def test_a_tag_format_must_tell_images_apart() -> None:
    with pytest.raises(CompileError, match=r"must have \{spec_hash\} in it"):
        ImageSpec(tag_format="latest")


@pytest.mark.parametrize(
    "given",
    [
        {"pip_index": "https://me:hunter2@pypi.corp/simple"},
        {"pip_extra_index_url": ["https://a/simple", "https://hunter2@pypi.corp/simple"]},
        {"pip_extra_args": "--no-deps --extra-index-url=https://me:hunter2@pypi.corp/simple"},
        {"packages": ["pkg @ git+https://hunter2@github.com/me/pkg"]},
        {"env": {"PIP_INDEX_URL": "https://me:hunter2@pypi.corp/simple"}},
        {"commands": ["pip install -i 'https://me:hunter2@pypi.corp/simple' pkg"]},
    ],
)
def test_credentials_in_addresses_are_refused(given: dict[str, Any]) -> None:
    """A declaration is stored with every version, and what it says is in the image's layers."""
    with pytest.raises(CompileError, match=r"has credentials in an address.*pip_secret_mounts") as refused:
        ImageSpec(**given)
    assert "hunter2" not in refused.value.message
    assert f"ImageSpec({next(iter(given))}" in refused.value.message
    with pytest.raises(CredentialStored) as said:
        TaskPolicy.model_validate_json(json.dumps({"image": "a", "image_spec": given}))
    assert "hunter2" not in said.value.message


def test_addresses_without_credentials_are_taken() -> None:
    spec = ImageSpec(
        pip_index="https://pypi.corp/simple",
        packages=["a @ git+ssh://git@github.com/me/a", "b==1"],
        commands=[
            "pip install https://__token__:${TOKEN}@pypi.corp/b.whl",
            "git clone https://$TOKEN@host/x",
        ],
        base_image="python:3.11@sha256:0123456789",
        env={"MAIL": "me@example.org"},
    )
    assert TaskPolicy(image="a", image_spec=spec.declaration).image_spec == spec.declaration
