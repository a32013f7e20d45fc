"""Search attributes of a namespace: the local stack adds those that its server does not have yet.

The server is told of them when its database is made, and ignores the same words on a database that it finds. In production
an operator adds them once (docs/operations/upgrades.md).
"""

from __future__ import annotations

from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.spec.search import SEARCH_ATTRIBUTES

_TIMEOUT = timedelta(seconds=10)


async def add_search_attributes(client: Client) -> None:
    """Add what is missing; one call that costs nothing when nothing is.

    Raises:
        PlatformUnavailable: If the server refuses.
    """
    operator, namespace = client.operator_service, client.namespace
    try:
        found = await operator.list_search_attributes(
            ListSearchAttributesRequest(namespace=namespace), timeout=_TIMEOUT
        )
        missing = [name for name in SEARCH_ATTRIBUTES if name not in found.custom_attributes]
        if missing:
            request = AddSearchAttributesRequest(namespace=namespace)
            for name in missing:
                request.search_attributes[name] = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
            await operator.add_search_attributes(request, timeout=_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:
            return
        raise PlatformUnavailable(
            f"Temporal's namespace {namespace} did not take the search attributes {', '.join(SEARCH_ATTRIBUTES)}: "
            f"{error.message}."
        ) from error
