"""Canonical bytes, digests, stored versions."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from flyte_temporal.errors import UnsupportedSpec
from flyte_temporal.spec.document import SCHEMA_VERSION, canonical_bytes, digest
from flyte_temporal.spec.entities import Closure, Root, TaskSpec, WorkflowSpec
from flyte_temporal.spec.interface import Default, Interface, Variable
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.types import INTEGER, optional
from flyte_temporal.testing import closures

MAKE = "from flyte_temporal.testing import closures; from flyte_temporal.spec.document import digest; "


def test_the_digest_is_the_same_in_any_process() -> None:
    wanted = digest(closures.layers(3, 4))
    for seed in ("0", "1", "4242"):
        line = MAKE + "print(digest(closures.layers(3, 4)))"
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        got = subprocess.run(
            [sys.executable, "-c", line], env=environment, capture_output=True, text=True, check=True
        )
        assert got.stdout.strip() == wanted


def test_a_document_survives_its_bytes() -> None:
    closure = closures.layers(2, 3)
    data = canonical_bytes(closure)
    assert Closure.read(data) == closure
    assert canonical_bytes(Closure.read(data)) == data


def test_defaults_are_left_out_so_that_new_fields_keep_old_digests() -> None:
    assert canonical_bytes(TaskSpec(name="a.b")) == b'{"kind":"task","name":"a.b"}'
    assert b"schema_version" in canonical_bytes(Closure(root=Root(kind="task", name="a.b")))


def test_a_default_of_none_is_told_from_no_default() -> None:
    given = Variable(name="x", type=optional(INTEGER), default=Default(value=None))
    none = Variable(name="x", type=optional(INTEGER))
    again = Variable.model_validate_json(canonical_bytes(given))
    assert again.default == Default(value=None)
    assert canonical_bytes(given) != canonical_bytes(none)


def test_a_value_of_null_survives() -> None:
    assert Inline.model_validate_json(canonical_bytes(Inline(value=None))) == Inline(value=None)


def test_a_newer_document_is_refused_with_the_remedy() -> None:
    newer = b'{"schema_version": %d, "root": {"kind": "task", "name": "a.b"}, "more": 1}' % (
        SCHEMA_VERSION + 1
    )
    with pytest.raises(UnsupportedSpec, match="Upgrade flyte-temporal"):
        Closure.read(newer)


def test_garbage_is_refused() -> None:
    with pytest.raises(UnsupportedSpec, match="Not a valid Closure document"):
        Closure.read(b"{]")


def test_documents_are_frozen_and_closed() -> None:
    task = TaskSpec(name="a.b")
    with pytest.raises(ValidationError):
        task.name = "c"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        TaskSpec.model_validate({"name": "a.b", "surprise": 1})


def test_a_single_task_runs_as_one_node() -> None:
    task = TaskSpec(
        name="m.t",
        interface=Interface(
            inputs=(Variable(name="x", type=INTEGER),), outputs=(Variable(name="o0", type=INTEGER),)
        ),
    )
    main = Closure(root=Root(kind="task", name="m.t"), tasks={"m.t": task}).main()
    assert isinstance(main, WorkflowSpec)
    assert [n.id for n in main.nodes] == ["n0"]
    assert main.interface == task.interface
