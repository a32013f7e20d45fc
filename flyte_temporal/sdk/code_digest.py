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
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

from flyte_temporal.sdk.modules import source_root
from flyte_temporal.spec.document import sha256_hex

_PACKAGE = Path(__file__).resolve().parent.parent
_MISSING = object()
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCALARS = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis))


def code_digest(function: Callable[..., Any]) -> str:
    """Return the digest of a function and of the code that it leads to.

    Moving all of it to a module of another name changes nothing: the function's own module is not named.
    """
    walk = _Walk(_root_of(function))
    walk.add(function)
    while walk.todo:
        walk.todo.pop()()
    own = f"{getattr(function, '__module__', '')}."
    texts = (text.removeprefix(own) for text in walk.found.values())
    return sha256_hex("\n".join(sorted(texts)).encode())


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
    """Code that was reached so far, by the name of what it is."""

    root: Path | None
    found: dict[str, str] = field(default_factory=dict)
    todo: list[Callable[[], None]] = field(default_factory=list)

    def add(self, thing: object) -> None:
        """Take in a value that some code uses."""
        if isinstance(thing, functools.partial):
            for part in (thing.func, *thing.args, *thing.keywords.values()):
                self.add(part)
            return
        function = getattr(thing, "function", None)
        if _is_entity(thing) and callable(function):
            thing = function
        if isinstance(thing, MethodType):
            self.add(type(thing.__self__) if not isinstance(thing.__self__, type) else thing.__self__)
            return
        if isinstance(thing, FunctionType):
            self._add_function(thing)
        elif isinstance(thing, type):
            self._add_class(thing)
        elif not isinstance(thing, ModuleType) and self._is_ours(type(thing)):
            self._add_class(type(thing))

    def _is_ours(self, thing: object) -> bool:
        file = _file_of(thing)
        if file is None or self.root is None or file.is_relative_to(_PACKAGE):
            return False
        inside = file.is_relative_to(self.root)
        return inside and ("site-packages" not in file.parts or "site-packages" in self.root.parts)

    def _add_function(self, function: FunctionType) -> None:
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            self.add(wrapped)
        if not self._is_ours(function):
            return
        name = f"{function.__module__}.{function.__qualname__}"
        if name in self.found:
            return
        node = _definition(function)
        if node is None:
            # Not written as a `def`: its compiled form has no comments and lines either.
            code = function.__code__
            self.found[name] = f"{name}: {code.co_code.hex()} {code.co_names} {_constants(code.co_consts)}"
            names: Mapping[str, ast.AST | None] = dict.fromkeys(code.co_names)
            self.todo.append(lambda: self._follow_names(names, _namespace(function), name))
            return
        clean = _without_noise(node, _namespace(function))
        self.found[name] = f"{name}: {ast.dump(clean)}"
        self.todo.append(lambda: self._follow(clean, _namespace(function), name))

    def _add_class(self, kind: type) -> None:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in self.found or not self._is_ours(kind):
            return
        node = _class_definition(kind)
        if node is None:
            return
        namespace = vars(sys.modules.get(kind.__module__, builtins))
        clean = _without_noise(node, namespace)
        self.found[name] = f"{name}: {ast.dump(clean)}"
        for base in kind.__mro__[1:]:
            self._add_class(base)
        self.todo.append(lambda: self._follow(clean, namespace, name))

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
                    package = str(namespace.get("__package__") or "")
                    relative = "." * node.level + (node.module or "")
                    self._add_module(
                        importlib.util.resolve_name(relative, package) if node.level else relative
                    )
                case _:
                    pass

    def _follow_names(
        self, names: Mapping[str, ast.AST | None], namespace: Mapping[str, Any], inside: str
    ) -> None:
        for name in names:
            self._add_value(namespace.get(name, _MISSING), name, inside)

    def _add_value(self, value: object, name: str, inside: str) -> None:
        if value is _MISSING or isinstance(value, ModuleType):
            return
        text = _constant(value)
        if text is not None:
            self.found[f"{inside}:{name}"] = f"{inside}:{name} = {text}"
        else:
            self.add(value)

    def _add_module(self, name: str) -> None:
        """Take in a whole module that a body imports: which of it is used is not known before it runs."""
        loaded = sys.modules.get(name)
        try:
            spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return
        file = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if (
            file is None
            or self.root is None
            or not file.is_relative_to(self.root)
            or f"{name}:" in self.found
        ):
            return
        if file.suffix == ".py" and ("site-packages" not in file.parts or "site-packages" in self.root.parts):
            tree = _parsed(file, file.stat().st_mtime_ns)
            if tree is not None:
                self.found[f"{name}:"] = f"{name}: {ast.dump(_without_noise(tree, {}))}"


def _is_entity(thing: object) -> bool:
    return type(thing).__module__.startswith("flyte_temporal.") or any(
        base.__module__.startswith("flyte_temporal.sdk") for base in type(thing).__mro__
    )


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


def _constant(value: object) -> str | None:
    """Return a value as text if it is plain data, else None."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}={value.value!r}"
    if type(value) in _SCALARS:
        return repr(value)
    if isinstance(value, list | tuple):
        return _joined(type(value).__name__, [_constant(item) for item in value])
    if isinstance(value, set | frozenset):
        texts = [_constant(item) for item in value]
        return _joined("set", sorted(t for t in texts if t is not None)) if None not in texts else None
    if isinstance(value, dict):
        return _joined("dict", [_constant(part) for pair in value.items() for part in pair])
    return None


def _joined(kind: str, parts: list[str | None] | list[str]) -> str | None:
    return None if None in parts else f"{kind}({', '.join(map(str, parts))})"


def _constants(values: tuple[object, ...]) -> str:
    return ", ".join(text for value in values if (text := _constant(value)) is not None)


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
