"""The type engine against pydantic: the same values written and read by both, in turns, best of several rounds.

Called by `run.py`; alone: `python bench/type_engine.py`. The bound is 2 times pydantic's own time (issue B).
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

ROUNDS = 15
"""Rounds of one case; the fastest counts, because whatever disturbs a round only makes it slower."""


def cases() -> dict[str, tuple[Any, Any]]:
    """Return name → (type, value)."""
    fields = {f"f{i}": (int, float, str)[i % 3] for i in range(1000)}
    record = make_dataclass("Thousand", list(fields.items()))
    value = record(*[kind(i) for i, kind in enumerate(fields.values())])
    return {
        "dataclass of 1,000 fields": (record, value),
        "list of 10,000 ints": (list[int], list(range(10_000))),
        "list of 10,000 floats": (list[float], [i / 3 for i in range(10_000)]),
        "dict of 10,000 texts": (dict[str, str], {f"k{i}": f"v{i}" for i in range(10_000)}),
    }


def _seconds(call: Callable[[], object], repeat: int) -> float:
    started = time.perf_counter()
    for _ in range(repeat):
        call()
    return (time.perf_counter() - started) / repeat


def _case(python_type: Any, value: Any, context: Any) -> dict[str, float]:
    from pydantic import TypeAdapter

    from flyte_temporal.sdk.types.engine import default_engine

    engine, adapter = default_engine(), TypeAdapter(python_type)
    type_ = engine.literal_type(python_type)
    written, dumped = engine.to_json(value, python_type, context), adapter.dump_python(value, mode="json")
    assert engine.to_python(written, type_, python_type, context) == adapter.validate_python(dumped) == value
    calls: dict[str, Callable[[], object]] = {
        "ours write": lambda: engine.to_json(value, python_type, context),
        "pydantic write": lambda: adapter.dump_python(value, mode="json"),
        "ours read": lambda: engine.to_python(written, type_, python_type, context),
        "pydantic read": lambda: adapter.validate_python(dumped),
    }
    repeat = max(1, round(0.01 / _seconds(calls["ours write"], 3)))
    best = dict.fromkeys(calls, float("inf"))
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for name, call in calls.items():
                best[name] = min(best[name], _seconds(call, repeat))
    finally:
        gc.enable()
    return best


def measure() -> list[dict[str, object]]:
    """Return one row per case for `results.json`: microseconds of both, and the ratio of write and read together."""
    from flyte_temporal.sdk.types.engine import ValueContext

    rows: list[dict[str, object]] = []
    for name, (python_type, value) in cases().items():
        best = _case(python_type, value, ValueContext(None, Path(tempfile.gettempdir())))
        ours = best["ours write"] + best["ours read"]
        theirs = best["pydantic write"] + best["pydantic read"]
        micros = {key: round(seconds * 1e6, 1) for key, seconds in best.items()}
        rows.append({"series": "types", "shape": name, **micros, "ratio": round(ours / theirs, 2)})
    return rows


def table(rows: list[dict[str, object]]) -> str:
    """Return the rows as Markdown."""
    names = ["shape", "ours write", "pydantic write", "ours read", "pydantic read", "ratio"]
    lines = ["| µs | " + " | ".join(names[1:]) + " |", "|---|" + "---|" * (len(names) - 1)]
    lines += ["| " + " | ".join(str(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    found = measure()
    sys.stdout.write(table(found) + "\n" + json.dumps(found) + "\n")
