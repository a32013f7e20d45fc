"""`AttemptBench`: single attempts without an engine, for tests of launchers, of the runtime and of users' tasks."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, Manifest, StorageConfig
from flyte_temporal.spec.entities import EntryPoint, TaskSpec
from flyte_temporal.spec.execution import Environment
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.policies import TaskPolicy
from flyte_temporal.spec.types import BOOLEAN, FLOAT, INTEGER, STRING, LiteralType
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.storage.bundles import pack, store_bundle
from flyte_temporal.storage.logs import read_log

_TYPES: Mapping[type, LiteralType] = {int: INTEGER, float: FLOAT, str: STRING, bool: BOOLEAN}


class AttemptBench:
    """Makes orders for the tasks of a source folder and reads what their attempts left.

    Args:
        source: The source root; it is packed now, so that later changes are not seen.
        folder: Folder for the blob store and for scratch files.
        storage: Another store than a folder below `folder`.
    """

    def __init__(self, source: Path, folder: Path, storage: StorageConfig | None = None) -> None:
        self.folder = folder
        self.storage = storage or StorageConfig(root=(folder / "store").as_uri())
        self.store = open_store(self.storage)
        self.bundle = store_bundle(self.store, pack(source, folder / "packed"))

    def order(
        self,
        task: str,
        inputs: Mapping[str, int | float | str | bool] | None = None,
        output: LiteralType | None = INTEGER,
        policy: TaskPolicy | None = None,
        env: Mapping[str, str] | None = None,
    ) -> AttemptOrder:
        """Return an order for a new attempt.

        Args:
            task: `module.function` of the source folder.
            inputs: Its inputs; their types are those of the values.
            output: Type of its one output; None if it has none.
            policy: Resources and so on.
            env: Environment variables.
        """
        module, _, name = task.rpartition(".")
        given = inputs or {}
        interface = Interface(
            inputs=tuple(Variable(name=n, type=_TYPES[type(v)]) for n, v in given.items()),
            outputs=(Variable(name="o0", type=output),) if output else (),
        )
        execution = ExecutionId(project="test", domain="development", name=f"e{secrets.token_hex(6)}")
        return AttemptOrder(
            attempt=AttemptId(execution=execution, node="n0", number=1, token=secrets.token_hex(8)),
            task=TaskSpec(
                name=task,
                interface=interface,
                entry=EntryPoint(module=module, name=name),
                policy=policy or TaskPolicy(),
            ),
            inputs={n: Inline(value=v) for n, v in given.items()},
            environment=Environment(interpreter=sys.executable, bundle=self.bundle, env=dict(env or {})),
            storage=self.storage,
        )

    def manifest(self, order: AttemptOrder) -> Manifest | None:
        """Return the manifest of an attempt, or None if it left none."""
        data = self.store.get(keys.manifest(order.attempt))
        return None if data is None else Manifest.read(data)

    def log(self, order: AttemptOrder) -> str:
        """Return what an attempt printed, as far as it was uploaded."""
        return b"".join(read_log(self.store, order.attempt.key)).decode()
