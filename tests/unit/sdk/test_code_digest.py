"""What is in the version of a cache that is computed, and what is not."""

from __future__ import annotations

import copy
import importlib
import itertools
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from flyte_temporal.sdk.code_digest import _constant, code_digest
from flyte_temporal.sdk.gather import compile_entity
from flyte_temporal.sdk.loader import find_entity, load_file

PROGRAM = """
from flyte_temporal import Cache, dynamic, task, workflow
import functools, sys
import helpers
from helpers import Model, shared
import math

FACTOR = 2
NAMES = {"a": [1, 2]}
MODEL = Model()

def local(x):
    return deeper(x) * FACTOR

def deeper(x):
    return x + 1

def unrelated(x):
    return x

@task(cache=True)
def fit(x: int = 1) -> int:
    return local(x) + helpers.attribute(x) + shared(x) + len(NAMES) + MODEL.predict(x) + int(math.sqrt(x))

@task(cache=Cache())
def lazy(x: int) -> int:
    from late import value
    return value(x)

each = lambda xs, less=11: sum(helpers.attribute(x) * 12 + unrelated(x) - less for x in xs)

def times(by):
    def timed(x):
        return x * by
    return timed

def minus(x, y):
    return x - y

@functools.cache
def kept(x):
    return x + 13

OPS = {"text": ["plain", 14], "minus": [minus], "more": lambda x: x + 15, "less": lambda x: x - 16, "model": MODEL}
OPS = {**OPS, "six": times(6), "seven": times(17), "part": functools.partial(minus, y=18), "own": fit}
OPS["all"] = OPS
MAYBE = [object(), "of no account"]

@task(cache=True)
def calc(x: int) -> int:
    return each([x]) + OPS["minus"](x) + kept(x) + len(MAYBE) + len(sys.modules)

@workflow
def wf(x: int = 1) -> int:
    return fit(x=x)
"""
HELPERS = """
class Base:
    def scale(self, x):
        return x

class Model(Base):
    def predict(self, x):
        return self.scale(x) * 3

def attribute(x):
    return x

def shared(x):
    return inner(x)

def inner(x):
    return x - 1

def unused(x):
    return x
"""
LATE = "def value(x):\n    return x\n"
FAILS = "raise RuntimeError('Imported only to be looked at.')\n"

_names = itertools.count()
Versions = Callable[..., str]


@pytest.fixture
def version(tmp_path: Path) -> Iterator[Versions]:
    """Return the version that a program gets, whose files were changed by replacing texts."""
    loaded: list[str] = []

    def of(*changes: tuple[str, str], task: str = "fit") -> str:
        folder = tmp_path / f"v{next(_names)}"
        folder.mkdir()
        for name, text in (("program", PROGRAM), ("helpers", HELPERS), ("late", LATE)):
            written = text
            for old, new in changes:
                written = written.replace(old, new)
            (folder / f"{name}.py").write_text(textwrap.dedent(written))
        for name in ("program", "helpers", "late"):
            sys.modules.pop(name, None)
        loaded.append(str(folder))
        importlib.invalidate_caches()
        sys.path[:] = [p for p in sys.path if p not in loaded]
        entity = find_entity(load_file(folder / "program.py"), task)
        return compile_entity(entity).tasks[f"program.{task}"].policy.cache.version

    yield of
    sys.path[:] = [p for p in sys.path if p not in loaded]
    for name in ("program", "helpers", "late"):
        sys.modules.pop(name, None)


def test_the_same_code_in_another_folder_has_the_same_version(version: Versions) -> None:
    assert version() == version()
    assert version().startswith("auto-")
    here = ("FACTOR = 2", "from pathlib import Path\nHERE = Path(__file__).parent\nFACTOR = 2")
    uses = ("return deeper(x) * FACTOR", "return deeper(x) * FACTOR * len(HERE.parts)")
    assert version(here, uses) == version(here, uses) != version()
    deeper = (here[0], here[1].replace("__file__).parent", '__file__).parent / "data"'))
    assert version(deeper, uses) != version(here, uses)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    return local(x) +", "    # a remark\n\n    return (local(x)\n        ) +"),
        ("def deeper(x):\n", 'def deeper(x):\n    """What it does."""\n'),
        ("def unrelated(x):\n    return x", "def unrelated(x):\n    return x + 1"),
        ("def unused(x):\n    return x", "def unused(x):\n    return x + 1"),
        ("@task(cache=True)", "@task(cache=True, retries=3)"),
        ("import math\n", "import math\nimport os\n"),
    ],
    ids=["layout", "docstring", "another function", "unused helper", "options", "an import"],
)
def test_what_does_not_matter_changes_nothing(version: Versions, old: str, new: str) -> None:
    assert version((old, new)) == version()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return local(x) +", "return 1 + local(x) +"),
        ("x: int = 1) -> int:\n    return local", "x: int = 2) -> int:\n    return local"),
        ("return deeper(x) * FACTOR", "return deeper(x) - FACTOR"),
        ("def deeper(x):\n    return x + 1", "def deeper(x):\n    return x + 2"),
        ("FACTOR = 2", "FACTOR = 3"),
        ('{"a": [1, 2]}', '{"a": [1, 3]}'),
        ("def attribute(x):\n    return x", "def attribute(x):\n    return -x"),
        ("return x - 1", "return x - 2"),
        ("* 3", "* 4"),
        ("def scale(self, x):\n        return x", "def scale(self, x):\n        return x + 5"),
        ("@task(cache=True)", '@task(cache=True, environment={"A": "b"})'),
        ("@task(cache=True)", '@task(cache=True, container_image="other:1")'),
    ],
    ids=[
        "body", "default", "called", "called by called", "constant", "collection", "attribute of a module",
        "called in another file", "method of an instance", "method of a base", "variables", "image",
    ],
)  # fmt: skip
def test_what_matters_changes_it(version: Versions, old: str, new: str) -> None:
    assert version((old, new)) != version()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("* 12", "* 22"),
        ("less=11", "less=21"),
        ("def unrelated(x):\n    return x", "def unrelated(x):\n    return x + 1"),
        ("def attribute(x):\n    return x", "def attribute(x):\n    return -x"),
        ('["plain", 14]', '["plain", 24]'),
        ("return x - y", "return y - x"),
        ("x + 15", "x + 25"),
        ("x - 16", "x - 26"),
        ('x + 15, "less": lambda x: x - 16', 'x - 16, "less": lambda x: x + 15'),
        ("* 3", "* 4"),
        ("x * by", "x / by"),
        ("times(17)", "times(27)"),
        ("y=18", "y=28"),
        ("def deeper(x):\n    return x + 1", "def deeper(x):\n    return x + 2"),
        ("x + 13", "x + 23"),
    ],
    ids=[
        "generator in a lambda", "default of a lambda", "called in a lambda", "attribute of a module in a lambda",
        "plain data beside a function", "function in a list", "lambda", "second lambda", "lambdas that change places",
        "class of an instance", "what a closure does", "what the second closure holds", "partial",
        "called by a task", "function with kept results",
    ],
)  # fmt: skip
def test_code_in_lambdas_and_containers_changes_it(version: Versions, old: str, new: str) -> None:
    assert version((old, new), task="calc") != version(task="calc")


def test_a_container_without_code_that_counts_says_nothing(
    version: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = version(task="calc")
    assert version(("of no account", "of some account"), task="calc") == before
    monkeypatch.setitem(sys.modules, "one_more", sys)
    assert version(task="calc") == before


def test_a_module_that_is_imported_in_the_body_counts_as_a_whole(version: Versions) -> None:
    before = version(task="lazy")
    assert version(("def value(x):\n    return x", "def value(x):\n    return -x"), task="lazy") != before


@pytest.mark.parametrize(
    ("statement", "others"),
    [
        ("from parts import late", {"__init__": FAILS}),
        ("from parts import late", {}),
        ("from parts.deep import late", {"__init__": FAILS, "deep/__init__": FAILS}),
        ("from parts.deep import late", {"__init__": "", "deep/late": LATE}),
        ("from parts.deep import late", {"deep/late": LATE}),
        ("from . import late", {"__init__": ""}),
        ("from .deep import late", {"__init__": "", "deep/late": LATE}),
    ],
    ids=["package", "folder", "deep", "folder in package", "folder in folder", "relative", "relative folder"],
)
def test_modules_that_a_body_imports_by_name_from_a_package_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, others: dict[str, str]
) -> None:
    def digest(late: str) -> str:
        folder = tmp_path / f"v{next(_names)}"
        where = "deep/late" if "deep" in statement else "late"
        program = f"def use(x):\n    {statement}\n    return late.value(x)\n"
        for name, text in {**others, where: late, "program": program}.items():
            file = folder / "parts" / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (folder / "program.py").write_text(program)
        for name in [each for each in sys.modules if each.split(".")[0] in {"parts", "program"}]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        with monkeypatch.context() as path:
            path.syspath_prepend(folder)
            program_of = "parts.program" if "from ." in statement else "program"
            return code_digest(importlib.import_module(program_of).use)

    before = digest(LATE)
    assert digest(LATE + "# a remark\n") == before
    assert digest(LATE.replace("return x", "return -x")) != before


def test_policies_make_the_version(version: Versions) -> None:
    policies = (
        "@task(cache=True)",
        """class P:
    def get_version(self, salt, params):
        return salt + params.func.__name__

@task(cache=Cache(policies=[P()], salt='s'))""",
    )
    assert len(version(policies)) == 64
    assert version(policies, ("return local(x) +", "return 1 + local(x) +")) == version(policies)
    assert version(policies, ("salt='s'", "salt='t'")) != version(policies)


def test_a_node_may_have_a_version_of_its_own(tmp_path: Path, version: Versions) -> None:
    del tmp_path
    version(("return fit(x=x)", "return fit(x=x).with_overrides(cache=True, cache_version='7')"))
    closure = compile_entity(find_entity(sys.modules["program"], "wf"))
    overrides = closure.workflows["program.wf"].nodes[0].overrides
    assert overrides is not None
    assert overrides.cache is not None
    assert overrides.cache.version == "7"
    version(("return fit(x=x)", "return fit(x=x).with_overrides(cache=Cache())"))
    closure = compile_entity(find_entity(sys.modules["program"], "wf"))
    overrides = closure.workflows["program.wf"].nodes[0].overrides
    assert overrides is not None
    assert overrides.cache == closure.tasks["program.fit"].policy.cache


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Decimal("0.2"), Decimal("0.3")),
        ({"rate": Fraction(1, 2)}, {"rate": Fraction(1, 3)}),
        (timedelta(days=1), timedelta(days=2)),
        ([date(2026, 1, 1)], [date(2026, 1, 2)]),
        (range(3), range(4)),
        (PurePosixPath("a"), PurePosixPath("b")),
        (re.compile("a"), re.compile("a", re.IGNORECASE)),
        (np.float64(0.5), np.float64(0.25)),
    ],
)
def test_constants_that_are_no_plain_scalars_count(old: object, new: object) -> None:
    assert _constant(old) is not None
    assert _constant(old) == _constant(copy.deepcopy(old))
    assert _constant(old) != _constant(new)
