"""Whether Temporal hears a worker's polls: its own view, which a worker that is cut off cannot share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

_TIMEOUT = timedelta(seconds=10)


class Polls:
    """Asks about the polls for workflow tasks; those for activities pause while all its slots are taken.

    Args:
        client: The worker's client; its identity is the worker's.
        task_queue: The worker's queue.
        silent_s: How long ago the last poll may have begun; one takes up to a minute.
    """

    def __init__(self, client: Client, task_queue: str, silent_s: float = 90.0) -> None:
        self._client = client
        self._request = DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
        self._silent = timedelta(seconds=silent_s)

    async def heard(self) -> bool:
        """Return whether this worker has polled lately.

        Raises:
            RPCError: If Temporal does not answer.
        """
        found = await self._client.workflow_service.describe_task_queue(self._request, timeout=_TIMEOUT)
        since = datetime.now(UTC) - self._silent
        return any(
            poller.identity == self._client.identity
            and poller.last_access_time.ToDatetime(tzinfo=UTC) >= since
            for poller in found.pollers
        )
