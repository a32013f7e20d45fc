"""How long a file of 1 GiB takes from one task to the next on local storage, against `cp` of the same file.

`make bench` runs it last; `python bench/files.py` runs it alone. The series, taking turns:

- `cp`: what the tool takes; its copy may be in the machine's memory only.
- `passed`: it leaves a task (hashed, taken by the store) and is opened by the next one (copied, verified). As `cp`, without
  waiting for the disk.
- `cp, synced` and `passed, synced`: the same with the bytes on the disk before the next step, as the store does by default.
- `cp, read` and `opened`: the same, and all of it is read in the next step: a file that leaves a task and is read by
  `open("rb")` is not copied.
- `streamed`: written by `new_remote_file().open("wb")` and read by `open("rb")`; compared with a plain write and read of a
  local file with a `cp` between them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from flyte_temporal.sdk.types.engine import ValueContext, default_engine
from flyte_temporal.sdk.types.file import FlyteFile
from flyte_temporal.sdk.types.place import placed
from flyte_temporal.spec.types import BlobType
from flyte_temporal.storage.local import LocalBlobStore, Sync

MIB = 1024 * 1024
_PIECE = 8 * MIB
_AGAINST = {"passed": "cp", "passed, synced": "cp, synced", "opened": "cp, read", "streamed": "plain and cp"}


class Round:
    """One round on a folder of its own."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        self.noise = os.urandom(_PIECE)
        self.source = folder / "source"
        self.write(self.source.open("wb"))

    def pieces(self) -> list[bytes]:
        # Each piece is another one, so that nothing can be stored once for all.
        return [number.to_bytes(8, "little") + self.noise[8:] for number in range(self.size // _PIECE)]

    def write(self, stream: Any) -> None:
        with stream:
            for piece in self.pieces():
                stream.write(piece)

    def read(self, stream: Any) -> None:
        with stream:
            while stream.read(_PIECE):
                pass

    def context(self, sync: Sync) -> ValueContext:
        place = Path(tempfile.mkdtemp(dir=self.folder))
        return ValueContext(
            blobs=LocalBlobStore(place / "store", sync), scratch=place / "scratch", gives=True
        )

    def cp(self, *, sync: bool) -> float:
        copy = self.folder / "copy"

        def work() -> None:
            subprocess.run(["cp", self.source, copy], check=True)
            if sync:
                subprocess.run(["sync", copy], check=True)

        return timed(work)

    def cp_read(self) -> float:
        copy = self.folder / "copy"

        def work() -> None:
            subprocess.run(["cp", self.source, copy], check=True)
            self.read(copy.open("rb"))

        return timed(work)

    def passed(self, sync: Sync, *, read: bool = False) -> float:
        context, engine = self.context(sync), default_engine()
        context.scratch.mkdir()
        store = context.blobs
        assert store is not None
        made = context.scratch / "made"
        # Moved, not copied: both sides must find the machine's memory as full as the other.
        self.source.rename(made)

        def work() -> None:
            value = engine.to_json(FlyteFile(made), FlyteFile, context)
            store.settle()  # as the runtime does when all outputs are written
            file = engine.to_python(value, BlobType(), FlyteFile, context)
            if read:
                self.read(file.open("rb"))
            else:
                os.fspath(file)

        return timed(work)

    def streamed(self) -> float:
        context, engine = self.context(Sync.NONE), default_engine()

        def work() -> None:
            with placed(context):
                file = FlyteFile.new_remote_file("made")
                self.write(file.open("wb"))
                value = engine.to_json(file, FlyteFile, context)
            self.read(engine.to_python(value, BlobType(), FlyteFile, context).open("rb"))

        return timed(work)

    def plain(self) -> float:
        made, copy = self.folder / "plain", self.folder / "plain-copy"

        def work() -> None:
            self.write(made.open("wb"))
            subprocess.run(["cp", made, copy], check=True)
            self.read(copy.open("rb"))

        return timed(work)


def timed(work: Callable[[], object]) -> float:
    os.sync()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(rounds: int, size: int = 1024 * MIB) -> list[dict[str, object]]:
    """Return one row for each series: seconds, and the speed relative to `cp` in the same round."""
    series: dict[str, Callable[[Round], float]] = {
        "cp": lambda r: r.cp(sync=False),
        "passed": lambda r: r.passed(Sync.NONE),
        "cp, synced": lambda r: r.cp(sync=True),
        "passed, synced": lambda r: r.passed(Sync.DATA),
        "cp, read": lambda r: r.cp_read(),
        "opened": lambda r: r.passed(Sync.NONE, read=True),
        "plain and cp": lambda r: r.plain(),
        "streamed": lambda r: r.streamed(),
    }
    seconds: dict[str, list[float]] = {name: [] for name in series}
    for _ in range(rounds):
        for name, run in series.items():
            with tempfile.TemporaryDirectory(prefix="ft-bench-files-") as folder:
                seconds[name].append(run(Round(Path(folder), size)))
    found = []
    for name, own in seconds.items():
        against = seconds[_AGAINST.get(name, name)]
        ratio = median(a / b for a, b in zip(against, own, strict=True))
        found.append(
            {
                "shape": f"file-{size // MIB}-MiB",
                "series": name,
                "seconds": round(median(own), 3),
                "ratio": round(ratio, 2),
            }
        )
    return found


def table(found: list[dict[str, object]]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| shape | series | seconds | speed relative to cp |", "|---|---|---|---|"]
    lines += [f"| {r['shape']} | {r['series']} | {r['seconds']} | {r['ratio']} |" for r in found]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=1024)
    options = parser.parse_args()
    rows = measure(options.rounds, options.mib * MIB)
    print(table(rows))
    print(json.dumps(rows))
