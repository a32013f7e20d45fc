"""Artifacts: checked where they are declared, kept in the interface, asked of nobody."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import pytest

from flyte_temporal import Artifact, Inputs, task
from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.artifacts import Granularity, InputPartition

Plain = Artifact(name="plain")
Sales = Artifact(
    name="sales",
    partition_keys=["region"],
    time_partitioned=True,
    time_partition_granularity=Granularity.HOUR,
)
DAY = datetime(2026, 1, 2, tzinfo=UTC)


@task
def made(
    day: datetime, region: str
) -> tuple[
    Annotated[int, Sales(region=Inputs.region, time_partition=Inputs.day)], Annotated[int, Plain], int
]:
    return 1, 2, 3


def test_the_interface_keeps_what_an_output_is_called() -> None:
    first, second, third = (variable.metadata for variable in made.interface.outputs)
    assert first == {
        "artifact": {
            "name": "sales",
            "partitions": {"region": {"input": "region"}},
            "time": {"input": "day"},
            "granularity": "hour",
        }
    }
    assert second == {"artifact": {"name": "plain", "partitions": {}}}
    assert third == {}
    assert made(day=DAY, region="eu") == (1, 2, 3)


def test_a_query_is_data() -> None:
    assert Sales.query(region="eu", time_partition=DAY).document() == {
        "artifact": "sales",
        "partitions": {"region": "eu"},
        "time": "2026-01-02T00:00:00+00:00",
    }
    assert Sales.query().document() == {"artifact": "sales", "partitions": {}}
    assert Inputs.day == InputPartition("day")


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: Artifact(name="two words"), "use letters, digits"),
        (lambda: Artifact(name="a", partition_keys="region"), "must be a list of names"),
        (lambda: Artifact(name="a", partition_keys=["b", "b"]), "must differ"),
        (lambda: Sales(region="eu"), "is partitioned by time"),
        (lambda: Sales(region=1, time_partition=DAY), "must be a text, not 1"),  # type: ignore[arg-type]
        (lambda: Sales.query(time_partition="now"), "must be a datetime"),  # type: ignore[arg-type]
    ],
)
def test_wrong_declarations_are_refused(declare: object, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        declare()  # type: ignore[operator]
