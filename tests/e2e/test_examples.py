"""Every example, both ways: as plain Python and durably, compared with what its folder says it gives."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal import FlyteFile
from tests.e2e.command import ROOT, Command

EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/README.md"))


@dataclass(frozen=True)
class Case:
    """One run that an example's `expected.json` describes."""

    file: Path
    entity: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.file.parent.name}-{self.entity}-{len(json.dumps(self.inputs))}"


def cases() -> list[Case]:
    return [
        Case(folder / each["file"], each["entity"], each["inputs"], each["outputs"])
        for folder in EXAMPLES
        for each in json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    ]


def matches(expected: Any, found: Any) -> bool:
    """Compare an output; numbers may be near ones, a file is compared by what its model predicts."""
    if isinstance(expected, dict) and set(expected) == {"predictions_sha256"}:
        return bool(predictions(found) == expected["predictions_sha256"])
    if isinstance(expected, float):
        return isinstance(found, int | float) and found == pytest.approx(expected, abs=1e-6)
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(matches, expected, found))
    return bool(expected == found)


def predictions(model: str) -> str:
    """Return the digest of what a stored model predicts for the bundled data; a pickle's own bytes need not repeat."""
    import joblib
    from sklearn.datasets import load_breast_cancer

    trees = joblib.load(FlyteFile(model).download())
    predicted = trees.predict(load_breast_cancer(as_frame=True).data)
    return hashlib.sha256(bytes(predicted.tolist())).hexdigest()


def test_every_example_says_what_it_gives() -> None:
    assert [folder.name for folder in EXAMPLES if not (folder / "expected.json").exists()] == []
    assert {case.file.parent for case in cases()} == set(EXAMPLES)


@pytest.fixture
def cli(cli: Command) -> Command:
    """Each command is a process of its own here, as a person's are."""
    return Command(cli.home, cli.variables)


@pytest.mark.slow
@pytest.mark.parametrize("way", [["--local"], []], ids=["plain", "durable"])
@pytest.mark.parametrize("case", cases(), ids=str)
def test_example(cli: Command, tmp_path: Path, case: Case, way: list[str]) -> None:
    inputs = tmp_path / "inputs.json"
    inputs.write_text(json.dumps(case.inputs), encoding="utf-8")
    done = cli("run", *way, "-o", "json", "--inputs", inputs, case.file, case.entity)
    document = done.document
    assert document["phase"] == "SUCCEEDED"
    assert document["error"] is None
    assert set(document["outputs"]) == set(case.outputs)
    differing = {k: v for k, v in document["outputs"].items() if not matches(case.outputs[k], v)}
    assert differing == {}
