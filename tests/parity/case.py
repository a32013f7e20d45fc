"""What a `.toml` beside a user's file states: some runs, and what each gives, whichever way it is run.

    [[run]]
    entity = "wf"                  # what to run
    inputs = { x = 1 }             # values, as for `--inputs FILE`
    args = ["--y", "2"]            # more words after the entity, as typed
    answers = { ok = true, n = 3 } # for gates: true/false approves or rejects, any other value is set as the input
    outputs = { o0 = 3 }           # the outputs of the result document, whole; near floats are equal
    error = { kind = "user", code = "UserCodeError", message = "part of it" }  # instead of outputs
    nodes = { n0 = "SUCCEEDED", "n1.n0" = "SKIPPED" }  # phases of some nodes; looked at after the durable run
    refused = "part of it"         # instead of both: exit code 2, and what the message says
    only = "plain"                 # or "durable": with a comment in the file that says why
    common_tmp = true              # its tasks meet in files below /tmp, so that it cannot run with a container for each

A file is compared by its content: `{ content = "text" }`; a dataframe by its rows: `{ rows = [ { a = 1 } ] }`.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import pytest

CASES = Path(__file__).with_name("cases")


@dataclass(frozen=True)
class Case:
    """One stated run."""

    file: Path
    number: int
    entity: str
    inputs: dict[str, Any] = field(default_factory=dict)
    args: list[str] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    nodes: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    only: Literal["", "plain", "durable"] = ""
    common_tmp: bool = False

    def __str__(self) -> str:
        return f"{self.file.stem}-{self.number}-{self.entity}"

    def words(self, folder: Path) -> list[str]:
        """Return FILE, ENTITY and the words for the inputs; `folder` takes the file of inputs."""
        found = [str(self.file), self.entity, *self.args]
        if self.inputs:
            path = folder / "inputs.json"
            path.write_text(json.dumps(self.inputs, default=str), encoding="utf-8")
            found += ["--inputs", str(path)]
        return found


def cases(way: Literal["plain", "durable"], launcher: str = "") -> list[Case]:
    """Return all stated runs of one way that a launcher can give: that of $TEST_LAUNCHER, unless another is named."""
    apart = (launcher or os.environ.get("TEST_LAUNCHER", "")) not in {"", "process", "pool"}
    found = []
    for file in sorted(CASES.glob("*.toml")):
        stated = tomllib.loads(file.read_text(encoding="utf-8"))
        for number, run in enumerate(stated["run"]):
            case = Case(file.with_suffix(".py"), number, **run)
            if case.only in {"", way} and not (case.common_tmp and apart):
                found.append(case)
    return found


def matches(expected: Any, found: Any) -> bool:
    """Compare an output with what is stated."""
    match expected:
        case {"content": text, **rest} if not rest:
            return bool(local_path(found).read_text(encoding="utf-8") == text)
        case {"rows": rows, **rest} if not rest:
            import pandas as pd

            path = local_path(found["uri"])
            frame = pd.read_csv(path) if found["format"] == "csv" else pd.read_parquet(path)
            return bool(frame.to_dict("records") == rows)
        case dict():
            same = isinstance(found, dict) and expected.keys() == found.keys()
            return same and all(matches(v, found[k]) for k, v in expected.items())
        case list():
            same = isinstance(found, list) and len(expected) == len(found)
            return same and all(matches(e, f) for e, f in zip(expected, found, strict=True))
        case float():
            return isinstance(found, int | float) and found == pytest.approx(expected, abs=1e-6)
        case "null":  # TOML has no null
            return found is None
        case _:
            return bool(expected == found) and type(expected) is type(found)


def local_path(uri: str) -> Path:
    """Return where a file of a store in a folder is; tests on other stores put their own in its place."""
    return Path(unquote(urlsplit(uri).path)) if "://" in uri else Path(uri)
