"""Golden histories: where they are, and what is taken out of them before they are stored."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory

from flyte_temporal.spec.runs import INTERPRETER

FOLDER = Path(__file__).parent / "histories"
"""One folder for each version of the interpreter; all of them must replay under the code of today."""

_MACHINE = re.compile(r"file:///[^\"]*?/storage\b|/[^\"\s]*?/bin/python[0-9.]*")
_IDENTITY = {"identity", "workerInstanceKey", "requestId", "originalRequestId"}


def stored() -> list[Path]:
    """Return the stored histories."""
    return sorted(FOLDER.glob("*/*.json"))


def record(name: str, history: WorkflowHistory) -> None:
    """Store a history under a name, without the paths and names of the machine that made it."""
    folder = FOLDER / f"v{INTERPRETER}"
    folder.mkdir(parents=True, exist_ok=True)
    document = _scrubbed(json.loads(history.to_json()))
    (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _scrubbed(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {k: _scrubbed(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_scrubbed(v, key) for v in value]
    if key in _IDENTITY and isinstance(value, str):
        return "somebody"
    if key == "stackTrace":
        return ""
    if key == "data" and isinstance(value, str):
        text = base64.b64decode(value).decode("utf-8", "surrogateescape")
        clean = _MACHINE.sub(_elsewhere, text)
        return base64.b64encode(clean.encode("utf-8", "surrogateescape")).decode()
    return value


def _elsewhere(found: re.Match[str]) -> str:
    return "file:///home/user/storage" if found[0].startswith("file:") else "/usr/bin/python3"
