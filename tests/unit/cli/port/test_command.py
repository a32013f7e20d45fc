"""`flyte-temporal port`: which files, what is written, what is printed, and the exit code."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from flyte_temporal.cli import program
from flyte_temporal.cli.port.command import PortOptions, port
from flyte_temporal.cli.port.files import python_files
from flyte_temporal.cli.port.lookup import Lookup
from tests.unit.cli.scripted import Screen, new_screen

LOOKUP = Lookup()
OLD = "from flytekit import task\n\n\n@task(retries=1)\ndef f() -> int:\n    return 1\n"
NEW = OLD.replace("flytekit", "flyte_temporal").replace("\n\n\n@", '\n\n__retry_on__ = "recoverable"\n\n\n@')


def run(
    *paths: Path, json_: bool = False, check: bool = False, diff: bool = False, quiet: bool = False
) -> tuple[int, Screen]:
    screen = new_screen()
    screen.output.format = "json" if json_ else "text"
    return port(screen.output, paths, PortOptions(check, diff, quiet), LOOKUP), screen


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with files to port, one that cannot be, and some that are none of our business."""
    (tmp_path / "good.py").write_text(OLD)
    (tmp_path / "lacks.py").write_text("from flytekit import FlyteRemote\n")
    (tmp_path / "plain.py").write_text("x = 1\n")
    (tmp_path / "notes.txt").write_text("import flytekit\n")
    for folder in ("pkg", ".hidden", "env", "__pycache__"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mod.py").write_text("import flytekit\n")
    (tmp_path / "env" / "pyvenv.cfg").touch()
    return tmp_path


def test_a_folder_is_ported_but_for_what_cannot_be(tree: Path) -> None:
    code, screen = run(tree)
    assert code == 1
    assert (tree / "good.py").read_text() == NEW
    assert (tree / "pkg" / "mod.py").read_text() == "import flyte_temporal\n"
    assert (tree / "lacks.py").read_text() == "from flytekit import FlyteRemote\n"
    for untouched in (".hidden", "env", "__pycache__"):
        assert (tree / untouched / "mod.py").read_text() == "import flytekit\n"
    assert screen.stdout.splitlines() == [f"ported: {tree}/good.py", f"ported: {tree}/pkg/mod.py"]
    assert (
        f"{tree}/lacks.py:1: flyte_temporal has no flytekit.FlyteRemote. Use flyte_temporal.client"
        in screen.stderr
    )
    assert 'note: The line __retry_on__ = "recoverable" keeps' in screen.stderr
    assert screen.stderr.splitlines()[-1] == "2 files ported, 1 file left as it is, 1 with nothing to port."


def test_a_second_run_changes_nothing(tree: Path) -> None:
    (tree / "lacks.py").unlink()
    assert run(tree)[0] == 0
    code, screen = run(tree, check=True)
    assert (code, screen.stdout) == (0, "")


@pytest.mark.parametrize(("check", "diff", "expected"), [(True, False, 1), (False, True, 0), (True, True, 1)])
def test_check_and_diff_write_nothing(tree: Path, check: bool, diff: bool, expected: int) -> None:
    file = tree / "good.py"
    code, screen = run(file, check=check, diff=diff)
    assert code == expected
    assert file.read_text() == OLD
    if diff:
        assert screen.stdout.splitlines()[:5] == [
            f"--- {file}", f"+++ {file}", "@@ -1,4 +1,6 @@", "-from flytekit import task", "+from flyte_temporal import task",
        ]  # fmt: skip
    else:
        assert screen.stdout == f"would change: {file}\n"


def test_json_is_one_document(tree: Path) -> None:
    code, screen = run(tree / "good.py", tree / "lacks.py", json_=True, diff=True)
    good, lacks = json.loads(screen.stdout)["files"]
    assert code == 1
    assert (good["status"], len(good["notes"]), good["problems"]) == ("would change", 1, [])
    assert good["diff"].startswith("--- ")
    assert lacks["status"] == "failed"
    assert lacks["problems"] == [
        {"line": 1, "name": "flytekit.FlyteRemote", "message": "Use flyte_temporal.client.Client."}
    ]


def test_quiet_hides_notes(tree: Path) -> None:
    assert "note:" not in run(tree / "good.py", quiet=True)[1].stderr


def test_mode_and_links_are_kept(tree: Path) -> None:
    file, link = tree / "good.py", tree / "link.py"
    file.chmod(0o750)
    link.symlink_to(file)
    assert run(link)[0] == 0
    assert link.is_symlink()
    assert file.read_text() == NEW
    assert stat.S_IMODE(file.stat().st_mode) == 0o750
    assert [p.name for p in tree.iterdir() if p.name.startswith(".good")] == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_file_that_cannot_be_written_is_told(tree: Path) -> None:
    (tree / "good.py").chmod(0o444)
    code, screen = run(tree / "good.py")
    assert code == 1
    assert "good.py: left as it is:" in screen.stderr


def test_a_file_that_is_reached_twice_is_ported_once(tree: Path) -> None:
    (tree / "loop").symlink_to(tree)
    files = python_files([tree / "good.py", tree, tree / "pkg" / ".." / "good.py"])
    assert sorted(str(f.relative_to(tree)) for f in files) == [
        "good.py",
        "lacks.py",
        "pkg/mod.py",
        "plain.py",
    ]


def test_a_path_that_is_not_there_is_bad_usage(tmp_path: Path) -> None:
    screen = new_screen()
    assert program.run(["port", str(tmp_path / "none")], screen.output) == 2
    assert "There is no file or folder" in screen.stderr


def test_without_libcst_the_message_has_the_remedy(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("flyte_temporal.cli.port.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "libcst", None)
    screen = new_screen()
    assert program.run(["port", str(tree / "good.py")], screen.output) == 2
    assert "Run 'pip install \"flyte-temporal[port]\"'." in screen.stderr
    assert (tree / "good.py").read_text() == OLD
