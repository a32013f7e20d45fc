"""Questions that Python answers about a promise without asking it: `x is None`, `isinstance(x, …)`, `match x`.

No operator of the promise is called there, so the body would silently go the wrong way. Called by `workflows` before a
body is recorded: it reads the body's source and refuses such a question where a name is surely a promise.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.callsite import place
from flyte_temporal.sdk.conditionals import conditional
from flyte_temporal.sdk.deferred import Deferred
from flyte_temporal.sdk.entity import Entity

_UNKNOWN = object()
_OWN = {"outputs", *vars(Deferred)}
"""Attributes that are a promise's own, and not parts of the value."""

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def refuse_silent_branches(function: Callable[..., Any], *, parameters: bool = True) -> None:
    """Refuse a workflow's body that asks a promise something which the promise never hears.

    Args:
        function: The workflow's function; nothing is checked if its source cannot be read.
        parameters: Whether it is given promises.

    Raises:
        CompileError: At the first such question, with its line.
    """
    inner = inspect.unwrap(function)
    definition, first_line = _source(inner)
    if definition is None:
        return
    # A decorator between may give the body other arguments than promises.
    body = _Body(definition, inner, parameters=parameters and inner is function)
    for node in _in_order(definition.body):
        if body.asks(node):
            line = first_line + node.lineno - 1 if isinstance(node, ast.expr | ast.stmt) else first_line
            shown = ast.unparse(node).partition("\n")[0].rstrip(":")
            raise CompileError(
                f"`{shown}` is decided while the workflow is compiled, when there is only the promise of a value, so "
                'it would go the same way in every run. Branch with conditional("name").if_(...), which asks for None by '
                ".is_none(), or pass the value to a task and decide there.",
                place(inner.__code__.co_filename, line),
            )


def _source(function: Any) -> tuple[ast.FunctionDef | None, int]:
    if not isinstance(function, FunctionType):
        return None, 0
    try:
        lines, first_line = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return None, 0
    found = tree.body[0] if tree.body else None
    is_it = isinstance(found, ast.FunctionDef) and found.name == function.__name__
    return (found, first_line) if is_it and isinstance(found, ast.FunctionDef) else (None, 0)


def _in_order(body: list[Any]) -> Iterator[ast.AST]:
    """Walk the statements of a body; functions and classes inside of it are worlds of their own."""
    for node in body:
        yield node
        if not isinstance(node, _SCOPES):
            yield from _in_order(list(ast.iter_child_nodes(node)))


class _Body:
    """What the names of a workflow's body stand for.

    Args:
        definition: The function's source.
        function: The function.
        parameters: Whether its parameters are promises.
    """

    def __init__(self, definition: ast.FunctionDef, function: FunctionType, *, parameters: bool) -> None:
        self._globals = function.__globals__
        self._closure = _closure(function)
        names = [a.arg for a in (*definition.args.args, *definition.args.kwonlyargs)]
        # What plain assignments give to each local name, besides what the call gives to the parameters.
        self._given: dict[str, list[ast.expr]] = {name: [] for name in names}
        assigned = self._assignments(definition)
        others = {str(getattr(b, "id", b)) for b in _bound(definition) if id(b) not in assigned}
        self._local = others | self._given.keys()
        self._promises = self._given.keys() - others - (set() if parameters else set(names))
        while wrong := {n for n in self._promises if not all(map(self._is_promise, self._given[n]))}:
            self._promises -= wrong

    def _assignments(self, definition: ast.FunctionDef) -> set[int]:
        """Note what plain assignments give to names; return the ids of the targets that they cover."""
        covered: set[int] = set()
        for node in _in_order(definition.body):
            match node:
                case ast.Assign(targets=targets, value=value):
                    found = [(name, value) for target in targets for name in _targets(target)]
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    found = [(name, value) for name in _targets(target)]
                case ast.NamedExpr(target=name, value=value):
                    found = [(name, value)]
                case _:
                    continue
            for name, value in found:
                self._given.setdefault(name.id, []).append(value)
                covered.add(id(name))
        return covered

    def asks(self, node: ast.AST) -> bool:
        """Return whether a node is a question about a promise that Python answers by itself."""
        match node:
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [left, *others]
                pairs = zip(sides, ops, others, strict=False)
                return any(
                    isinstance(op, ast.Is | ast.IsNot)
                    and (
                        (self._is_promise(a) and self._is_plain(b))
                        or (self._is_promise(b) and self._is_plain(a))
                    )
                    for a, op, b in pairs
                )
            case ast.Match(subject=ast.Tuple(elts=elements)):
                return any(map(self._is_promise, elements))
            case ast.Match(subject=subject):
                return self._is_promise(subject)
            case ast.Call(func=ast.Name(id="isinstance" | "type" as name), args=[asked, *_]):
                return self._named(name) is getattr(builtins, name) and self._is_promise(asked)
            case _:
                return False

    def _is_promise(self, expression: ast.expr) -> bool:
        match expression:
            case ast.Name(id=name):
                return name in self._promises
            case ast.Attribute(value=inner, attr=name):
                return not name.startswith("_") and name not in _OWN and self._is_promise(inner)
            case ast.Subscript(value=inner) | ast.NamedExpr(value=inner):
                return self._is_promise(inner)
            case ast.Call(func=ast.Attribute(value=inner, attr="with_overrides")):
                return self._is_promise(inner)
            case ast.Call(func=ast.Attribute(value=inner, attr="then" | "fail")):
                return self._is_conditional(inner)
            case ast.Call(func=called):
                return isinstance(self._value(called), Entity)
            case _:
                return False

    def _is_conditional(self, expression: ast.expr) -> bool:
        """Return whether an expression is a chain of calls that begins with `conditional(...)`."""
        while isinstance(expression, ast.Call | ast.Attribute):
            if isinstance(expression, ast.Call) and self._value(expression.func) is conditional:
                return True
            expression = expression.func if isinstance(expression, ast.Call) else expression.value
        return False

    def _is_plain(self, side: ast.expr) -> bool:
        """Return whether an expression is surely no promise: a constant, or a name of the module's."""
        if isinstance(side, ast.Constant):
            return True
        value = self._value(side)
        return value is not _UNKNOWN and not isinstance(value, Deferred)

    def _value(self, expression: ast.expr) -> Any:
        """Return what a name, or an attribute of one, stands for outside of the body; `_UNKNOWN` if that is not sure."""
        match expression:
            case ast.Name(id=name):
                return self._named(name)
            case ast.Attribute(value=inner, attr=name):
                owner = self._value(inner)
                found = inspect.getattr_static(owner, name, _UNKNOWN)
                if isinstance(owner, ModuleType | type):
                    return found.__func__ if isinstance(found, staticmethod) else found
        return _UNKNOWN

    def _named(self, name: str) -> Any:
        if name in self._local:
            return _UNKNOWN
        spaces = (self._closure, self._globals, vars(builtins))
        return next((space[name] for space in spaces if name in space), _UNKNOWN)


def _closure(function: FunctionType) -> Mapping[str, Any]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            found[name] = _UNKNOWN
    return found


def _targets(target: ast.expr) -> list[ast.Name]:
    """Return the names that take parts of one value; none if one of them would take a list of several."""
    if isinstance(target, ast.Name):
        return [target]
    if isinstance(target, ast.Tuple | ast.List):
        return [name for element in target.elts for name in _targets(element)]
    return []


def _bound(definition: ast.FunctionDef) -> Iterator[ast.Name | str]:
    """Return all that binds a local name, in whatever way and however deep, besides the parameters."""
    own = {id(a) for a in (*definition.args.args, *definition.args.kwonlyargs)}
    for node in ast.walk(definition):
        match node:
            case ast.Name(ctx=ast.Store() | ast.Del()):
                yield node
            case ast.arg(arg=name) if id(node) not in own:
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                if node is not definition:
                    yield name
            case ast.alias(name=name, asname=other):
                yield other or name.partition(".")[0]
            case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name):
                yield name
            case ast.MatchStar(name=str() as name) | ast.MatchMapping(rest=str() as name):
                yield name
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                yield from names
