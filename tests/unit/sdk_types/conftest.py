"""What every test of the type engine needs: a context with a store in memory, and the whole way of one value."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.sdk.types.conform import conform
from flyte_temporal.sdk.types.display import show
from flyte_temporal.sdk.types.engine import TypeEngine, ValueContext, default_engine
from flyte_temporal.testing.blobs import MemoryBlobStore

Trip = Callable[[Any, Any], Any]


@pytest.fixture
def store() -> MemoryBlobStore:
    return MemoryBlobStore()


@pytest.fixture
def context(store: MemoryBlobStore, tmp_path: Path) -> ValueContext:
    return ValueContext(blobs=store, scratch=tmp_path / "scratch")


@pytest.fixture
def engine() -> Iterator[TypeEngine]:
    yield default_engine()
    # Otherwise the next interface would warn of what this test pickled.
    default_engine().warnings()


@pytest.fixture
def trip(engine: TypeEngine, context: ValueContext) -> Trip:
    """Python → JSON → text → JSON → Python; what is written conforms to its type and can be shown."""

    def through(value: Any, python_type: Any) -> Any:
        type_ = engine.literal_type(python_type)
        text = json.dumps(engine.to_json(value, python_type, context), allow_nan=False)
        written = json.loads(text)
        conform(written, type_)
        json.dumps(show(written, type_), allow_nan=False)
        return engine.to_python(written, type_, python_type, context)

    return through
