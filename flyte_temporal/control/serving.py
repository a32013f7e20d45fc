"""Whether anybody serves the cluster on which attempts are to run: asked before a start, and told where attempts wait.

Each named cluster has a task queue of its own, which only workers serve that have it among their settings. Whoever asks may have
other settings than they, so what counts in the end is who takes from that queue, which the engine knows.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches

from flyte_temporal.errors import BadRequest, FlyteTemporalError
from flyte_temporal.ports.engine import Engine
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec.clusters import UNSERVED, cluster_of
from flyte_temporal.spec.execution import Environment, ExecutionRecord, NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId

_LOOK_S = 3.0
"""How often the engine is asked while somebody watches an execution."""
_PATIENCE_S = 2.0
"""For how long: a watcher waits for it, and what it watches is more than this."""
_REMEMBERED = 1_000


class Serving:
    """Asks about clusters.

    Args:
        engine: Knows who takes from which queue, and which attempts no worker has.
        store: Knows what runs.
        clusters: Gives the names of the clusters in the settings of this side; raises BadRequest.
    """

    def __init__(self, engine: Engine, store: MetadataStore, clusters: Callable[[], Collection[str]]) -> None:
        self._engine = engine
        self._store = store
        self._clusters = clusters
        self._looked: dict[ExecutionId, tuple[float, set[str]]] = {}
        """By execution: when the engine was asked, and what `_waiting` gave."""

    async def check(self, execution: ExecutionId, environment: Environment) -> None:
        """Refuse an execution whose attempts nobody would ever take; one that is there already is none of our business.

        Raises:
            BadRequest: If no settings of this side have its cluster, no worker serves it, and nothing runs there.
        """
        name = cluster_of(environment)
        if not name or name in (known := self._clusters()):
            return
        try:
            if await self._engine.served(environment):
                return
        except FlyteTemporalError:
            # Nobody can say; it is started once the engine is back, and its nodes tell what they wait for.
            return
        if not await asyncio.to_thread(self._at_work, execution, name):
            raise BadRequest(_refusal(name, known))

    def _at_work(self, execution: ExecutionId, name: str) -> bool:
        """Return whether an execution is there, or others are on its cluster: workers that are full take nothing either."""
        if self._store.execution(execution) is not None:
            return True
        return any(cluster_of(r.request.environment) == name for r in self._store.open_executions())

    async def noted(self, record: ExecutionRecord, nodes: Sequence[NodeRecord]) -> list[NodeRecord]:
        """Return nodes with a word on those whose attempt was asked for and which no worker takes."""
        name = cluster_of(record.request.environment)
        if not name or record.phase.terminal:
            return list(nodes)
        waiting = await self._waiting(record)
        said = f"{UNSERVED} {name!r}: nobody with it in their settings asks for work (docs/kubernetes.md)"
        return [
            node.model_copy(update={"reason": said})
            if node.id in waiting and not node.phase.terminal
            else node
            for node in nodes
        ]

    async def _waiting(self, record: ExecutionRecord) -> set[str]:
        """Return the nodes whose attempts wait for a worker, if none serves their cluster."""
        execution = record.request.id
        looked_at, found = self._looked.get(execution, (-math.inf, set[str]()))
        if time.monotonic() - looked_at < _LOOK_S:
            return found
        try:
            async with asyncio.timeout(_PATIENCE_S):
                served = await self._engine.served(record.request.environment)
                found = set() if served else await self._engine.waiting(execution)
        except (FlyteTemporalError, TimeoutError):
            found = set()
        self._looked.pop(execution, None)
        self._looked[execution] = time.monotonic(), found
        while len(self._looked) > _REMEMBERED:
            del self._looked[next(iter(self._looked))]
        return found


def _refusal(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, n=2)
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    return (
        f"{UNSERVED.capitalize()} {name!r}, so that the attempts would wait for ever. {hint}Clusters in the settings here: "
        f"{', '.join(sorted(known)) or 'none'}. Correct the name in FLYTE_TEMPORAL_CLUSTER or FLYTE_TEMPORAL_DEFAULTS, or "
        "start a worker that has it in FLYTE_TEMPORAL_KUBERNETES__CLUSTERS (docs/kubernetes.md)."
    )
