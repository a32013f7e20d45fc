"""The life of unpacked bundles: held, used, swept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flyte_temporal.storage import unpacked
from flyte_temporal.storage.sealing import seal

DAY_S = 24 * 3600


def bundle(cache: Path, digit: str, age_days: float) -> Path:
    folder = cache / (digit * 64)
    (folder / "package").mkdir(parents=True)
    (folder / "package" / "code.py").write_text("x = 1")
    seal(folder)
    age(folder, age_days)
    return folder


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY_S
    os.utime(path, (then, then))


def test_what_nobody_used_for_a_week_is_removed(tmp_path: Path) -> None:
    old, young = bundle(tmp_path, "a", 7.1), bundle(tmp_path, "b", 6.9)
    unfinished = tmp_path / ".tmp-1-ab"
    unfinished.mkdir()
    age(unfinished, 2)
    for name in ("archives", "trees", ".tmp-2-ab"):
        (tmp_path / name).mkdir()
    age(tmp_path / "archives", 100)
    unpacked.sweep(tmp_path)
    assert not old.exists()
    assert young.is_dir()
    assert {p.name for p in tmp_path.iterdir()} == {young.name, "archives", "trees", ".tmp-2-ab"}


def test_a_use_is_noted(tmp_path: Path) -> None:
    folder = bundle(tmp_path, "a", 30)
    assert unpacked.hold(folder)
    assert time.time() - folder.stat().st_mtime < 60
    assert not unpacked.hold(tmp_path / "missing")


def test_what_a_process_holds_stays_until_the_process_is_gone(tmp_path: Path) -> None:
    folder = bundle(tmp_path, "a", 30)
    program = (
        "import sys; from pathlib import Path; from flyte_temporal.storage.unpacked import hold\n"
        "assert hold(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        age(folder, 30)
        unpacked.sweep(tmp_path)
        assert (folder / "package" / "code.py").is_file()
        holder.communicate()
    unpacked.sweep(tmp_path)
    assert not folder.exists()


def test_a_bundle_that_was_removed_by_hand_is_held_anew(tmp_path: Path) -> None:
    folder = bundle(tmp_path, "a", 0)
    assert unpacked.hold(folder)
    folder.rename(tmp_path / "elsewhere")
    assert not unpacked.hold(folder)
    bundle(tmp_path, "a", 30)
    assert unpacked.hold(folder)
    age(folder, 30)
    unpacked.sweep(tmp_path)
    assert folder.is_dir()


def test_a_bundle_that_cannot_be_moved_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bundle(tmp_path, "a", 30)

    def refuse(_self: Path, _target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "rename", refuse)
    unpacked.sweep(tmp_path)
    assert (folder / "package" / "code.py").is_file()
