"""What looks like a question about a promise and is none: right programs that must stay right.

Programs are text, because a type checker knows better than Python what these questions would be answered.
The wrong ones are in tests/unit/compiler/bad_programs.toml.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flyte_temporal import task, workflow
from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.loader import load_file
from flyte_temporal.sdk.workflows import PythonFunctionWorkflow

PRELUDE = """
import functools
from typing import NamedTuple
from flyte_temporal import create_node, task, workflow
FLAG = None
class Pair(NamedTuple):
    left: int
    right: int
@task
def one(n: int | None = None) -> int: return n or 1
@task
def pair() -> Pair: return Pair(1, 2)
def choose(): return None
def given_none(body):
    @functools.wraps(body)
    def call(n: int) -> int: return body(None)
    return call
@workflow
"""

RIGHT = {
    "values of the module and of plain calls": """
def wf() -> int:
    local = choose()
    if FLAG is None and local is None and isinstance(FLAG, type(None)):
        return one()
    return one(one())
""",
    "a name that sometimes holds a promise": """
def wf() -> int:
    last = None
    for _ in range(1):
        last = one() if last is None else one(one())
    return last
""",
    "a parameter that is bound anew": """
def wf(n: int) -> int:
    n = choose()
    return one() if n is None else one(one())
""",
    "a name that a comprehension binds too": """
def wf(n: int) -> int:
    return one() if [n for n in (None, 1) if n is None] else one(one())
""",
    "a name that a lambda binds too": """
def wf(n: int) -> int:
    absent = lambda n: n is None
    return one() if absent(None) else one(one())
""",
    "a name that a function binds too": """
def wf(n: int) -> int:
    def absent(n): return n is None
    return one() if absent(None) else one(one())
""",
    "a name that a pattern binds too": """
def wf(n: int) -> int:
    match FLAG:
        case n if n is None:
            return one()
    return one(one())
""",
    "a builtin that is something else here": """
def wf(n: int) -> int:
    isinstance = lambda a, b: True
    return one() if isinstance(n, int) else one(one())
""",
    "a comparison of two promises": """
def wf(n: int) -> int:
    other = n
    return one() if n is other else one(one())
""",
    "parts of a node that are no values": """
def wf() -> int:
    node = create_node(one)
    assert node.outputs is not None
    assert isinstance(node.with_overrides, object)
    return node.o0
""",
    "a decorator that gives the body a plain value": """
@given_none
def wf(n: int) -> int:
    return one() if n is None else one(one())
""",
}

WRONG = {
    "made is None": "made = one().with_overrides(retries=1)\n    return one() if made is None else made",
    "left is None": "left, _ = pair()\n    return one() if left is None else left",
    "None is left": "left = pair()[0]\n    return one() if None is left else left",
    "(made := one()) is None": "return one() if (made := one()) is None else made",
}


def loaded(body: str, folder: Path) -> PythonFunctionWorkflow[..., Any]:
    file = folder / "branches_program.py"
    file.write_text(PRELUDE + body.lstrip())
    found: PythonFunctionWorkflow[..., Any] = load_file(file).wf
    return found


@pytest.mark.parametrize("body", RIGHT.values(), ids=RIGHT.keys())
def test_a_plain_value_may_be_asked(body: str, tmp_path: Path) -> None:
    assert len(loaded(body, tmp_path).record().nodes) == 1


@pytest.mark.parametrize("question", WRONG)
def test_a_promise_that_came_a_longer_way_is_refused(question: str, tmp_path: Path) -> None:
    wrong = loaded(f"def wf() -> int:\n    {WRONG[question]}\n", tmp_path)
    with pytest.raises(CompileError) as caught:
        wrong.record()
    assert f"`{question}` is decided while the workflow is compiled" in caught.value.message


def test_a_body_without_source_is_not_looked_at() -> None:
    @task
    def one() -> int:
        return 1

    namespace: dict[str, Any] = {"one": one}
    exec("def body(n: int) -> int:\n    return one() if n is None else n", namespace)
    assert workflow(namespace["body"]).record().nodes == ()
