"""What dynamic tasks will call, as far as their code shows it before they run.

Used by the client, which builds images before anything starts: what only a dynamic task calls is in no spec yet.
"""

from __future__ import annotations

import sys

from flyte_temporal.errors import FlyteTemporalError, NotFound
from flyte_temporal.sdk.code_digest import used_by
from flyte_temporal.sdk.dynamics import DynamicTask
from flyte_temporal.sdk.entity import Entity
from flyte_temporal.sdk.gather import compile_entity
from flyte_temporal.sdk.loader import find_entity
from flyte_temporal.sdk.modules import main_module_name
from flyte_temporal.spec.entities import Closure, EntryPoint, TaskSpec


def foreseen(closure: Closure) -> list[Closure]:
    """Return the closures of what the dynamic tasks of a closure name in their code, and of what dynamic tasks in those do.

    What cannot be compiled is left out: it says so itself, if it is ever called.

    Args:
        closure: A closure that was compiled in this process, so that its modules are loaded.
    """
    found: dict[str, Closure] = {closure.root.name: closure}
    seen: set[str] = set()
    todo = [closure]
    while todo:
        for task in todo.pop().tasks.values():
            if task.name in seen:
                continue
            seen.add(task.name)
            for entity in _called(task):
                made = _compiled(entity)
                if made is not None and made.root.name not in found:
                    found[made.root.name] = made
                    todo.append(made)
    return list(found.values())[1:]


def _called(task: TaskSpec) -> list[Entity]:
    dynamic = _loaded(task.entry) if task.type == DynamicTask.task_type and task.entry is not None else None
    if not isinstance(dynamic, DynamicTask):
        return []
    return [thing for thing in used_by(dynamic.function) if isinstance(thing, Entity)]


def _loaded(entry: EntryPoint) -> Entity | None:
    name = "__main__" if entry.module == main_module_name() else entry.module
    module = sys.modules.get(name) or sys.modules.get(entry.module)
    try:
        return None if module is None else find_entity(module, entry.name)
    except NotFound:
        return None


def _compiled(entity: Entity) -> Closure | None:
    try:
        return compile_entity(entity)
    except FlyteTemporalError:
        return None
