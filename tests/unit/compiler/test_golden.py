"""The specs of all examples, byte for byte.

After a wanted change: FLYTE_TEMPORAL_REWRITE_GOLDEN=1 pytest tests/unit/compiler/test_golden.py, and review the diff.
A change of existing bytes changes digests: registered versions then no longer equal their code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flyte_temporal.compiler import compile_entity
from flyte_temporal.sdk.loader import entities_in, load_file
from flyte_temporal.spec.document import canonical_bytes, digest
from flyte_temporal.spec.entities import Closure

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*/*.py"))
HASH = """
import sys
from pathlib import Path
from flyte_temporal.compiler import compile_entity
from flyte_temporal.sdk.loader import entities_in, load_file
from flyte_temporal.spec.document import canonical_bytes
for file in sys.argv[1:]:
    for entity in entities_in(load_file(Path(file))).values():
        sys.stdout.buffer.write(canonical_bytes(compile_entity(entity)) + b"\\n")
"""


def rendered(closure: Closure) -> bytes:
    """Return a closure's canonical bytes laid out over lines, so that a diff can be read.

    Without the digests of code: each edit of an example, and each release of Python, changes them.
    """
    tasks = {name: task.model_copy(update={"code": ""}) for name, task in closure.tasks.items()}
    closure = closure.model_copy(update={"tasks": tasks})
    return json.dumps(json.loads(canonical_bytes(closure)), indent=1, ensure_ascii=False).encode() + b"\n"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.parent.name)
def test_specs_of_examples_are_the_golden_ones(file: Path) -> None:
    for name, entity in entities_in(load_file(file)).items():
        golden = HERE / "golden" / f"{file.parent.name}.{name}.json"
        written = rendered(compile_entity(entity))
        if os.environ.get("FLYTE_TEMPORAL_REWRITE_GOLDEN") == "1":
            golden.parent.mkdir(exist_ok=True)
            golden.write_bytes(written)
        assert golden.read_bytes() == written, f"{golden.name}; see the top of this file"


def test_no_golden_file_is_left_over() -> None:
    wanted = {f"{f.parent.name}.{name}.json" for f in FILES for name in entities_in(load_file(f))}
    assert {p.name for p in (HERE / "golden").iterdir()} == wanted


def test_bytes_are_equal_in_processes_with_other_hash_seeds() -> None:
    def compiled(seed: str) -> bytes:
        arguments = [sys.executable, "-c", HASH, *map(str, FILES)]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(EXAMPLES.parent)}
        return subprocess.run(arguments, env=environment, check=True, stdout=subprocess.PIPE).stdout

    here = [compile_entity(entity) for file in FILES for entity in entities_in(load_file(file)).values()]
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    assert compiled(seed).splitlines() == [canonical_bytes(closure) for closure in here]


@pytest.mark.parametrize("stored", sorted((HERE / "stored").glob("v*/*.json")), ids=lambda p: p.name)
def test_stored_closures_of_each_schema_version_still_load(stored: Path) -> None:
    data = stored.read_bytes().rstrip(b"\n")
    closure = Closure.read(data)
    assert closure.schema_version == int(stored.parent.name.removeprefix("v"))
    assert closure.main().nodes
    assert digest(closure) == stored.stem, "the digest by which it was registered changed"
