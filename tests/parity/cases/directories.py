"""Directories: made, listed in part, streamed, changed, passed through, nested in records."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel

from flyte_temporal import BatchSize, FlyteDirectory, FlyteFile, current_context, task, workflow


@task
def make(files: int) -> FlyteDirectory:
    root = Path(current_context().working_directory) / "made"
    (root / "empty").mkdir(parents=True)
    (root / "sub" / "süb").mkdir(parents=True)
    for number in range(files):
        (root / "sub" / f"{number}.txt").write_text(f"file {number}", encoding="utf-8")
    (root / ".hidden").write_text("hidden", encoding="utf-8")
    script = root / "sub" / "süb" / "run.sh"
    script.write_text("#!/bin/sh\necho run\n", encoding="utf-8")
    script.chmod(0o755)
    (root / "link").symlink_to("sub/0.txt")
    return FlyteDirectory(root)


@task
def described(directory: Annotated[FlyteDirectory, BatchSize(4)]) -> list[str]:
    """All of it, from a local copy."""
    root = Path(directory)
    found = [
        f"{path.relative_to(root)}{'/' if path.is_dir() else ''}{'*' if os.access(path, os.X_OK) and path.is_file() else ''}"
        for path in root.rglob("*")
    ]
    return [directory.name, *sorted(found)]


@task
def some(directory: FlyteDirectory) -> list[str]:
    """Parts of it, without a copy of the whole."""
    names = [f"{type(part).__name__} {part.name}" for part in FlyteDirectory.listdir(directory)]
    paths = [path for _, path in directory.crawl()]
    top = [path for _, path in directory.crawl(maxdepth=1)]
    file = directory.part("sub/1.txt")
    assert isinstance(file, FlyteFile)
    with file.open("r", encoding="utf-8") as stream:
        content = stream.read()
    assert not directory.downloaded
    return [*names, *paths, str(len(top)), content]


@task
def sub(directory: FlyteDirectory) -> FlyteDirectory:
    (found,) = [part for part in FlyteDirectory.listdir(directory) if part.name == "sub"]
    assert isinstance(found, FlyteDirectory)
    return found


@task
def change(directory: FlyteDirectory) -> FlyteDirectory:
    root = Path(directory.download())
    (root / "new.txt").write_text("new", encoding="utf-8")
    (root / ".hidden").unlink()
    return directory


@task
def streamed() -> FlyteDirectory:
    directory = FlyteDirectory.new_remote("shards")
    for number in range(3):
        with directory.new_file(f"{number}.csv").open("w") as stream:
            stream.write(f"{number}\n")
    with directory.new_dir("inner").new_file("deep.txt").open("wb") as stream:
        stream.write(b"deep")
    directory.new_dir("nothing")
    return directory


@task
def leads_out() -> FlyteDirectory:
    root = Path(current_context().working_directory) / "bad"
    root.mkdir()
    (root / "passwords").symlink_to("/etc/passwd")
    return FlyteDirectory(root)


@dataclass
class Report:
    title: str
    pages: FlyteDirectory
    cover: FlyteFile
    extra: FlyteDirectory | None = None


class Model(BaseModel):
    weights: dict[str, FlyteDirectory]
    notes: list[FlyteFile]


@task
def report(pages: FlyteDirectory) -> tuple[Report, Model]:
    cover = FlyteFile.new("cover.txt")
    with cover.open("w") as stream:
        stream.write("cover")
    return Report("r", pages, cover), Model(weights={"a": pages}, notes=[cover])


@task
def read_report(report: Report, model: Model) -> list[str]:
    assert report.extra is None
    return [
        report.title,
        Path(report.cover).read_text(encoding="utf-8"),
        model.notes[0].name,
        *sorted(os.listdir(model.weights["a"])),  # noqa: PTH208 - as users write it
        str(sum(1 for _ in report.pages.crawl())),
    ]


@workflow
def whole(files: int) -> list[str]:
    return described(directory=make(files=files))


@workflow
def parts(files: int) -> tuple[list[str], list[str]]:
    made = make(files=files)
    return some(directory=made), described(directory=sub(directory=made))


@workflow
def changed(files: int) -> tuple[list[str], list[str]]:
    made = make(files=files)
    new = change(directory=made)
    return described(directory=made), described(directory=new)


@workflow
def written() -> list[str]:
    return described(directory=streamed())


@workflow
def nested(files: int) -> list[str]:
    first, second = report(pages=make(files=files))
    return read_report(report=first, model=second)


@workflow
def given(directory: FlyteDirectory) -> list[str]:
    return described(directory=directory)


@workflow
def refused() -> FlyteDirectory:
    return leads_out()
