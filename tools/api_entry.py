"""One exported name as a section of docs/api.md: its signature, and its docstring with arguments and errors as lists."""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

_HEADER = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Example|Examples|Note|Notes):\s*$")
_ITEM = re.compile(r"(\*{0,2}[\w.]+(?:,\s*\*{0,2}[\w.]+)*)(?:\s*\([^)]*\))?:\s*(.*)")
_CHECKED = re.compile(r"typing\.Annotated\[(\w+), [^\[\]]*\]")
_UNSTABLE = re.compile(r"<[^<>]*(?: at 0x[0-9a-f]+|factory)>")
_LISTED = {"Args": "Arguments", "Attributes": "Attributes", "Raises": "Errors"}
_LONGEST = 88


def entry(name: str, value: Any, home: str) -> list[str]:
    """Return the lines of a name's section.

    Args:
        name: The exported name.
        value: What it is.
        home: The module that it comes from.
    """
    lines = [f"### {name}", ""]
    if inspect.isclass(value) and issubclass(value, enum.Enum) and value.__name__ != name:
        return [*lines, f"Another name of `{value.__name__}`."]
    if inspect.isclass(value) and issubclass(value, enum.Enum):
        return [*lines, *_docs(docstring(name, value, home)), "", *_members(value)]
    if callable(value) and not _is_alias(name, value):
        lines += ["```python", *_signature(name, value), "```", ""]
    if inspect.isclass(value) and issubclass(value, BaseException):
        lines += [f"An error: {' → '.join(_bases(value))}.", ""]
    lines += _docs(docstring(name, value, home))
    for options in _option_types(value):
        lines += ["", f"**Options** (`{options.__name__}`)", "", *_docs(_all_docs(options), only="Args")]
    if inspect.isclass(value) and not _is_alias(name, value):
        lines += _methods(value)
    return lines


def docstring(name: str, value: Any, home: str) -> str:
    """Return the docstring that a name has of its own, or nothing.

    One that is inherited, or that `dataclass` made up, is none. A constant has the text that stands below it.
    """
    if _is_alias(name, value) or not (inspect.isclass(value) or inspect.isroutine(value)):
        return _below_assignment(name, home) or _of_alias(value)
    own = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    if not isinstance(own, str) or own.startswith(f"{name}("):
        return ""
    return inspect.cleandoc(own)


def _is_alias(name: str, value: Any) -> bool:
    return getattr(value, "__name__", name) != name or getattr(value, "__origin__", None) is not None


def _of_alias(value: Any) -> str:
    """Return what is to be said of another name for a class of this library, such as `FlyteFile[csv]`."""
    if not inspect.isclass(value) or not value.__module__.startswith("flyte_temporal."):
        return ""
    own = vars(value).get("__doc__")
    return inspect.cleandoc(own) if own else f"The same as `{value.__name__}`."


def _below_assignment(name: str, home: str) -> str:
    body = ast.parse(inspect.getsource(importlib.import_module(home))).body
    for before, after in pairwise(body):
        # walked, because a name may be assigned in an `if TYPE_CHECKING` and its `else`
        assigned = isinstance(before, ast.Assign | ast.AnnAssign | ast.If)
        named = assigned and any(
            isinstance(each, ast.Name) and each.id == name and isinstance(each.ctx, ast.Store)
            for each in ast.walk(before)
        )
        if named and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            return inspect.cleandoc(str(after.value.value))
    return ""


def _signature(name: str, value: Any) -> list[str]:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return [name]
    parts: list[str] = []
    kinds = list(signature.parameters.values())
    for at, each in enumerate(kinds):
        if each.kind is each.KEYWORD_ONLY and not any(
            p.kind in {each.KEYWORD_ONLY, each.VAR_POSITIONAL} for p in kinds[:at]
        ):
            parts.append("*")
        parts.append(_parameter(each))
        following = kinds[at + 1].kind if at + 1 < len(kinds) else None
        if each.kind is each.POSITIONAL_ONLY and following is not each.POSITIONAL_ONLY:
            parts.append("/")
    returns = (
        ""
        if inspect.isclass(value) or signature.return_annotation is signature.empty
        else signature.return_annotation
    )
    arrow = f" -> {_annotation(returns)}" if returns != "" else ""
    line = f"{name}({', '.join(parts)}){arrow}"
    if len(line) <= _LONGEST:
        return [line]
    return [f"{name}(", *(f"    {part}," for part in parts), f"){arrow}"]


def _parameter(each: inspect.Parameter) -> str:
    star = "*" if each.kind is each.VAR_POSITIONAL else "**" if each.kind is each.VAR_KEYWORD else ""
    text = f"{star}{each.name}"
    if each.annotation is not each.empty:
        text += f": {_annotation(each.annotation)}"
    if each.default is not each.empty:
        default = _UNSTABLE.sub("…", repr(each.default))
        text += f" = {default}" if ":" in text else f"={default}"
    return text


def _annotation(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    # What checks a text is nothing that its reader needs, and its address is another one in each process.
    return _CHECKED.sub(r"\1", inspect.formatannotation(annotation))


def _bases(value: type[BaseException]) -> Iterator[str]:
    yield from (each.__name__ for each in value.__mro__ if each not in {object, BaseException})


def _members(value: type[enum.Enum]) -> list[str]:
    return [f"- `{value.__name__}.{member.name}` = `{member.value!r}`" for member in value]


def _option_types(value: Any) -> list[type]:
    """Return the TypedDict that the function's `**options` are made of."""
    annotations = getattr(inspect.unwrap(value), "__annotations__", {}) if inspect.isroutine(value) else {}
    found = []
    for annotation in annotations.values():
        match = re.fullmatch(r"Unpack\[(\w+)\]", str(annotation))
        if match:
            found.append(getattr(sys.modules[value.__module__], match[1]))
    return found


def _all_docs(options: type) -> str:
    """Join the arguments of a TypedDict and of those that it extends."""
    texts = [*(_all_docs(parent) for parent in _parents(options)), inspect.cleandoc(options.__doc__ or "")]
    items = [line for text in texts for line in text.partition("Args:\n")[2].splitlines()]
    return "\n".join(["Args:", *items])


def _parents(options: type) -> list[type]:
    """Return the TypedDicts that one extends; Python 3.11 does not keep them, so the source is asked."""
    module = sys.modules[options.__module__]
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef) and node.name == options.__name__:
            names = [base.id for base in node.bases if isinstance(base, ast.Name)]
            return [getattr(module, name) for name in names if name != "TypedDict"]
    return []


def _methods(value: type) -> list[str]:
    lines: list[str] = []
    for name, each in vars(value).items():
        function = each.__func__ if isinstance(each, classmethod | staticmethod) else each
        if name.startswith("_") or not (inspect.isfunction(function) or isinstance(function, property)):
            continue
        lines += ["", f"`.{_call(name, function, bound=not isinstance(each, staticmethod))}`", ""]
        lines += _docs(inspect.cleandoc(function.__doc__ or ""))
    return lines


def _call(name: str, function: Callable[..., Any] | property, *, bound: bool) -> str:
    if isinstance(function, property):
        returns = getattr(function.fget, "__annotations__", {}).get("return", "")
        return f"{name}: {_annotation(returns)}" if returns else name
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[1 if bound else 0 :]
    arrow = (
        ""
        if signature.return_annotation is signature.empty
        else f" -> {_annotation(signature.return_annotation)}"
    )
    return f"{name}({', '.join(map(_parameter, parameters))}){arrow}"


def _docs(text: str, only: str = "") -> list[str]:
    """Return a docstring in Markdown: prose as it is, sections as lists."""
    lines: list[str] = []
    for title, body in _parts(text):
        if not only or title == only:
            lines += _section(title, inspect.cleandoc("\n".join(body)).splitlines(), titled=not only)
    return lines[:-1] if lines and not lines[-1] else lines


def _parts(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the sections of a docstring; prose, before them or after one, has no title."""
    title, body = "", [""]
    for line in text.splitlines():
        header = _HEADER.fullmatch(line)
        if header is not None or (title and line and not line.startswith(" ")):
            yield title, body
            title, body = (header[1], [""]) if header is not None else ("", ["", line])
        else:
            body.append(line)
    yield title, body


def _section(title: str, body: list[str], *, titled: bool) -> list[str]:
    if not any(body):
        return []
    if title not in _LISTED:
        return [*([f"**{title}**", ""] if title and titled else []), *body, ""]
    items: list[str] = []
    for line in body:
        item = _ITEM.match(line)
        if item is not None:
            items.append(f"- `{item[1]}`: {item[2]}".rstrip())
        elif line.strip() and items:
            items[-1] += f" {line.strip()}"
        elif line.strip():
            return [*body, ""]  # prose where a list was expected
    return [*([f"**{_LISTED[title]}**", ""] if titled else []), *items, ""]
