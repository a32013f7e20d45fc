"""What is written beside an attempt is for its pod; who reads it elsewhere has other ways to the same store."""

from __future__ import annotations

from flyte_temporal.adapters.launchers.kubernetes.claims import Claims
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.testing.blobs import MemoryBlobStore
from tests.unit.adapters.k8s.made import order_of

FROM_PODS = StorageConfig(root="s3://bucket/tests", endpoint="http://store.cluster:9000")
FROM_HERE = StorageConfig(root="s3://bucket/tests", endpoint="http://127.0.0.1:9000")


async def test_an_order_that_another_worker_gave_is_carried_out_by_our_own_way_to_the_store() -> None:
    blobs, order = MemoryBlobStore(), order_of().model_copy(update={"storage": FROM_PODS})
    assert await Claims(blobs, FROM_HERE).give(order)
    found = await Claims(blobs, FROM_HERE).order(order.attempt)
    assert found == order.model_copy(update={"storage": FROM_HERE})
    assert await Claims(blobs).order(order.attempt) == order
