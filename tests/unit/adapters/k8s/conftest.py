"""A server, and orders for its pods."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.adapters.k8s.server import FakeServer, serving


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with serving(FakeServer()) as made:
        yield made
