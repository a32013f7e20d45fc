"""Rules of the repository that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "flyte_temporal"
MODULES = sorted(PACKAGE.rglob("*.py"))

READERS_OF_THE_ENVIRONMENT = {
    # The one reader of settings; everybody else is given them.
    "config": "settings come from the environment",
    "faults.py": "a plan of faults reaches every process of a stack by inheritance, and nothing that is handed on",
    # An attempt is a process of its own: it sets the user's variables and hands its own on to its children.
    "runtime": "the environment is a part of what an attempt is",
    "sdk/secrets.py": "secrets reach a task through its environment, by flytekit's rules",
    "adapters/launchers": "an attempt inherits the environment, without our own secrets",
}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "misc"}
INDEX_ADDRESS = re.compile(r"(?:https?|file)://|--(?:extra-)?index-url|--find-links|@ ", re.IGNORECASE)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return done.stdout.splitlines()


def reads_environment(source: str) -> list[int]:
    """Return the lines that touch `os.environ` or `os.getenv`, however `os` was imported."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "putenv"})
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and {alias.name for alias in node.names} & {"environ", "getenv"}
        )
    ]


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_only_config_reads_the_environment(path: Path) -> None:
    place = path.relative_to(PACKAGE).as_posix()
    if not any(place == reader or place.startswith(f"{reader}/") for reader in READERS_OF_THE_ENVIRONMENT):
        assert reads_environment(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source", ["import os\nos.environ['A']", "import os as o\no.getenv('A')", "from os import environ as e"]
)
def test_the_check_sees_every_way_to_the_environment(source: str) -> None:
    assert reads_environment(source)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_module_says_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring is not None
    assert len(docstring) > 20, f"{relative(path)}: {docstring!r} says nothing"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_names_say_what_is_inside(path: Path) -> None:
    names = {part.removesuffix(".py").strip("_") for part in path.relative_to(PACKAGE).parts}
    assert not names & VAGUE_NAMES


def test_no_lock_files_and_nothing_that_was_built() -> None:
    refused = {"uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock", "package-lock.json"}
    bad = [p for p in tracked() if Path(p).name in refused or p.endswith((".pyc", ".whl", ".egg-info"))]
    assert bad == []


def test_constraints_hold_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 50
    for line in pins:
        assert INDEX_ADDRESS.search(line) is None, line
        assert re.fullmatch(r"[a-z0-9.-]+==[\w.+!]+(?: ; .+)?", line), line


def test_every_make_target_of_contributing_exists() -> None:
    named = set(
        re.findall(r"`make ([a-z][a-z0-9.-]*)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    )
    targets = set(
        re.findall(r"^([a-z][a-z0-9%-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    patterns = [t.removesuffix("%") for t in targets if t.endswith("%")]
    assert named
    assert {n for n in named - targets if not any(p and n.startswith(p) for p in patterns)} == set()


def test_links_in_documents_lead_somewhere() -> None:
    broken = [
        f"{relative(document)} -> {target}"
        for document in (
            *ROOT.glob("*.md"),
            *(ROOT / "docs").rglob("*.md"),
            *(ROOT / "examples").rglob("*.md"),
        )
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target) and not (document.parent / target).exists()
    ]
    assert broken == []


def test_entities_of_examples_that_documents_run_exist() -> None:
    named = {
        (relative(document), example, entity)
        for document in (
            ROOT / "README.md",
            *(ROOT / "docs").rglob("*.md"),
            *(ROOT / "examples").rglob("*.md"),
        )
        for example, entity in re.findall(
            r"(examples/[\w/]+\.py) ([a-z]\w+)", document.read_text(encoding="utf-8")
        )
    }
    assert len(named) > 5
    assert [
        each for each in named if f"def {each[2]}(" not in (ROOT / each[1]).read_text(encoding="utf-8")
    ] == []


def test_every_page_is_found_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(([^)#\s]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    pages = {
        relative(page) for folder in ("docs", "docs/operations") for page in (ROOT / folder).glob("*.md")
    }
    assert pages - linked == set()


def test_the_readme_says_where_its_program_is_before_it_calls_it() -> None:
    """`make` installs it into an environment of its own; a newcomer's shell does not know it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    made = re.search(r"^VENV := (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert made is not None
    activated = readme.find(f"\n. {made[1]}/bin/activate")
    assert 0 < activated < readme.find("\nflyte-temporal run")


def test_decisions_are_numbered_without_gaps_and_have_their_parts() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{i:04d}" for i in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert [part for part in ("## Context", "## Choice", "## Cost") if part not in text] == [], page.name


def test_modules_named_in_the_reading_order_exist_and_are_few() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    order = text.partition("## In which order to read the code")[2]
    paths = re.findall(r"`((?:flyte_temporal|examples)/[\w/.]+\.py)`", order)
    assert len(paths) >= 10
    lines = sum(len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in paths)
    assert 1000 <= lines <= 2800
