"""What is said when a value has nothing at the end of an attribute path."""

from __future__ import annotations

import pytest

from flyte_temporal import task, workflow
from flyte_temporal.compiler import compile_entity
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.paths import MissingAttribute
from flyte_temporal.workflows.plan import Graph
from flyte_temporal.workflows.scope import NodeState, Scope
