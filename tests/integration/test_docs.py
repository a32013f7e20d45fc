"""The examples of the documentation are run, and print what the pages say; see `pages` for how they are marked."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import Done
from tests.e2e.forking import ForkedCommand, Forks, forked
from tests.integration.pages import Block, Step, blocks, differs, read, steps

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "operations").glob("*.md")),
]
WITHOUT_EXAMPLE = {
    "api",
    "architecture",
    "glossary",
    "performance",
    "plugins",
    "upgrades",
    "faults",
    "kubernetes-cluster",
    "production",
}
"""Pages that are about no construct; the example of the page on plug-ins is run by `test_plugin_example`."""
TIMEOUT_S = 120.0


class Reader:
    """Somebody who follows a page, in a folder of their own, as a project of a stack that all readers share.

    Args:
        forks: Runs `flyte-temporal`; `python` is a process of its own.
        home: The stack's home.
        folder: A folder for the page.
        project: A name for the page.
    """

    def __init__(self, forks: Forks, home: Path, folder: Path, project: str) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self._forks = forks
        mine = {k: v for k, v in os.environ.items() if not k.startswith("FLYTE_TEMPORAL_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{mine.get('PATH', '')}"
        self._environment = {
            **mine,
            "FLYTE_TEMPORAL_HOME": str(home),
            "FLYTE_TEMPORAL_PROJECT": project,
            "COLUMNS": "120",
            "PATH": path,
        }

    def follow(self, step: Step) -> None:
        for name, text in step.files.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        printed = "".join(self.run(words, code) for words, code in step.commands)
        if step.expected is not None:
            difference = differs(step.expected, printed)
            assert not difference, f"line {step.expected.line}: {difference}"

    def run(self, words: list[str], code: int) -> str:
        """Run a line and return what it prints on standard output."""
        if words[0] == "flyte-temporal":
            done = self._forks.run(words[1:], self._environment, self.folder)
        else:
            assert words[0] == "python", words
            done = self._python(words[1:])
        assert done.code == code, f"{words}\nstdout: {done.stdout}\nstderr: {done.stderr}"
        return done.stdout

    def _python(self, words: list[str]) -> Done:
        done = subprocess.run(
            [sys.executable, *words],
            env=self._environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedCommand]:
    with forked(tmp_path_factory.mktemp("home") / "h") as command:
        yield command
        command("down", expect=None)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if steps(read(page))], ids=lambda page: page.stem)
def test_the_examples_of_a_page_do_what_it_says(stack: ForkedCommand, page: Path, tmp_path: Path) -> None:
    assert stack.forks is not None
    reader = Reader(stack.forks, stack.home, tmp_path, page.stem.lower())
    for step in steps(read(page)):
        reader.follow(step)


# Signatures, which api.md is made of, are no programs.
@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "api"], ids=lambda page: page.stem)
def test_every_python_block_is_python(page: Path) -> None:
    for block in blocks(read(page)):
        if block.language in {"python", "py"}:
            ast.parse(block.text, f"{page.name}:{block.line}")


def test_every_page_about_a_construct_has_an_example_that_is_run() -> None:
    lacking = [
        page.name
        for page in PAGES
        if page.stem not in WITHOUT_EXAMPLE and not any(step.commands for step in steps(read(page)))
    ]
    assert lacking == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", read(page))
    assert [target for target in targets if not (page.parent / target).exists()] == []


PAGE = """
```sh
make demo
```
```python
# file: a.py
x = 1
```
```json file=in.json
{}
```
```sh
flyte-temporal run a.py  # a comment
flyte-temporal run \\
  b.py --t "x # y"  # exits 2
```

```text
a … b
```
"""


def test_a_page_is_taken_apart() -> None:
    (step,) = steps(PAGE)
    assert step.files == {"a.py": "# file: a.py\nx = 1\n", "in.json": "{}\n"}
    assert step.commands == [
        (["flyte-temporal", "run", "a.py"], 0),
        (["flyte-temporal", "run", "b.py", "--t", "x # y"], 2),
    ]
    assert step.expected is not None
    assert (step.expected.text, step.expected.line) == ("a … b\n", 18)


@pytest.mark.parametrize(
    ("language", "stated", "printed", "same"),
    [
        ("text", "a … b\n", "a x y b  \n\n", True),
        ("text", "a … b\n", "a x y c\n", False),
        ("text", "a.b", "axb", False),
        ("text", "a", "a b", False),
        ("json", '{"id": "…", "n": 1}', '{"n": 1, "id": null}', True),
        ("json", '{"id": "local-…"}', '{"id": "local-12"}', True),
        ("json", '{"id": "local-…"}', '{"id": "remote-12"}', False),
        ("json", '{"n": 1}', '{"n": 1.0}', False),
        ("json", '{"n": [1]}', '{"n": [1, 2]}', False),
        ("json", '{"n": 1}', '{"n": 1, "m": 2}', False),
    ],
)
def test_what_is_printed_is_compared(language: str, stated: str, printed: str, same: bool) -> None:
    assert (differs(Block(1, language, stated, "", True), printed) == "") is same
