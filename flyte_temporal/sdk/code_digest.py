"""What a function does, as a digest: its own code, and all code of the same source root that it leads to.

Called when `Cache` has no version of the author's own. Code is read as syntax trees, so that comments, docstrings,
formatting and line numbers do not matter. What it leaves out (installed packages, data, names that are found only at
run time) is said in docs/cache.md.
"""

from __future__ import annotations

import ast
import builtins
import enum
import functools
import importlib.util
import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, TypeGuard

from flyte_temporal.sdk.modules import source_root
from flyte_temporal.spec.document import sha256_hex

_PACKAGE = Path(__file__).resolve().parent.parent
_MISSING = object()
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCALARS = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis))
_VALUES = (Decimal, Fraction, date, time, datetime, timedelta, range, PurePath)
"""Kinds whose text tells all that they are."""
_CONTAINERS = (list, tuple, set, frozenset, dict, MappingProxyType, functools.partial)
_MOST_PARTS = 10_000
"""Of a container, so many parts are looked at that are no plain data."""
_Cached = type(functools.cache(len))


def code_digest(function: Callable[..., Any]) -> str:
    """Return the digest of a function and of the code that it leads to.

    Moving all of it to a module of another name changes nothing: the function's own module is not named.
    """
    walk = _walked(function)
    texts = (text.removeprefix(walk.own) for text in walk.found)
    return sha256_hex("\n".join(sorted(texts)).encode())


def used_by(function: Callable[..., Any]) -> list[object]:
    """Return the entities that the code of a function uses, each once; what those use is left out."""
    entities: dict[int, object] = {}
    _walked(function, entities)
    return list(entities.values())


def _walked(function: Callable[..., Any], entities: dict[int, object] | None = None) -> _Walk:
    walk = _Walk(_root_of(function), f"{getattr(function, '__module__', '')}.", entities=entities)
    walk.add(function)
    while walk.todo:
        walk.todo.pop()()
    return walk


def _root_of(function: Callable[..., Any]) -> Path | None:
    file = _file_of(inspect.unwrap(function))
    if file is None:
        return None
    root = source_root(file)
    if "site-packages" in file.parts:
        # Its neighbours are other people's: its own top package is all that changes with it.
        return root / file.relative_to(root).parts[0]
    return root


def _file_of(thing: object) -> Path | None:
    try:
        return Path(inspect.getfile(thing)).resolve()  # type: ignore[arg-type]
    except (TypeError, OSError):
        return None


@dataclass
class _Walk:
    """Code that was reached so far.

    Args:
        root: Where code that counts lies.
        own: What names of the first function's module begin with.
        found: All texts that are in the digest.
        names: What was taken in, by name.
        functions: All functions of one name: lambdas, or what a function that makes functions has returned.
        todo: What is yet to be followed.
        entities: Our entities that were reached, which are then not followed; None = they are followed as functions are.
    """

    root: Path | None
    own: str
    found: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    functions: dict[str, dict[int, FunctionType]] = field(default_factory=dict)
    todo: list[Callable[[], None]] = field(default_factory=list)
    entities: dict[int, object] | None = None

    def add(self, thing: object) -> bool:
        """Take in a value that some code uses; return whether there is code in it that counts."""
        if isinstance(thing, functools.partial):
            return self._add_all(_parts_of(thing))
        if self.entities is not None and _is_entity(thing):
            self.entities[id(thing)] = thing
            return False
        thing = _behind(thing)
        if isinstance(thing, MethodType):
            return self.add(type(thing.__self__) if not isinstance(thing.__self__, type) else thing.__self__)
        if isinstance(thing, FunctionType):
            return self._add_function(thing)
        if isinstance(thing, type):
            return self._add_class(thing)
        return not isinstance(thing, ModuleType) and self._add_class(type(thing))

    def _add_all(self, things: Iterable[object]) -> bool:
        leads = False
        for thing in things:
            leads = self.add(thing) or leads
        return leads

    def _is_ours(self, thing: object) -> bool:
        file = _file_of(thing)
        if file is None or self.root is None or file.is_relative_to(_PACKAGE):
            return False
        inside = file.is_relative_to(self.root)
        return inside and ("site-packages" not in file.parts or "site-packages" in self.root.parts)

    def _add_function(self, function: FunctionType) -> bool:
        wrapped = getattr(function, "__wrapped__", None)
        leads = wrapped is not None and self.add(wrapped)
        if not self._is_ours(function):
            return leads
        name = f"{function.__module__}.{function.__qualname__}"
        if not self._is_known(name, function):
            self._add_new(name, function)
        return True

    def _add_new(self, name: str, function: FunctionType) -> None:
        node = _definition(function)
        if node is None:
            # Not written as a `def`: its compiled form has no comments and lines either.
            self.found.add(f"{name}: {_compiled(function.__code__)}")
            self.todo.append(lambda: self._follow_compiled(function, name))
            return
        clean = _without_noise(node, _namespace(function))
        self.found.add(f"{name}: {ast.dump(clean)}")
        self.todo.append(lambda: self._follow(clean, _namespace(function), name))

    def _is_known(self, name: str, function: FunctionType) -> bool:
        """Return whether a function was taken in; note that it is.

        Of one name are also a function and what a decorator has put around it. That one is known by the decorator's own
        code, and its name says nothing. But lambdas differ, and so may what closures of the same code hold.
        """
        of_name = self.functions.setdefault(name, {})
        code = function.__code__
        known = id(function) in of_name or (
            name in self.names
            and not _is_lambda(function)
            and all(code != each.__code__ for each in of_name.values())
        )
        if not known:
            of_name[id(function)] = function
            self.names.add(name)
        return known

    def _add_class(self, kind: type) -> bool:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in self.names:
            return True
        if not self._is_ours(kind):
            return False
        node = _class_definition(kind)
        if node is None:
            return True
        namespace = vars(sys.modules.get(kind.__module__, builtins))
        clean = _without_noise(node, namespace)
        self.names.add(name)
        self.found.add(f"{name}: {ast.dump(clean)}")
        for base in kind.__mro__[1:]:
            self._add_class(base)
        self.todo.append(lambda: self._follow(clean, namespace, name))
        return True

    def _follow(self, tree: ast.AST, namespace: Mapping[str, Any], inside: str) -> None:
        for node in ast.walk(tree):
            match node:
                case ast.Attribute():
                    self._add_value(_resolved(node, namespace), ast.unparse(node), inside)
                case ast.Name():
                    self._add_value(_resolved(node, namespace), node.id, inside)
                case ast.Import():
                    for alias in node.names:
                        self._add_module(alias.name)
                case ast.ImportFrom():
                    self._add_imported(node, str(namespace.get("__package__") or ""))
                case _:
                    pass

    def _follow_compiled(self, function: FunctionType, inside: str) -> None:
        """Follow all names of compiled code; which of them are attributes of a module does not show there."""
        for number, default in enumerate(_defaults(function)):
            self._add_value(default, f"default {number}", inside)
        names = dict.fromkeys(_names(function.__code__))
        spaces: list[tuple[str, Mapping[str, Any]]] = [("", _namespace(function))]
        followed: set[str] = set()
        for before, space in spaces:
            for name in names:
                value = space.get(name, _MISSING)
                if not isinstance(value, ModuleType):
                    self._add_value(value, before + name, inside)
                elif value.__name__ not in followed and self._is_ours(value):
                    followed.add(value.__name__)
                    spaces.append((f"{before}{name}.", vars(value)))

    def _add_value(self, value: object, name: str, inside: str) -> None:
        if value is _MISSING or isinstance(value, ModuleType):
            return
        text = _constant(value)
        if text is None:
            parts: list[object] = []
            described = _described(value, self.own, parts)
            # A container without code of ours may hold whatever it likes, as `sys.modules` does.
            if self._add_all(parts) and isinstance(value, _CONTAINERS):
                text = described
        if text is not None:
            # Where the source root lies (`Path(__file__).parent`) is no part of what the code does.
            moved = text.replace(str(self.root), "") if self.root is not None else text
            self.found.add(f"{inside}:{name} = {moved}")

    def _add_imported(self, node: ast.ImportFrom, package: str) -> None:
        """Take in a module that a body imports names of, and those of the names that are modules themselves."""
        base = node.module or ""
        if node.level:
            try:
                base = importlib.util.resolve_name("." * node.level + base, package)
            except ImportError:
                return  # it fails when it runs, too
        self._add_module(base)
        for alias in node.names:
            self._add_module(f"{base}.{alias.name}")

    def _add_module(self, name: str) -> None:
        """Take in a whole module that a body imports: which of it is used is not known before it runs."""
        try:
            spec = _spec_of(name)
        except (ImportError, ValueError, AttributeError):
            return
        file = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if (
            file is None
            or self.root is None
            or not file.is_relative_to(self.root)
            or f"{name}:" in self.names
        ):
            return
        if file.suffix == ".py" and ("site-packages" not in file.parts or "site-packages" in self.root.parts):
            tree = _parsed(file, file.stat().st_mtime_ns)
            if tree is not None:
                self.names.add(f"{name}:")
                self.found.add(f"{name}: {ast.dump(_without_noise(tree, {}))}")


def _spec_of(name: str) -> ModuleSpec | None:
    """Return where a module is found.

    The packages around it are not imported for that: a body may have its reasons to import them late.
    """
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded.__spec__
    package = name.rpartition(".")[0]
    if not package:
        return importlib.util.find_spec(name)
    if package in sys.modules:
        places = getattr(sys.modules[package], "__path__", None)
    else:
        around = _spec_of(package)
        places = around.submodule_search_locations if around is not None else None
    try:
        return PathFinder.find_spec(name, places) if places is not None else None
    except (
        KeyError
    ):  # a folder without `__init__.py` in a package: only where that is imported can it be found
        return importlib.util.find_spec(name)


def _is_entity(thing: object) -> bool:
    return type(thing).__module__.startswith("flyte_temporal.") or any(
        base.__module__.startswith("flyte_temporal.sdk") for base in type(thing).__mro__
    )


def _behind(thing: object) -> object:
    """Return the function of one of our entities, or the one whose results are kept by `functools.cache`."""
    function = None
    if isinstance(thing, _Cached):
        function = thing.__wrapped__
    elif _is_entity(thing):
        function = getattr(thing, "function", None)
    return function if callable(function) else thing


def _described(value: object, own: str, parts: list[object], around: tuple[int, ...] = ()) -> str:
    """Return a container as text, with names in place of what is not plain data, and put that into `parts`."""
    text = _constant(value)
    if text is not None:
        return text
    if not isinstance(value, _CONTAINERS):
        parts.append(value)
        return _named(value, own)
    if id(value) in around:
        return "…"
    around = (*around, id(value))
    texts: list[str] = []
    for part in _parts_of(value):
        if len(parts) >= _MOST_PARTS:
            break
        texts.append(_described(part, own, parts, around))
    ordered = sorted(texts) if isinstance(value, set | frozenset) else texts
    return f"{type(value).__name__}({', '.join(ordered)})"


def _named(value: object, own: str) -> str:
    """Return what stands for a function, class or instance in the text of its container."""
    thing = _behind(value)
    if not isinstance(thing, FunctionType | MethodType | type):
        thing = type(thing)
    code = f" {_compiled(thing.__code__)}" if _is_lambda(thing) else ""
    return f"<{f'{thing.__module__}.{thing.__qualname__}'.removeprefix(own)}{code}>"


def _parts_of(container: Any) -> Iterator[object]:
    match container:
        case functools.partial():
            yield from (container.func, *container.args, *itertools.chain(*container.keywords.items()))
        case Mapping():
            yield from itertools.chain.from_iterable(container.items())
        case _:
            yield from container


def _namespace(function: FunctionType) -> Mapping[str, Any]:
    cells: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            cells[name] = cell.cell_contents
        except ValueError:  # not set yet
            continue
    return {**function.__globals__, **cells}


def _resolved(node: ast.expr, namespace: Mapping[str, Any]) -> object:
    """Return what a name or an attribute of a module stands for; attributes of other things are not asked for."""
    match node:
        case ast.Name():
            return namespace.get(node.id, _MISSING)
        case ast.Attribute():
            owner = _resolved(node.value, namespace)
            if isinstance(owner, ModuleType):
                return vars(owner).get(node.attr, _MISSING)
    return _MISSING


def _constant(value: object, around: tuple[int, ...] = ()) -> str | None:
    """Return a value as text if it is plain data, else None."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}={value.value!r}"
    if type(value) in _SCALARS or isinstance(value, _VALUES) or _is_number_of_numpy(value):
        return repr(value)
    if isinstance(value, re.Pattern):
        return f"pattern({value.pattern!r}, {value.flags})"
    if id(value) in around:
        return None
    around = (*around, id(value))
    if isinstance(value, list | tuple):
        return _joined(type(value).__name__, [_constant(item, around) for item in value])
    if isinstance(value, set | frozenset):
        texts = [_constant(item, around) for item in value]
        return _joined("set", sorted(t for t in texts if t is not None)) if None not in texts else None
    if isinstance(value, dict):
        return _joined("dict", [_constant(part, around) for pair in value.items() for part in pair])
    return None


def _is_number_of_numpy(value: object) -> bool:
    # Not imported here: whoever has such a number has imported it.
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, getattr(numpy, "generic", ()))


def _joined(kind: str, parts: list[str | None] | list[str]) -> str | None:
    return None if None in parts else f"{kind}({', '.join(map(str, parts))})"


def _compiled(code: CodeType) -> str:
    """Return code as text, with that of lambdas and comprehensions in it."""
    constants = (f"({_compiled(c)})" if isinstance(c, CodeType) else _constant(c) for c in code.co_consts)
    return f"{code.co_code.hex()} {code.co_names} {', '.join(c for c in constants if c is not None)}"


def _names(code: CodeType) -> Iterator[str]:
    """Yield all names that code uses and does not set itself, and those of attributes."""
    yield from (*code.co_names, *code.co_freevars)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _defaults(function: FunctionType) -> tuple[object, ...]:
    return (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())


def _is_lambda(thing: object) -> TypeGuard[FunctionType]:
    return isinstance(thing, FunctionType) and thing.__code__.co_name == "<lambda>"


def _definition(function: FunctionType) -> ast.AST | None:
    """Return the `def` of a function, found by its line."""
    file = _file_of(function)
    tree = _tree(file)
    line = function.__code__.co_firstlineno
    for node in _definitions(tree):
        first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
        if (
            isinstance(node, _FUNCTIONS)
            and node.name == function.__code__.co_name
            and first <= line <= node.lineno
        ):
            return node
    return None


def _class_definition(kind: type) -> ast.AST | None:
    tree = _tree(_file_of(kind))
    wanted = kind.__qualname__.rpartition(".")[2]
    found = [n for n in _definitions(tree) if isinstance(n, ast.ClassDef) and n.name == wanted]
    return found[-1] if found else None


def _definitions(tree: ast.AST | None) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node


def _tree(file: Path | None) -> ast.Module | None:
    if file is None or not file.is_file():
        return None
    return _parsed(file, file.stat().st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _parsed(file: Path, _changed_at: int) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return None


def _without_noise(tree: ast.AST, namespace: Mapping[str, Any]) -> ast.AST:
    """Return a copy without docstrings, and without our decorators: what they say is in the spec."""
    copied: ast.AST = _copied(tree)
    for node in ast.walk(copied):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] if isinstance(first.value.value, str) else node.body
            if not isinstance(node, ast.Module):
                node.decorator_list = [d for d in node.decorator_list if not _is_our_decorator(d, namespace)]
    return copied


def _copied(tree: Any) -> Any:
    if isinstance(tree, ast.AST):
        return type(tree)(**{name: _copied(value) for name, value in ast.iter_fields(tree)})
    return [_copied(item) for item in tree] if isinstance(tree, list) else tree


def _is_our_decorator(decorator: ast.expr, namespace: Mapping[str, Any]) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    found = _resolved(target, namespace)
    return str(getattr(found, "__module__", "")).startswith("flyte_temporal")
