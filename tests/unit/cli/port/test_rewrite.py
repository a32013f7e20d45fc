"""Each source of the corpus becomes what stands beside it, and nothing but names changes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from flyte_temporal.cli.port.lookup import Lookup
from flyte_temporal.cli.port.rewrite import Ported, port_source

CORPUS = Path(__file__).with_name("corpus")
LOOKUP = Lookup()


def port(text: str) -> Ported:
    return port_source(text.encode(), LOOKUP)


@pytest.mark.parametrize("before", sorted(CORPUS.glob("*.before.txt")), ids=lambda path: path.name[:-11])
def test_the_corpus(before: Path) -> None:
    after = before.with_name(before.name.replace(".before.", ".after.")).read_bytes()
    ported = port_source(before.read_bytes(), LOOKUP)
    assert ported.problems == ()
    assert ported.source.decode() == after.decode()
    ast.parse(ported.source)
    assert port_source(after, LOOKUP) == Ported(after)  # a second run changes nothing


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "from flytekit import task\nfrom flytekit import FlyteRemote\n",
            2,
            "Use flyte_temporal.client.Client.",
        ),
        (
            "import flytekit\n\nx = flytekit.Labels\n",
            3,
            "Write a dictionary; labels and annotations are plain",
        ),
        ("import flytekit as fk\nfk.remote.FlyteRemote()\n", 2, "Use flyte_temporal.client.Client."),
        ("from flytekit.configuration import Config\n", 1, "Use flyte_temporal.client.Client."),
        ("from flytekit import tesk\n", 1, "The nearest name is task."),
        ("from flytekit import zzz\n", 1, "See docs/porting.md for what there is."),
        ("from flytekitplugins.spark import Spark\n", 1, "There is no flytekitplugins.spark here"),
        ("import flytekitplugins.spark as s\n", 1, "There is no flytekitplugins.spark here"),
        ("from flytekit.models.task import Resources\n", 1, "There are no protobuf models"),
        ("from flytekit import *\nprint(FlyteContextManager)\n", 2, "Use current_context() in a task"),
        ("import flytekit\ndef f(x: 'flytekit.FlyteRemote'): ...\n", 2, "Use flyte_temporal.client.Client."),
        ("import flytekit\ndef f(:\n", 2, "The file is no Python that can be read"),
        ("# coding: nonsense\nimport flytekit\n", 1, "The file cannot be decoded"),
    ],
)
def test_what_we_lack_leaves_the_file_as_it_is(text: str, line: int, message: str) -> None:
    ported = port(text)
    assert ported.source == text.encode()
    assert [remark.line for remark in ported.problems] == [line]
    assert message in ported.problems[0].message


def test_all_lacks_of_a_file_are_told_in_order() -> None:
    ported = port(
        "from flytekit import FlyteRemote, task\nimport flytekit\nflytekit.Labels\nflytekit.Scalar\n"
    )
    assert [(remark.line, remark.name) for remark in ported.problems] == [
        (1, "flytekit.FlyteRemote"),
        (3, "flytekit.Labels"),
        (4, "flytekit.Scalar"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "from flytekit import task, testing\n",
            "from flyte_temporal import task\nfrom flyte_temporal import testing\n",
        ),
        (
            "from flytekit import (\n    task,\n    testing,\n)\n",
            "from flyte_temporal import (\n    task,\n    )\nfrom flyte_temporal import testing\n",
        ),
        (
            "from flytekit import types\ntypes.file.FlyteFile\n",
            "import flyte_temporal as types\ntypes.FlyteFile\n",
        ),
        (
            "import flytekit as fk\nt, f = fk.testing, fk.types.file\n",
            "import flyte_temporal as fk\nt, f = fk.testing, fk\n",
        ),
        ("import flytekit.testing as t\nt.patch(f)\n", "import flyte_temporal.testing as t\nt.patch(f)\n"),
        (
            "import flytekitplugins.sqlalchemy\nflytekitplugins.sqlalchemy.SQLAlchemyTask\n",
            "import flyte_temporal\nflyte_temporal.SQLAlchemyTask\n",
        ),
        ("import os, flytekitplugins.polars\n", "import os\n"),
        ("import flytekit, flytekit.core.task, os\n", "import flyte_temporal, os\n"),
        (
            "x = 1; from flytekit import task, testing\n",
            "x = 1; from flyte_temporal import task; from flyte_temporal import testing\n",
        ),
        ("import flytekit\ndel flytekit\n", "import flyte_temporal\ndel flyte_temporal\n"),
        (
            "import flytekit\nf'{flytekit.__version__}'\n",
            "import flyte_temporal\nf'{flyte_temporal.__version__}'\n",
        ),
        (
            "def f():\n    global flytekit\n    import flytekit\n",
            "def f():\n    global flyte_temporal\n    import flyte_temporal\n",
        ),
        (
            "import flytekit\nmatch x:\n    case flytekit.task: pass\n",
            "import flyte_temporal\nmatch x:\n    case flyte_temporal.task: pass\n",
        ),
        (
            "import flytekit\nx = [flytekit.task for flytekit in y]\n",
            "import flyte_temporal\nx = [flytekit.task for flytekit in y]\n",
        ),
        ("import flytekit\n__all__ = ['flytekit']\n", "import flyte_temporal\n__all__ = ['flytekit']\n"),
    ],
)
def test_forms(text: str, expected: str) -> None:
    ported = port(text)
    assert ported.problems == ()
    assert ported.source.decode() == expected
    ast.parse(ported.source)


def test_text_is_left_to_a_person() -> None:
    text = '"""Of flytekit.task."""\nimport flytekit\nm = mock.patch("flytekit.current_context")\nn = f"{m} flytekit.x"\nlabel = "flytekit is fine"\n'
    ported = port(text)
    assert b"import flyte_temporal\n" in ported.source
    assert [(each.line, each.name) for each in ported.leftovers] == [
        (3, "flytekit.current_context"),
        (4, "flytekit.x"),
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"import flytekit\r\nx = 1\r\n", b"import flyte_temporal\r\nx = 1\r\n"),
        (b"import flytekit\r\nx = 1\ny = 2\r\n", b"import flyte_temporal\r\nx = 1\ny = 2\r\n"),
        (b"\xef\xbb\xbfimport flytekit\n", b"\xef\xbb\xbfimport flyte_temporal\n"),
        (
            b"# -*- coding: latin-1 -*-\nimport flytekit\nx = '\xe9'\n",
            b"# -*- coding: latin-1 -*-\nimport flyte_temporal\nx = '\xe9'\n",
        ),
        (b"import flytekit", b"import flyte_temporal"),
        (b"if 1:\n\timport flytekit\t# tab\n\n\n", b"if 1:\n\timport flyte_temporal\t# tab\n\n\n"),
        (b"import flytekit \\\n    , os\n", b"import flyte_temporal \\\n    , os\n"),
    ],
)
def test_bytes_that_are_no_names_are_kept(source: bytes, expected: bytes) -> None:
    assert port_source(source, LOOKUP).source == expected


@pytest.mark.parametrize(
    "text",
    [
        "def f(:\n",  # no Python, and none of our business
        "from .flytekit import task\n",
        "import flytekit_extras\n",
        "flytekit = 1\nprint(flytekit.task)\n",
        "# flytekit\n",
    ],
)
def test_what_is_not_flytekit_is_left_alone(text: str) -> None:
    assert port(text) == Ported(text.encode())


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (
            "from flytekit import task\n@task(retries=2)\ndef f(): ...\n",
            'The line __retry_on__ = "recoverable" keeps',
        ),
        (
            "from flytekit import workflow\n@workflow\ndef f():\n    try: g()\n    except E: ...\n",
            "A try in a workflow",
        ),
        (
            "from flytekit import task\nfrom pathlib import Path\n@task\ndef f(p: Path): ...\n",
            "travels as text",
        ),
        ("from flytekit import eager\n", "--local only"),
        ("from flytekit import eager\n", ".aio(...)"),
        (
            "from flytekit import ImageSpec\nimage = ImageSpec()\nif image.is_container():\n    import x\n",
            "no is_container()",
        ),
        ("from flytekit import approve\n", "Answer gates"),
        (
            "from flytekit import current_context, task\n@task\ndef f():\n    current_context().checkpoint.read()\n",
            "replaces the one before as a whole",
        ),
    ],
)
def test_a_note_comes_with_the_use_that_it_is_about(text: str, part: str) -> None:
    assert any(part in note for note in port(text).notes)


def test_no_note_without_such_a_use() -> None:
    assert port("from flytekit import task, workflow\n@task\ndef f(p: int): ...\n").notes == ()
