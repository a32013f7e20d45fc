"""Files, modules and the entities in them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_temporal import workflow
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import CompileError, NotFound
from flyte_temporal.sdk.loader import entities_in, find_entity, load_file
from flyte_temporal.sdk.modules import module_name, source_root

TASK = "from flyte_temporal import task, workflow\n@task\ndef {name}() -> int: return 1\n"


@pytest.fixture(autouse=True)
def _import_state() -> Iterator[None]:
    path, modules = sys.path[:], dict(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        if "loaded_" in name or name in {"pack", "pipeline"}:
            del sys.modules[name]
    for name in ("pack", "pipeline"):
        if name in modules:
            sys.modules[name] = modules[name]


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_the_source_root_is_the_nearest_folder_without_init(tmp_path: Path) -> None:
    file = write(tmp_path / "src" / "pack" / "sub" / "mod.py", "")
    write(tmp_path / "src" / "pack" / "__init__.py", "")
    write(tmp_path / "src" / "pack" / "sub" / "__init__.py", "")
    assert source_root(file) == tmp_path / "src"
    assert module_name(file) == "pack.sub.mod"
    assert module_name(file.with_name("__init__.py")) == "pack.sub"
    alone = write(tmp_path / "alone.py", "")
    assert (source_root(alone), module_name(alone)) == (tmp_path, "alone")


def test_a_file_is_loaded_under_its_dotted_name_and_sees_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path / "pack" / "__init__.py", "")
    write(tmp_path / "pack" / "loaded_other.py", TASK.format(name="other"))
    file = write(
        tmp_path / "pack" / "loaded_mod.py",
        "from pack.loaded_other import other\nfrom .loaded_other import workflow\n" + TASK.format(name="own"),
    )
    module = load_file(file)
    assert module.__name__ == "pack.loaded_mod"
    assert list(entities_in(module)) == ["own"]
    assert find_entity(module, "other").name == "pack.loaded_other.other"
    assert find_entity(module, "pack.loaded_mod.own").name == "pack.loaded_mod.own"


def test_two_projects_with_files_of_one_name_do_not_mix(tmp_path: Path) -> None:
    for project in ("a", "b"):
        write(tmp_path / project / "loaded_names.py", f"NAME = {project!r}\n")
        write(
            tmp_path / project / "pipeline.py", "import loaded_names\n" + TASK.format(name=f"task_{project}")
        )
    first = load_file(tmp_path / "a" / "pipeline.py")
    second = load_file(tmp_path / "b" / "pipeline.py")
    assert (list(entities_in(first)), list(entities_in(second))) == (["task_a"], ["task_b"])
    assert second.loaded_names.NAME == "b"
    assert str(tmp_path / "a") not in sys.path
    assert compile_entity(entities_in(first)["task_a"]).root.name == "pipeline.task_a"


def test_two_entities_of_one_name_cannot_stand_in_one_closure(tmp_path: Path) -> None:
    for project in ("a", "b"):
        write(tmp_path / project / "pipeline.py", TASK.format(name="one"))
    modules = [load_file(tmp_path / project / "pipeline.py") for project in ("a", "b")]

    @workflow
    def both() -> None:
        for module in modules:
            module.one()

    with pytest.raises(
        CompileError, match=r"Two entities have the name 'pipeline\.one': one at .*b/pipeline\.py:2, one"
    ):
        compile_entity(both)


def test_an_import_that_fails_shows_the_users_traceback_alone(tmp_path: Path) -> None:
    file = write(tmp_path / "loaded_bad.py", "def f():\n    return 1 / 0\n\nf()\n")
    with pytest.raises(CompileError) as caught:
        load_file(file)
    message = caught.value.message
    assert "loaded_bad.py cannot be imported: ZeroDivisionError: division by zero" in message
    assert "line 2, in f\n    return 1 / 0" in message
    assert "loader.py" not in message
    assert "importlib" not in message
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("text", ["import sys\nsys.exit(3)\n", "def f(:\n", "import not_there_at_all\n"])
def test_whatever_an_import_raises_is_a_compile_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="cannot be imported"):
        load_file(write(tmp_path / "loaded_worse.py", text))


def test_a_file_that_hides_behind_another_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CompileError, match=r"would be imported as 'json', but that name belongs to .*Rename the file"
    ):
        load_file(write(tmp_path / "json.py", ""))


def test_what_is_no_python_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="There is no file"):
        load_file(tmp_path / "missing.py")
    with pytest.raises(CompileError, match=r"not a Python file\. Give a file that ends in \.py"):
        load_file(write(tmp_path / "notes.txt", ""))


def test_an_entity_in_a_class_is_found_by_its_dotted_name(tmp_path: Path) -> None:
    text = (
        "from flyte_temporal import task, workflow\n"
        "class A:\n"
        "    @staticmethod\n"
        "    @task\n"
        "    def t() -> int: return 1\n"
        "    class B:\n"
        "        @staticmethod\n"
        "        @workflow\n"
        "        def ww() -> int: return A.t()\n"
    )
    module = load_file(write(tmp_path / "loaded_class.py", text))
    assert find_entity(module, "A.B.ww").name == "loaded_class.A.B.ww"
    assert find_entity(module, "loaded_class.A.t").name == "loaded_class.A.t"
    assert compile_entity(find_entity(module, "A.B.ww")).root.name == "loaded_class.A.B.ww"
    with pytest.raises(NotFound, match=r"'A\.tt' does not exist in loaded_class\.py\. Did you mean A\.t"):
        find_entity(module, "A.tt")


def test_an_entity_that_is_not_there_is_reported_with_close_matches(tmp_path: Path) -> None:
    text = TASK.format(name="train_model") + "def helper() -> None: ...\n"
    module = load_file(write(tmp_path / "loaded_find.py", text))
    with pytest.raises(
        NotFound, match=r"'train_modle' does not exist in loaded_find\.py\. Did you mean train_model"
    ):
        find_entity(module, "train_modle")
    with pytest.raises(
        NotFound, match=r"'helper' is not a task or workflow in loaded_find\.py\. It has: train_model"
    ):
        find_entity(module, "helper")
    empty = load_file(write(tmp_path / "loaded_empty.py", ""))
    with pytest.raises(NotFound, match=r"loaded_empty\.py has no task or workflow\. Decorate a function"):
        find_entity(empty, "x")


def test_a_script_names_its_entities_as_a_module_would(tmp_path: Path) -> None:
    write(tmp_path / "pack" / "__init__.py", "")
    script = write(
        tmp_path / "pack" / "script.py",
        TASK.format(name="one")
        + "from flyte_temporal.compiler import compile_entity\n"
        + "print(compile_entity(one).tasks['pack.script.one'].entry)\n",
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, script], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert done.stdout.strip() == "module='pack.script' name='one'"
    session = subprocess.run(
        [sys.executable, "-c", TASK.format(name="one") + "print(one.name)"],
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        check=False,
    )
    assert "defined in an interactive session or in a script without a file" in session.stderr
