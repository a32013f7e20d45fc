"""Load a user's file and find the entities in it. Called by the CLI, and by tests that run examples."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from flyte_temporal.errors import BadRequest, CompileError, NotFound
from flyte_temporal.sdk.entity import Entity, entities_behind
from flyte_temporal.sdk.frames import user_traceback
from flyte_temporal.sdk.modules import module_name
from flyte_temporal.sdk.modules import source_root as source_root  # noqa: PLC0414 - part of this module's interface

_PACKAGE = str(Path(__file__).resolve().parent.parent)


def load_file(file: Path) -> ModuleType:
    """Import a file under its real dotted name, with its source root on `sys.path`.

    A file of another source root that was loaded before under the same name is forgotten with its neighbours: a
    process can look at several projects, one after the other.

    Raises:
        CompileError: If the file cannot be read, is shadowed by another module, or raises when it is imported; the
            message then holds the user's traceback.
    """
    resolved = file.resolve()
    if not resolved.is_file():
        raise CompileError(f"There is no file {file}. Give the path of a Python file.")
    if resolved.suffix != ".py":
        raise CompileError(f"{file} is not a Python file. Give a file that ends in .py.")
    name, root = module_name(resolved), source_root(resolved)
    _make_room(name, resolved)
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except (KeyboardInterrupt, BadRequest):
        raise  # a wrong program says itself where it is wrong
    except BaseException as error:
        raise CompileError(
            f"{file} cannot be imported: {_one_line(error)}\n{user_traceback(error)}"
        ) from error
    _refuse_shadow(module, name, resolved)
    return module


def entities_in(module: ModuleType) -> dict[str, Entity]:
    """Return the entities that a module defines, by the name of their attribute, in order of definition.

    What it merely imports from other modules is left out.
    """
    own = {module.__name__, "__main__"}
    return {
        name: entity
        for name, value in vars(module).items()
        for entity in entities_behind(value)
        if getattr(entity, "__module__", module.__name__) in own
    }


def find_entity(module: ModuleType, name: str) -> Entity:
    """Return the entity behind a module's attribute, also one that the module imported.

    Args:
        module: The module.
        name: Attribute, dotted if it stands in a class, or the dotted name under which the entity is registered.

    Raises:
        NotFound: If there is none; names the close matches.
    """
    attribute = name.removeprefix(f"{module.__name__}.")
    target: object = module
    for part in attribute.split("."):
        # Static, because only then is a static method of a class what stands there, and no property runs.
        target = inspect.getattr_static(target, part, None)
    found = next(entities_behind(target), None)
    if found is not None:
        return found
    known = [*entities_in(module), *_in_classes(vars(module), module.__name__)]
    file = Path(inspect.getfile(module)).name
    if not known:
        raise NotFound(f"{file} has no task or workflow. Decorate a function with @task or @workflow.")
    close = difflib.get_close_matches(attribute, known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"It has: {', '.join(known)}."
    what = "is not a task or workflow" if attribute in vars(module) else "does not exist"
    raise NotFound(f"{attribute!r} {what} in {file}. {hint}")


def find_moved(module: ModuleType, name: str) -> Entity:
    """Return the entity that was registered under a name, in whatever module it was then.

    Raises:
        NotFound: If the module has none of that name.
    """
    parts = name.split(".")
    # The name of the module may have had dots in it, and so may that of the entity, if it stands in a class.
    for start in range(len(parts)):
        try:
            return find_entity(module, ".".join(parts[start:]))
        except NotFound as error:
            missing = error
    raise missing


def _in_classes(namespace: Mapping[str, object], module: str, prefix: str = "") -> Iterator[str]:
    """Return the dotted names of entities in the classes of a module, for hints."""
    for name, value in namespace.items():
        if isinstance(value, type) and value.__module__ == module and value.__qualname__ == f"{prefix}{name}":
            inner = f"{value.__qualname__}."
            yield from (f"{inner}{n}" for n, v in vars(value).items() if any(entities_behind(v)))
            yield from _in_classes(vars(value), module, inner)


def _one_line(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]


def _make_room(name: str, file: Path) -> None:
    loaded = sys.modules.get(name)
    if loaded is None or _is(loaded, file) or not getattr(loaded, "__file__", None):
        return
    other = Path(str(loaded.__file__))
    if _installed(other):
        return
    root = source_root(other)
    for key, module in list(sys.modules.items()):
        where = getattr(module, "__file__", None)
        if where and Path(where).is_relative_to(root) and key != "__main__" and not _installed(Path(where)):
            del sys.modules[key]
    sys.path[:] = [p for p in sys.path if not p or Path(p) != root]


def _installed(file: Path) -> bool:
    """Return whether a file belongs to Python, to an installed package, or to this library."""
    places = [Path(_PACKAGE), Path(inspect.__file__).parent]
    return "site-packages" in file.parts or any(file.is_relative_to(p) for p in places)


def _is(module: ModuleType, file: Path) -> bool:
    where = getattr(module, "__file__", None)
    return bool(where) and Path(str(where)).resolve() == file


def _refuse_shadow(module: ModuleType, name: str, file: Path) -> None:
    if not _is(module, file):
        other = getattr(module, "__file__", None) or "a module built into Python"
        raise CompileError(
            f"{file} would be imported as {name!r}, but that name belongs to {other}. Rename the file."
        )
