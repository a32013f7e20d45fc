"""`make golden-histories`, second half: runs every example durably and stores the history of its run.

The first half is `RECORD_HISTORIES=1 pytest tests/workflow/test_replay.py tests/workflow/test_golden_stories.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from temporalio.client import Client as TemporalClient

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the tests are not installed

from flyte_temporal.client import Client  # noqa: E402
from flyte_temporal.sdk.loader import find_entity, load_file  # noqa: E402
from tests.workflow import golden  # noqa: E402


def run_examples(client: Client) -> dict[str, str]:
    """Run each example's first case; return the execution ids by the name of the history."""
    ids = {}
    for expected in sorted((ROOT / "examples").glob("*/expected.json")):
        case = json.loads(expected.read_text(encoding="utf-8"))[0]
        entity = find_entity(load_file(expected.parent / case["file"]), case["entity"])
        execution = client.run(entity, **case["inputs"])
        execution.wait()
        ids[f"example_{expected.parent.name}"] = execution.id
    return ids


async def store(address: str, ids: dict[str, str]) -> None:
    """Fetch the histories of these executions and store them."""
    temporal = await TemporalClient.connect(address)
    for name, execution in ids.items():
        golden.record(name, await temporal.get_workflow_handle(execution).fetch_history())
        print(f"stored {name}")


def main() -> None:
    """Record all examples on a stack of their own."""
    with tempfile.TemporaryDirectory(prefix="ft-") as folder:
        client = Client.local(Path(folder) / "home")
        try:
            ids = run_examples(client)
            asyncio.run(store(client.status().temporal_address, ids))
        finally:
            client.down()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
