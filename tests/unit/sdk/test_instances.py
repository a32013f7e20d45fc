"""Tasks that are objects: found by name, compiled, called; and containers, which are only compiled."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from flyte_temporal import (
    ContainerTask,
    PodTemplate,
    PythonInstanceTask,
    PythonTask,
    Resources,
    Secret,
    TaskMetadata,
    kwtypes,
    task,
)
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import CompileError, UnsupportedSpec
from flyte_temporal.sdk import dispatch
from flyte_temporal.sdk.accelerators import A100, T4, V5E
from flyte_temporal.sdk.loader import entities_in
from flyte_temporal.sdk.plain import run_plain
from flyte_temporal.spec.entities import ContainerSpec, EntryPoint


class Add(PythonInstanceTask):
    task_type = "add"

    def execute(self, x: int, y: int) -> tuple[int, int]:
        return x + y, x - y


def make(name: str, **options: Any) -> Add:
    return Add(
        name, inputs=kwtypes(x=int, y=int), outputs=kwtypes(total=int, rest=int), config={"a": 1}, **options
    )


add = make("tests.add", metadata=TaskMetadata(retries=3, timeout=5), docs="Adds.")


class Holder:
    inner = make("tests.inner")


container = ContainerTask(
    name="tests.container",
    image="alpine:3.20",
    command=["sh", "-c", "cat {{.inputs.x}}"],
    arguments=["{{.outputs.y}}"],
    inputs=kwtypes(x=int),
    outputs=kwtypes(y=str),
    input_data_dir="/in",
    output_data_dir="/out",
    metadata_format=ContainerTask.MetadataFormat.YAML,
    io_strategy=ContainerTask.IOStrategy(ContainerTask.IOStrategy.DownloadMode.STREAM),
    requests=Resources(cpu="1"),
    secret_requests=[Secret("db", "password")],
)


def test_a_task_is_found_by_the_name_in_its_module() -> None:
    assert add.entry == EntryPoint(module=__name__, name="add")
    assert Holder.inner.entry == EntryPoint(module=__name__, name="Holder.inner")
    loaded = dispatch.load(add.entry)
    assert loaded is add
    assert isinstance(loaded, PythonTask)


def test_a_task_compiles_with_type_and_config() -> None:
    closure = compile_entity(add)
    spec = closure.tasks["tests.add"]
    assert (spec.type, spec.config, spec.description) == ("add", {"a": 1}, "Adds.")
    assert (spec.policy.retries.count, spec.policy.timeouts.run_s) == (3, 5.0)
    assert [v.name for v in spec.interface.outputs] == ["total", "rest"]


def test_several_outputs_have_names_in_plain_calls() -> None:
    outputs: Any = add(x=3, y=1)
    assert (outputs.total, outputs.rest) == (4, 2)
    assert str(inspect.signature(add)) == "(*, x: int, y: int)"


def test_the_loader_lists_them() -> None:
    module = SimpleNamespace(__name__=__name__, add=add, other=Holder.inner)
    assert list(entities_in(module)) == ["add", "other"]  # type: ignore[arg-type]


def test_one_that_has_no_name_cannot_be_compiled() -> None:
    with pytest.raises(CompileError, match="assigned to no name at the top level of"):
        compile_entity(make("tests.lost"))


def test_a_kind_without_execute_says_so() -> None:
    with pytest.raises(
        NotImplementedError, match=r"PythonInstanceTask does not say what it does: override execute\(\)"
    ):
        run_plain(PythonInstanceTask("tests.nothing"), {})


def test_a_container_is_compiled_with_everything() -> None:
    spec = compile_entity(container).tasks["tests.container"]
    assert (spec.type, spec.entry) == ("container", None)
    assert spec.container == ContainerSpec(
        image="alpine:3.20",
        command=("sh", "-c", "cat {{.inputs.x}}"),
        args=("{{.outputs.y}}",),
        input_dir="/in",
        output_dir="/out",
        metadata_format="yaml",
        download="stream",
        upload="on_exit",
    )
    assert spec.policy.image == "alpine:3.20"
    assert spec.policy.resources.requests.cpu == "1"
    assert spec.policy.secrets[0].key == "password"


def test_a_container_does_not_run_plainly() -> None:
    with pytest.raises(UnsupportedSpec) as caught:
        run_plain(container, {"x": 1})
    assert caught.value.message == (
        "The task tests.container is the container alpine:3.20, which needs a launcher that starts containers; plain "
        "runs and the launchers 'pool' and 'process' run Python only. Run it with --launcher podman, docker or kubernetes; "
        "docs/containers.md says what to set up."
    )


class Kubernetes:
    """As objects of the Kubernetes client are: names in Python's style, and how they are written."""

    attribute_map = {
        "restart_policy": "restartPolicy",
        "node_selector": "nodeSelector",
        "containers": "containers",
    }

    def __init__(self, containers: list[Any]) -> None:
        self.restart_policy, self.node_selector, self.containers = "Never", None, containers


def test_pods_and_accelerators_are_parts_of_the_policy() -> None:
    @task(
        pod_template=PodTemplate(Kubernetes([{"name": "primary"}]), labels={"a": "b"}),
        pod_template_name="usual",
        accelerator=A100.partition_2g_10gb,
        limits=Resources(gpu=1),
    )
    def heavy() -> None: ...

    pod = heavy.policy.pod
    assert pod is not None
    assert pod.pod_spec == {"restartPolicy": "Never", "containers": [{"name": "primary"}]}
    assert (pod.primary_container, pod.labels, heavy.policy.pod_template) == ("primary", {"a": "b"}, "usual")
    resources = heavy.policy.resources
    assert (resources.accelerator, resources.accelerator_partition) == ("nvidia-tesla-a100", "2g.10gb")
    assert (T4.device, A100.unpartitioned.partition) == ("nvidia-tesla-t4", "")
    assert V5E.partitioned("2x4").partition == "2x4"
    with pytest.raises(AttributeError, match="partition_2g_10gb"):
        A100.third  # noqa: B018 - it is the test
