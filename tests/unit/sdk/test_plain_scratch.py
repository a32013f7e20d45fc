"""What plain calls leave on the disk: the files that they made, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from flyte_temporal import FlyteFile, task, workflow

@task
def add(n: int) -> int:
    return n + 1

@task
def write(n: int) -> FlyteFile:
    with open("n.txt", "w") as file:
        file.write(str(n))
    return FlyteFile("n.txt")

@workflow
def numbers(n: int) -> int:
    return add(n=add(n=n))

@workflow
def files(n: int) -> FlyteFile:
    return write(n=n)

if __name__ == "__main__":
    import sys
    print({"numbers": numbers, "files": files}[sys.argv[1]](n=1))
"""


def left(tmp_path: Path, *words: str) -> list[str]:
    program, temporary = tmp_path / "program.py", tmp_path / "tmp"
    program.write_text(PROGRAM)
    temporary.mkdir()
    line = [sys.executable, *(word.replace("PROGRAM", str(program)) for word in words)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    subprocess.run(line, check=True, env=environment, cwd=tmp_path, capture_output=True)
    return [path.name for path in temporary.rglob("*") if path.is_file() or path.parent == temporary]


COMMAND = ("-m", "flyte_temporal.cli", "run", "--local", "PROGRAM")


@pytest.mark.parametrize(
    ("numbers", "files"),
    [
        (("PROGRAM", "numbers"), ("PROGRAM", "files")),
        ((*COMMAND, "numbers", "--n", "1"), (*COMMAND, "files", "--n", "1")),
    ],
    ids=["script", "command"],
)
def test_folders_without_files_do_not_stay(
    tmp_path: Path, numbers: tuple[str, ...], files: tuple[str, ...]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert left(tmp_path / "a", *numbers) == []
    assert "n.txt" in left(tmp_path / "b", *files)
