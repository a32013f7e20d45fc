"""The Python way to run things: `Client` and `Execution`, and `AsyncClient` and `AsyncExecution` for services.

    with Client.local() as client:
        execution = client.run(train_model, hyperparam=0.1)
        print(execution.wait().phase, execution.outputs)

Called by scripts, services and the CLI. Apart from `local` and `server`, which it speaks to: it never imports temporalio
or SQLAlchemy, so it may live in any process.
"""

from __future__ import annotations

from flyte_temporal.client.asynchronous import AsyncClient
from flyte_temporal.client.documents import (
    DeckCopy,
    RecoverOptions,
    RecoverySubmission,
    StartOptions,
    Submission,
    Update,
)
from flyte_temporal.client.executions import AsyncExecution
from flyte_temporal.client.synchronous import Client, Execution
from flyte_temporal.control.documents import LogLine, RecoveryPlan
from flyte_temporal.local.protocol import StackStatus
from flyte_temporal.spec.repairs import RepairState

__all__ = [
    "AsyncClient",
    "AsyncExecution",
    "Client",
    "DeckCopy",
    "Execution",
    "LogLine",
    "RecoverOptions",
    "RecoveryPlan",
    "RecoverySubmission",
    "RepairState",
    "StackStatus",
    "StartOptions",
    "Submission",
    "Update",
]
