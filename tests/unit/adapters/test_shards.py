"""Who is asked about a node or a gate of an execution that has shards."""

from __future__ import annotations

import pytest

from flyte_temporal.adapters.temporal.shards import owner_of, shard_with
from flyte_temporal.errors import Conflict
from flyte_temporal.spec.calls import GateState, ShardState
from flyte_temporal.spec.execution import GateReply
from flyte_temporal.spec.identifiers import ExecutionId

RUN = ExecutionId(project="p", domain="d", name="run")
SHARDS = [
    ShardState(workflow="run.m.0", path="m", offset=0, count=10),
    ShardState(workflow="run.m.10", path="m", offset=10, count=5),
    ShardState(workflow="run.k-3.m.0", path="k[3].m", offset=0, count=9),
]


@pytest.mark.parametrize(
    ("path", "workflow"),
    [
        ("m[0]", "run.m.0"),
        ("m[9].g", "run.m.0"),
        ("m[10].w.g", "run.m.10"),
        ("m[14][2]", "run.m.10"),
        ("k[3].m[8].g", "run.k-3.m.0"),
        ("m[15]", None),
        ("k[3].m", None),
        ("m", None),
        ("m2[3]", None),
        ("m[", None),
        ("m[x].g", None),
    ],
)
def test_the_shard_that_has_an_item(path: str, workflow: str | None) -> None:
    found = shard_with(path, SHARDS)
    assert (found.workflow if found else None) == workflow


def gate(path: str, name: str = "ok", *, answered: bool = False) -> GateState:
    return GateState(
        node=path, name=name, gate="approve", reply=GateReply(approved=True) if answered else None
    )


def test_the_workflow_that_has_the_only_open_gate_of_a_name() -> None:
    gates = {"run": [gate("g", "fine")], "a": [gate("m[0].g", answered=True)], "b": [gate("m[9].g")]}
    assert owner_of("ok", RUN, gates) == "b"
    assert owner_of("fine", RUN, gates) == "run"
    # The run itself refuses what is not there; who has an answered one says by whom.
    assert owner_of("none", RUN, gates) == "run"
    assert owner_of("ok", RUN, {"run": [], "a": gates["a"]}) == "a"


def test_a_name_that_several_have_is_refused_with_their_paths() -> None:
    gates = {f"s{i}": [gate(f"m[{i}].g")] for i in range(30)}
    with pytest.raises(Conflict, match=r"named 'ok': m\[0\]\.g, .* and 10 more"):
        owner_of("ok", RUN, gates)
