"""A Temporal namespace, made where it is missing; for operators, who run `python -m flyte_temporal.worker.preparing`."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from flyte_temporal.errors import PlatformUnavailable

_TIMEOUT = timedelta(seconds=10)


async def ensure_namespace(client: Client, retention: timedelta) -> bool:
    """Make the client's namespace unless it is there; return whether it is new. One that is there is not changed.

    Args:
        client: A connected client.
        retention: How long the new namespace keeps runs that are over.

    Raises:
        PlatformUnavailable: If the server refuses.
    """
    service, namespace = client.workflow_service, client.namespace
    try:
        try:
            await service.describe_namespace(DescribeNamespaceRequest(namespace=namespace), timeout=_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
        else:
            return False
        kept = Duration()
        kept.FromTimedelta(retention)
        request = RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=kept)
        await service.register_namespace(request, timeout=_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:
            return False
        raise PlatformUnavailable(
            f"Temporal did not make the namespace {namespace}: {error.message}. Its server may ask for a role that this "
            "client does not have; then let an operator make the namespace."
        ) from error
    return True
