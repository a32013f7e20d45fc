"""What a task prints appears on the output of its container too."""

from __future__ import annotations

import os
import time
from pathlib import Path

from flyte_temporal.runtime.echo import Echo


def test_a_file_that_grows_is_copied_to_its_end(tmp_path: Path) -> None:
    log, copy = tmp_path / "log", tmp_path / "copy"
    target = os.open(copy, os.O_WRONLY | os.O_CREAT)
    echo = Echo(log, target)
    echo.start()
    log.write_bytes(b"first\n")
    end = time.monotonic() + 10
    while copy.read_bytes() != b"first\n":
        assert time.monotonic() < end
        time.sleep(0.01)
    with log.open("ab") as file:
        file.write(b"x" * 200_000 + b"last\n")
    echo.end()
    os.close(target)
    assert copy.read_bytes() == log.read_bytes()


def test_a_reader_that_is_gone_harms_nothing(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    (tmp_path / "log").write_bytes(b"text")
    echo = Echo(tmp_path / "log", writing)
    echo.start()
    echo.end()
    os.close(writing)
