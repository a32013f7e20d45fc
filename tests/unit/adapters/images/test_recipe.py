"""Containerfiles of declared images, and builders that cannot build them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic import JsonValue

from flyte_temporal import ImageSpec
from flyte_temporal._version import __version__
from flyte_temporal.adapters.images.building import Builder, ImageNotBuilt
from flyte_temporal.adapters.images.recipe import recipe
from flyte_temporal.config.defaults import BuilderSettings
from flyte_temporal.errors import BadRequest
from flyte_temporal.sdk.image_files import content_digest
from flyte_temporal.sdk.images import RECIPE
from flyte_temporal.spec.document import canonical_json, sha256_hex
from flyte_temporal.spec.images import Declared
from tools.task_image import STORES, requirements

GOLDEN = """\
FROM docker.io/library/python:3.12-slim
USER root
RUN apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*
ENV A="1 \\"x\\""
RUN test -x /opt/task/venv/bin/python || python3 -m venv --system-site-packages /opt/task/venv
COPY requirements.txt /opt/task/requirements.txt
RUN --mount=type=secret,id=pip0,target=/etc/pip.conf /opt/task/venv/bin/pip install --no-cache-dir \
--disable-pip-version-check --index-url https://packages.example/simple -r /opt/task/requirements.txt
RUN --mount=type=secret,id=pip0,target=/etc/pip.conf /opt/task/venv/bin/pip install --no-cache-dir \
--disable-pip-version-check --index-url https://packages.example/simple 'numpy>=2' pandas
RUN --mount=type=secret,id=pip0,target=/etc/pip.conf /opt/task/venv/bin/python -c 'import flyte_temporal' 2>/dev/null || \
/opt/task/venv/bin/pip install --no-cache-dir \
--disable-pip-version-check --index-url https://packages.example/simple flyte-temporal==9
COPY copy/0 /root/data
RUN echo one && echo two
ENV PATH=/opt/task/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONPATH=/root
WORKDIR /tmp
USER 10001:10001
"""


def test_all_that_can_be_declared(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "r.txt").write_text("rich\n")
    spec = ImageSpec(
        python_version="3.12",
        packages=["pandas", "numpy>=2"],
        requirements=str(tmp_path / "r.txt"),
        apt_packages=["git"],
        env={"A": '1 "x"'},
        commands=["echo one && echo two"],
        copy=[str(tmp_path / "data")],
        pip_index="https://packages.example/simple",
        pip_secret_mounts=[("/home/me/pip.conf", "/etc/pip.conf")],
    )
    made = recipe(spec.declaration, "flyte-temporal==9")
    assert made.text.replace(f"/root/{tmp_path}/data", "/root/data") == GOLDEN
    assert made.secrets == {"pip0": "/home/me/pip.conf"}
    assert set(made.files) == {"requirements.txt", "copy/0"}


RECIPES = {2: "5622c42619875e6ee45dc8d064a034084d4154e4df54a3ea178987587d9ff039"}
"""By the number of the recipe: the digest of what it writes. Only added to: of each number there are images somewhere."""


def test_a_change_of_the_recipe_has_a_number() -> None:
    """Else whoever has images that were built in the old way keeps them for ever: their tag would not tell."""
    file = {"file": "f", "sha256": "0"}
    everything = {
        "python_version": "3.12",
        "packages": ["a", "b"],
        "runtime_packages": ["c"],
        "requirements": file,
        "apt_packages": ["git"],
        "env": {"A": "1"},
        "commands": ["echo"],
        "copy": [file],
        "source_root": "src",
        "pip_index": "https://packages.example/simple",
        "pip_extra_index_url": ["https://more.example/simple"],
        "pip_extra_args": "--pre",
        "pip_secret_mounts": [["pip.conf", "/etc/pip.conf"]],
        "python_exec": "python3.12",
        "entrypoint": ["run"],
        "platform": "linux/amd64",
    }
    made = [recipe(each) for each in ({}, {"base_image": "debian:12"}, everything)]
    written = [[m.text.replace(__version__, "VERSION"), m.files, m.secrets, m.platform] for m in made]
    found = sha256_hex(canonical_json(written))
    assert max(RECIPES) == RECIPE
    assert RECIPES[RECIPE] == found, (
        "The recipe of declared images has changed: raise RECIPE in flyte_temporal/sdk/images.py, and add the new digest "
        f"to RECIPES here: {found}"
    )


def test_the_number_of_the_recipe_is_in_the_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ImageSpec(packages=["pandas"])
    before = spec.image_name()
    monkeypatch.setattr("flyte_temporal.sdk.images.RECIPE", RECIPE + 1)
    assert ImageSpec(packages=["pandas"]).image_name() != before


def test_tasks_of_a_declared_image_reach_each_blob_store() -> None:
    assert (
        "pip install --no-cache-dir --disable-pip-version-check 'flyte-temporal[s3,gcs]=="
        in recipe(ImageSpec().declaration).text
    )


def test_so_do_those_of_the_image_of_tasks() -> None:
    needed = requirements(["pandas"], STORES)
    assert {"s3fs", "gcsfs", "pandas", "pydantic"} <= {re.split(r"[^\w-]", each)[0] for each in needed}
    assert not any(each.startswith(("temporalio", "kubernetes", "sqlalchemy")) for each in needed)
    assert not any(each.startswith(("s3fs", "gcsfs")) for each in requirements([], []))


@pytest.mark.parametrize("fields", [{"conda_packages": ["x"]}, {"cuda": "12"}])
def test_what_the_builder_cannot_do(fields: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match='builder="noop"'):
        recipe(ImageSpec(**fields).declaration)  # type: ignore[arg-type]


def declared(spec: ImageSpec) -> Declared:
    return Declared(spec.image_name(), spec.declaration, "jobs.train")


def test_noop_builds_nothing() -> None:
    Builder(BuilderSettings("/nowhere/podman")).provide(declared(ImageSpec(builder="noop")), None)


def test_without_a_builder_it_says_what_to_do() -> None:
    with pytest.raises(
        ImageNotBuilt, match=r"of jobs\.train has to be built, and /nowhere/podman is not installed"
    ):
        Builder(BuilderSettings("/nowhere/podman")).provide(declared(ImageSpec()), None)
    with pytest.raises(BadRequest, match="there is no such builder"):
        Builder().provide(declared(ImageSpec(builder="envd")), None)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A builder that notes its calls; it has what it has built and pushed, and no push succeeds while it is told so."""
    path = tmp_path / "podman"
    path.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n'
        f'test -z "$REGISTRY_AUTH_FILE" || {{ cmp -s "$REGISTRY_AUTH_FILE" "$DOCKER_CONFIG/config.json" && '
        f'cat "$REGISTRY_AUTH_FILE" >> {tmp_path}/logins; }}\n'
        f'case "$1" in image) test -e {tmp_path}/built;; build) touch {tmp_path}/built; '
        f'for context; do :; done; cp -R "$context" {tmp_path}/context;; '
        f"manifest) test -e {tmp_path}/pushed;; push) test ! -e {tmp_path}/full || "
        f'{{ echo "no space left" >&2; exit 125; }}; touch {tmp_path}/pushed;; esac\n'
    )
    path.chmod(0o755)
    return path


def called(tmp_path: Path) -> list[str]:
    """Return what the builder was asked for since the last look, without what it was asked it for."""
    calls = tmp_path / "calls"
    found = [line.split()[0] for line in calls.read_text().splitlines()]
    calls.unlink()
    return found


def test_built_once_pushed_where_there_is_a_registry(program: Path, tmp_path: Path) -> None:
    spec, said = ImageSpec(registry="ghcr.io/me", packages=["rich"]), list[str]()
    builder = Builder(BuilderSettings(str(program)), said.append)
    builder.provide(declared(spec), None)
    builder.provide(declared(spec), None)
    assert called(tmp_path) == ["manifest", "image", "build", "push"]
    assert said[0].startswith(f"Building the image {spec.image_name()}")
    (tmp_path / "built").unlink()
    Builder(BuilderSettings(str(program))).provide(declared(spec), None)
    assert (tmp_path / "calls").read_text().splitlines() == [f"manifest inspect {spec.image_name()}"]


def test_without_a_registry_the_machine_alone_is_asked(program: Path, tmp_path: Path) -> None:
    for _ in range(2):
        Builder(BuilderSettings(str(program))).provide(declared(ImageSpec(packages=["rich"])), None)
    assert called(tmp_path) == ["image", "build", "image"]


def test_a_base_that_is_declared_is_built_first(program: Path, tmp_path: Path) -> None:
    base = ImageSpec(name="base", packages=["rich"])
    top = ImageSpec(name="top", base_image=base)
    Builder(BuilderSettings(str(program))).provide(declared(top), None)
    tags = [
        line.split("--tag ")[1].split()[0]
        for line in (tmp_path / "calls").read_text().splitlines()
        if "--tag" in line
    ]
    assert tags == [base.image_name(), top.image_name()]


def test_a_failed_push_says_so(program: Path, tmp_path: Path) -> None:
    (tmp_path / "full").touch()
    with pytest.raises(ImageNotBuilt, match=r"could not be pushed: .* ended with 125\.\nno space left"):
        Builder(BuilderSettings(str(program))).provide(declared(ImageSpec(registry="ghcr.io/me")), None)


def test_what_was_built_and_could_not_be_pushed_is_pushed_by_the_next_run(
    program: Path, tmp_path: Path
) -> None:
    spec = declared(ImageSpec(registry="ghcr.io/me"))
    (tmp_path / "full").touch()
    with pytest.raises(ImageNotBuilt):
        Builder(BuilderSettings(str(program))).provide(spec, None)
    (tmp_path / "full").unlink()
    called(tmp_path)
    Builder(BuilderSettings(str(program))).provide(spec, None)
    assert called(tmp_path) == ["manifest", "image", "push"]


def test_files_are_found_by_their_digest(program: Path, tmp_path: Path) -> None:
    spec = ImageSpec(requirements=str(tmp_path / "r.txt"))
    (tmp_path / "r.txt").write_text("rich\n")
    made = declared(spec)
    (tmp_path / "r.txt").write_text("changed\n")
    with pytest.raises(BadRequest, match="has changed since the image was declared"):
        Builder(BuilderSettings(str(program))).provide(made, tmp_path)


def test_the_source_root_beside_the_module_is_copied_and_no_other_of_its_name(
    program: Path, tmp_path: Path
) -> None:
    """The first folder of the name below the code's root was taken, whatever was in it."""
    code = tmp_path / "code"
    for folder, text in (("src", "wrong\n"), ("jobs/src", "right\n")):
        (code / folder).mkdir(parents=True)
        (code / folder / "a.py").write_text(text)
    digest = content_digest(code / "jobs" / "src")
    declaration: dict[str, JsonValue] = {
        "name": "flyte-temporal",
        "source_root": {"file": "src", "sha256": digest},
    }
    Builder(BuilderSettings(str(program))).provide(Declared("a:1", declaration, "jobs.train"), code)
    assert (tmp_path / "context" / "source" / "a.py").read_text() == "right\n"


def test_a_dot_is_the_folder_of_the_module(program: Path, tmp_path: Path) -> None:
    code = tmp_path / "code"
    for file in ("a.py", "jobs/b.py"):
        (code / file).parent.mkdir(parents=True, exist_ok=True)
        (code / file).write_text("")
    declaration: dict[str, JsonValue] = {
        "name": "flyte-temporal",
        "source_root": {"file": ".", "sha256": content_digest(code / "jobs")},
    }
    Builder(BuilderSettings(str(program))).provide(Declared("a:1", declaration, "jobs.train"), code)
    assert [path.name for path in (tmp_path / "context" / "source").iterdir()] == ["b.py"]


@pytest.mark.parametrize(
    ("launcher", "first"), [("docker", "docker"), ("podman", "podman"), ("kubernetes", "podman")]
)
def test_the_program_of_the_launcher_builds(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str, first: str
) -> None:
    """Where both are installed, an image in podman's store is not there for docker."""
    (tmp_path / "docker").symlink_to(program)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    said: list[str] = []
    Builder(say=said.append, launcher=launcher).provide(declared(ImageSpec(packages=["rich"])), None)
    assert said == [
        f"Building the image {declared(ImageSpec(packages=['rich'])).image} ({first}); later runs find it."
    ]


def test_what_the_author_or_the_environment_chooses_builds_all_the_same(
    program: Path, tmp_path: Path
) -> None:
    Builder(BuilderSettings(str(program)), launcher="docker").provide(declared(ImageSpec()), None)
    assert called(tmp_path) == ["image", "build"]


def test_the_registry_is_asked_with_the_credentials_that_are_declared(program: Path, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "auth.json").write_text('{"auths": {}}')
    spec = ImageSpec(registry="ghcr.io/me", registry_config=str(code / "auth.json"))
    Builder(BuilderSettings(str(program))).provide(declared(spec), code)
    assert (tmp_path / "logins").read_text() == '{"auths": {}}' * 4, "each call has them"
    assert spec.tag == ImageSpec().tag, "who may push is no part of the image"


def test_a_secret_file_beside_the_module_is_found_wherever_the_run_is_asked_for(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, elsewhere = tmp_path / "code", tmp_path / "elsewhere"
    (code / "jobs").mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    spec = declared(ImageSpec(pip_secret_mounts=[("pip.conf", "/etc/pip.conf")]))
    builder = Builder(BuilderSettings(str(program)))
    with pytest.raises(BadRequest, match=r"jobs\.train: 'pip\.conf': there is no such file below .*code"):
        builder.provide(spec, code)
    (code / "jobs" / "pip.conf").write_text("[global]")
    builder.provide(spec, code)
    assert f"--secret id=pip0,src={code}/jobs/pip.conf" in (tmp_path / "calls").read_text()
    (code / "pip.conf").write_text("[install]")
    (tmp_path / "built").unlink()
    with pytest.raises(BadRequest, match=r"several files below .* have this path, and differ"):
        Builder(BuilderSettings(str(program))).provide(replace(spec, image="b:1"), code)


def test_what_runs_here_is_in_the_image_and_no_index_is_asked_for_it(program: Path, tmp_path: Path) -> None:
    Builder(BuilderSettings(str(program))).provide(declared(ImageSpec()), None)
    (wheel,) = (tmp_path / "context").glob("*.whl")
    text = (tmp_path / "context" / "Containerfile").read_text()
    assert f"COPY {wheel.name} /opt/task/{wheel.name}\n" in text
    assert f"'/opt/task/{wheel.name}[s3,gcs]'" in text
    target = tmp_path / "installed"
    if find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
        subprocess.run([*pip, "--target", str(target), str(wheel)], check=True)
    else:  # the environments of other Pythons have none; a wheel is installed by being unpacked
        zipfile.ZipFile(wheel).extractall(target)
    assert (target / "flyte_temporal" / "py.typed").exists()
    (own,) = metadata.distributions(name="flyte-temporal", path=[str(target)])
    assert own.version == __version__
    assert {"s3", "gcs"} <= set(own.metadata.get_all("Provides-Extra") or ())


def test_another_runtime_may_be_asked_for(program: Path, tmp_path: Path) -> None:
    Builder(BuilderSettings(str(program), runtime="flyte-temporal==9")).provide(declared(ImageSpec()), None)
    assert not list((tmp_path / "context").glob("*.whl"))
    assert (
        "pip install --no-cache-dir --disable-pip-version-check flyte-temporal==9"
        in (tmp_path / "context" / "Containerfile").read_text()
    )
