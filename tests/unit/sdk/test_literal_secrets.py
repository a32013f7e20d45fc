"""Secrets that are written into declarations: refused, or warned of, without being repeated."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from flyte_temporal import Environment, ImageSpec, PodTemplate, SecretWarning, task, workflow
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import CompileError

PASSWORD = "hunter2hunter2"
URL = f"postgresql://app:{PASSWORD}@db/x"


def pod(value: str, kind: str = "containers") -> PodTemplate:
    both = [
        {"name": "A", "value": "1"},
        {"name": "A", "valueFrom": {}},
        {"name": "DB_PASSWORD", "value": value},
    ]
    return PodTemplate(pod_spec={"containers": [{"name": "primary"}], kind: [{"name": "c", "env": both}]})


@task(environment={"DB_PASSWORD": PASSWORD, "TOKENIZERS_PARALLELISM": "false"}, pod_template=pod(PASSWORD))
def work() -> int:
    return 1


@task(container_image=ImageSpec(env={"API_KEY": PASSWORD}))
def other() -> int:
    return 1


@workflow
def wf() -> int:
    other()
    work()
    return work().with_overrides(environment={"TOKEN": PASSWORD})  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    "options",
    [
        {"environment": {"DB_PASSWORD": URL}},
        {"pod_template": pod(URL)},
        {"pod_template": pod(URL, "initContainers")},
    ],
)
def test_what_certainly_is_a_credential_is_refused(options: dict[str, Any]) -> None:
    @task
    def plain() -> int:
        return 1

    def by_node() -> int:
        return plain().with_overrides(**options)  # type: ignore[attr-defined, no-any-return]

    for declare in (
        lambda: task(**options)(plain.function),
        lambda: Environment(**options).task(plain.function),
        lambda: compile_entity(workflow(by_node)),
    ):
        with pytest.raises(
            CompileError, match=r'the value of DB_PASSWORD is .*env_var="DB_PASSWORD"'
        ) as refused:
            declare()
        assert PASSWORD not in refused.value.message


def test_so_it_is_in_an_image() -> None:
    with pytest.raises(CompileError, match="an AWS access key") as refused:
        ImageSpec(env={"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"})
    assert "AKIA" not in refused.value.message


def test_names_that_sound_like_a_secret_are_warned_of_by_task_and_variable() -> None:
    with pytest.warns(SecretWarning) as seen:
        compile_entity(wf)
    said = [str(each.message) for each in seen]
    assert [text.partition(" sounds")[0].replace(f"{__name__}.", "") for text in said] == [
        "API_KEY in the environment of task other",
        "DB_PASSWORD in the environment of task work",
        "DB_PASSWORD in the environment of task work",
        "TOKEN in the environment of node n2",
    ]
    # Python prints the line of a warning, if it finds the file.
    printed = "".join(warnings.formatwarning(w.message, w.category, w.filename, w.lineno) for w in seen)
    assert "@task" not in printed
    assert 'secret_requests=[Secret(group="...", key="...", env_var="TOKEN")]' in printed
    assert "test_literal_secrets.py:" in printed
