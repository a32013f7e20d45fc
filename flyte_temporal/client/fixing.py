"""Fixed code for a running execution: a file as it is now, compiled. Synchronous; called in threads.

Apart from `submitting` because no entity is given, only a file: what of it matters, the execution's own names say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_temporal.errors import CompileError, NotFound

if TYPE_CHECKING:
    from types import ModuleType

    from flyte_temporal.sdk.entities import Entity
    from flyte_temporal.spec.entities import Closure


@dataclass(frozen=True)
class FixedCode:
    """What a file has for an execution.

    Args:
        closure: The root entity, and all tasks of the file.
        folder: Folder of its code.
        needed: Whose images are needed: those that a run of the root would need; of a file without it, those of all tasks.
    """

    closure: Closure
    folder: Path
    needed: tuple[Closure, ...]


def compile_fix(file: Path, root: str) -> FixedCode:
    """Return what a file has for an execution.

    Args:
        file: The file.
        root: Name of the entity that was run, in whatever module it was then.

    Raises:
        CompileError: If the file cannot be imported, or has nothing to run.
    """
    from flyte_temporal.compiler import compile_entity
    from flyte_temporal.sdk.foreseen import foreseen
    from flyte_temporal.sdk.loader import entities_in, load_file, source_root

    folder = source_root(file.resolve())
    with _forgotten(folder):
        module = load_file(file)
        whole = [compile_entity(entity) for entity in _roots(module, root)]
        tasks = [compile_entity(e) for e in entities_in(module).values() if e.kind == "task"]
        # While the modules are there, by which it is seen what dynamic tasks call.
        needed = [more for closure in whole or tasks for more in (closure, *foreseen(closure))]
    found = [*whole, *tasks]
    if not found:
        raise CompileError(f"{file} has no task or workflow, so it holds no fixed code.")
    specs = {name: task for closure in reversed(found) for name, task in closure.tasks.items()}
    return FixedCode(found[0].model_copy(update={"tasks": specs}), folder, tuple(needed))


def _roots(module: ModuleType, root: str) -> list[Entity]:
    from flyte_temporal.sdk.loader import find_moved

    try:
        return [find_moved(module, root)]
    except NotFound:  # a file with only the tasks will do
        return []


@contextmanager
def _forgotten(folder: Path) -> Iterator[None]:
    """Have modules below a folder imported as their files are now; what was imported before comes back afterwards."""
    before = {
        name: module for name, module in sys.modules.items() if name != "__main__" and _below(module, folder)
    }
    for name in before:
        del sys.modules[name]
    try:
        yield
    finally:
        if before:
            for name in [
                n for n, module in sys.modules.items() if n != "__main__" and _below(module, folder)
            ]:
                del sys.modules[name]
            sys.modules.update(before)


def _below(module: ModuleType, folder: Path) -> bool:
    where = getattr(module, "__file__", None)
    return bool(where) and Path(str(where)).is_relative_to(folder) and "site-packages" not in str(where)
