"""`Artifact`: a name for outputs, with partitions, kept in the interface as metadata for a catalog.

Nothing here asks a server. `Annotated[T, MyArtifact(region="eu")]` names an output; `MyArtifact.query(region="eu")` says
which one is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.types.converter import shown

MAX_PARTITION_KEYS = 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class Granularity(StrEnum):
    """How fine the times of time partitions are."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True)
class InputPartition:
    """Stands for the value of an input of the task: `MyArtifact(region=Inputs.region)`."""

    input: str


class _Inputs:
    def __getattr__(self, name: str) -> InputPartition:
        if name.startswith("__"):
            raise AttributeError(name)
        return InputPartition(name)


Inputs = _Inputs()
"""`Inputs.region` is the value that the task's input `region` will have."""

Partition = str | InputPartition


@dataclass(frozen=True)
class ArtifactQuery:
    """Which artifact is wanted.

    Args:
        artifact: The artifact.
        partitions: Values of its partitions; those left out may have any.
        time_partition: Its time; None = any.
    """

    artifact: Artifact
    partitions: Mapping[str, str] = field(default_factory=dict)
    time_partition: datetime | None = None

    def document(self) -> dict[str, Any]:
        """Return the query as JSON."""
        found: dict[str, Any] = {"artifact": self.artifact.name, "partitions": dict(self.partitions)}
        if self.time_partition is not None:
            found["time"] = self.time_partition.isoformat()
        return found


@dataclass(frozen=True)
class ArtifactSpecification:
    """An artifact with values for its partitions; stands in `Annotated`."""

    artifact: Artifact
    partitions: Mapping[str, Partition]
    time_partition: datetime | InputPartition | None = None

    def variable_metadata(self) -> dict[str, Any]:
        """Return what the interface keeps."""
        written = {
            name: {"input": value.input} if isinstance(value, InputPartition) else value
            for name, value in self.partitions.items()
        }
        found: dict[str, Any] = {"name": self.artifact.name, "partitions": written}
        if isinstance(self.time_partition, InputPartition):
            found["time"] = {"input": self.time_partition.input}
        elif self.time_partition is not None:
            found["time"] = self.time_partition.isoformat()
        if self.artifact.time_partitioned:
            found["granularity"] = self.artifact.time_partition_granularity.value
        return {"artifact": found}


@dataclass(frozen=True)
class Artifact:
    """A named output with partitions; see docs/artifacts.md.

    Args:
        name: Its name, unique in the project.
        partition_keys: Names of its partitions, at most 10.
        time_partitioned: Whether it has a time as well.
        time_partition_granularity: How fine the times are.
        version: A version, if it is a fixed one.
        project: Project, if it is another one.
        domain: Domain, if it is another one.

    Raises:
        CompileError: If the name or the partitions are wrong.
    """

    name: str
    partition_keys: Sequence[str] = ()
    time_partitioned: bool = False
    time_partition_granularity: Granularity = Granularity.DAY
    version: str = ""
    project: str = ""
    domain: str = ""

    def __post_init__(self) -> None:
        """Check the declaration."""
        where = call_site()
        if not _NAME.fullmatch(str(self.name)):
            raise CompileError(
                f"Artifact(name={shown(self.name)}): use letters, digits, `_`, `-` and `.`, at most 128 of them.",
                where,
            )
        keys = self.partition_keys
        if isinstance(keys, str) or not all(str(key).isidentifier() for key in keys):
            raise CompileError(
                f"Artifact(partition_keys={shown(keys)}) must be a list of names, such as ['region'].", where
            )
        if len(keys) > MAX_PARTITION_KEYS:
            raise CompileError(
                f"The artifact {self.name!r} has {len(keys)} partition keys; at most {MAX_PARTITION_KEYS} are possible.",
                where,
            )
        if len(set(keys)) < len(keys) or "time_partition" in keys:
            raise CompileError(
                f"The partition keys of the artifact {self.name!r} must differ, and none may be 'time_partition'.",
                where,
            )
        object.__setattr__(self, "partition_keys", tuple(keys))

    def __call__(
        self, *, time_partition: datetime | InputPartition | None = None, **partitions: Partition
    ) -> ArtifactSpecification:
        """Return the artifact with values for all its partitions, for `Annotated`.

        Args:
            time_partition: Its time, or `Inputs.x`; only for time-partitioned artifacts.
            partitions: A text or `Inputs.x` for each partition key.

        Raises:
            CompileError: If a partition is missing or unknown, or a value is of another type.
        """
        where = call_site()
        self._check(partitions, time_partition, where)
        missing = [key for key in self.partition_keys if key not in partitions]
        if missing:
            raise CompileError(
                f"The artifact {self.name!r} needs a value for its partition {missing[0]!r}. "
                f'Write {missing[0]}="..." or {missing[0]}=Inputs.{missing[0]}.',
                where,
            )
        if self.time_partitioned and time_partition is None:
            raise CompileError(
                f"The artifact {self.name!r} is partitioned by time. Write time_partition=... .", where
            )
        return ArtifactSpecification(self, partitions, time_partition)

    def query(self, *, time_partition: datetime | None = None, **partitions: str) -> ArtifactQuery:
        """Return a query for one of this artifact's partitions; partitions left out may have any value.

        Raises:
            CompileError: If a partition is unknown or a value is of another type.
        """
        self._check(partitions, time_partition, call_site())
        return ArtifactQuery(self, partitions, time_partition)

    def variable_metadata(self) -> dict[str, Any]:
        """Return what the interface keeps of an artifact without partitions in `Annotated`.

        Raises:
            CompileError: If it has partitions, which need values.
        """
        return self().variable_metadata()

    def _check(self, partitions: Mapping[str, Any], moment: object, where: str) -> None:
        for name, value in partitions.items():
            if name not in self.partition_keys:
                known = ", ".join(self.partition_keys) or "none"
                raise CompileError(
                    f"The artifact {self.name!r} has no partition {name!r}; it has: {known}.", where
                )
            if not isinstance(value, str | InputPartition):
                raise CompileError(
                    f"The partition {name!r} of the artifact {self.name!r} must be a text, not {shown(value)}.",
                    where,
                )
        if moment is not None and not self.time_partitioned:
            raise CompileError(
                f"The artifact {self.name!r} is not partitioned by time. Declare time_partitioned=True.",
                where,
            )
        if not isinstance(moment, datetime | InputPartition | None):
            raise CompileError(
                f"time_partition={shown(moment)} of the artifact {self.name!r} must be a datetime.", where
            )
