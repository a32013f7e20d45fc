"""What the activities about attempts are made of; put together by the worker's composition root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flyte_temporal.activities.closures import Closures
from flyte_temporal.activities.limits import Pulse
from flyte_temporal.activities.records import Records
from flyte_temporal.activities.remembering import Remembering
from flyte_temporal.errors import UnsupportedSpec
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.ports.launcher import Launcher
from flyte_temporal.spec.attempt import StorageConfig


@dataclass(frozen=True)
class Parts:
    """What attempts are made of.

    Args:
        launchers: By name.
        blobs: Where manifests are.
        storage: The same store, as attempts are told of it.
        closures: Tasks by digest and name.
        records: Where states are noted.
        remembering: Where outputs of cached tasks are put.
        grace_s: Seconds between SIGTERM and SIGKILL when an attempt is stopped.
        pulse: How often they heartbeat.
        keep_checkpoints: Whether the last checkpoint of a node stays when the node has succeeded.
    """

    launchers: Mapping[str, Launcher]
    blobs: BlobStore
    storage: StorageConfig
    closures: Closures
    records: Records
    remembering: Remembering
    grace_s: float = 10.0
    pulse: Pulse = field(default_factory=Pulse)
    keep_checkpoints: bool = True

    def launcher(self, name: str) -> Launcher:
        """Return a launcher.

        Raises:
            UnsupportedSpec: If this worker has none of this name.
        """
        launcher = self.launchers.get(name)
        if launcher is None:
            known = ", ".join(sorted(self.launchers))
            raise UnsupportedSpec(f"This worker has no launcher {name!r}; it has: {known}.")
        return launcher
