"""Files: by path, streamed, pinned, passed through, changed, of a format, open as an input."""

import os
import tempfile
from pathlib import Path
from typing import BinaryIO, TextIO

from flyte_temporal import CSVFile, FlyteFile, current_context, task, workflow


@task
def by_path(text: str) -> FlyteFile:
    file = FlyteFile.new("out.txt")
    with file.open("w", encoding="utf-8") as stream:
        stream.write(text)
    return file


@task
def elsewhere(text: str) -> os.PathLike:  # type: ignore[type-arg]
    """A file outside of the task's own folder is uploaded too."""
    path = Path(tempfile.mkdtemp()) / "outside.txt"
    path.write_text(text, encoding="utf-8")
    return path


@task
def as_text(text: str) -> FlyteFile:
    path = Path(current_context().working_directory) / "a b é.txt"
    path.write_text(text, encoding="utf-8")
    return str(path)  # type: ignore[return-value]


@task
def streamed(lines: int) -> CSVFile:
    file = CSVFile.new_remote_file("table.csv")
    with file.open("w", encoding="utf-8") as stream:
        for number in range(lines):
            stream.write(f"{number},é\n")
    return file


@task
def unclosed() -> FlyteFile:
    file = FlyteFile.new_remote_file("open.txt")
    unclosed.stream = file.open("w")
    return file


@task
def unwritten() -> FlyteFile:
    file = FlyteFile.new_remote_file("nothing.txt")
    try:
        with file.open("w") as stream:
            stream.write("half")
            raise KeyError("half-way")  # noqa: TRY301 - what happens to the half file
    except KeyError:
        pass
    return file


@task
def pass_on(file: FlyteFile) -> FlyteFile:
    return file


@task
def append(file: FlyteFile) -> FlyteFile:
    with Path(file.download()).open("a", encoding="utf-8") as copy:
        copy.write("more")
    return file


@task
def count(file: CSVFile) -> tuple[int, str, str]:
    with file.open("r", encoding="utf-8") as stream:
        first = stream.readline()
        rest = sum(1 for _ in stream)
    assert not file.downloaded
    return rest + 1, first.strip(), file.name


@task
def open_streams(text: TextIO, data: BinaryIO) -> str:
    return text.read().upper() + str(len(data.read()))


@task
def pinned(folder: str) -> FlyteFile:
    path = Path(current_context().working_directory) / "result.txt"
    path.write_text("pinned", encoding="utf-8")
    return FlyteFile(path, remote_path=f"{folder}/deep/pinned.txt")


@task
def read_pinned(file: FlyteFile, folder: str) -> str:
    assert Path(f"{folder}/deep/pinned.txt").read_text(encoding="utf-8") == "pinned"
    return Path(file).read_text(encoding="utf-8")


@task
def missing() -> FlyteFile:
    return FlyteFile("no-such-file.txt")


@workflow
def paths(text: str) -> tuple[FlyteFile, os.PathLike, FlyteFile, FlyteFile, FlyteFile]:  # type: ignore[type-arg]
    first = by_path(text=text)
    return first, elsewhere(text=text), as_text(text=text), pass_on(file=first), append(file=first)


@workflow
def streams(lines: int) -> tuple[int, str, str]:
    return count(file=streamed(lines=lines))


@workflow
def inputs(file: FlyteFile, csv: CSVFile) -> tuple[FlyteFile, int, str, str, str]:
    lines, first, name = count(file=csv)
    return pass_on(file=file), lines, first, name, open_streams(text=file, data=csv)  # type: ignore[arg-type]


@workflow
def pinning(folder: str) -> str:
    return read_pinned(file=pinned(folder=folder), folder=folder)


@workflow
def forgotten() -> FlyteFile:
    return unclosed()


@workflow
def broken() -> FlyteFile:
    return unwritten()


@workflow
def lost() -> FlyteFile:
    return missing()
