"""Fail on modules and functions that have grown too large to be read at once.

Called by `make check` with the folders to look at. Limits, and the functions that may have more parameters than the
rest (each with its reason), stand in `[tool.check_size]` of pyproject.toml.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Limits:
    """The section `[tool.check_size]`; see there."""

    module_lines_warn: int
    module_lines_fail: int
    test_module_lines_fail: int
    function_statements: int
    parameters: int
    more_parameters: dict[str, str]

    @classmethod
    def read(cls, pyproject: Path) -> Limits:
        """Return the limits that a pyproject.toml sets."""
        section = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["check_size"]
        return cls(**{name.replace("-", "_"): value for name, value in section.items()})


@dataclass(frozen=True)
class Finding:
    """One thing that is too large; `fatal` unless it is only worth a look."""

    where: str
    text: str
    fatal: bool = True


def statements(function: Function) -> int:
    """Return the number of statements in a function, those of inner functions included, docstrings not."""
    return sum(
        isinstance(node, ast.stmt) and not _is_docstring(node)
        for child in function.body
        for node in ast.walk(child)
    )


def parameters(function: Function) -> int:
    """Return the number of parameters without `self` and `cls`."""
    given = function.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def findings(path: Path, limits: Limits) -> Iterator[Finding]:
    """Yield what is too large in one module."""
    source = path.read_text(encoding="utf-8")
    lines = source.count("\n")
    is_test = path.parts[0] == "tests"
    highest = limits.test_module_lines_fail if is_test else limits.module_lines_fail
    if lines > highest:
        yield Finding(f"{path}:1", f"{lines} lines; at most {highest}. Split it by subject.")
    elif lines > limits.module_lines_warn and not is_test:
        yield Finding(f"{path}:1", f"{lines} lines; look whether it holds two subjects.", fatal=False)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield from _function_findings(path, node, limits)


def _function_findings(path: Path, function: Function, limits: Limits) -> Iterator[Finding]:
    where = f"{path}:{function.lineno}"
    if (count := statements(function)) > limits.function_statements:
        yield Finding(where, f"{function.name} has {count} statements; at most {limits.function_statements}.")
    exempt = f"{path.as_posix()}::{function.name}" in limits.more_parameters
    # Parameters of tests are fixtures, which pytest gives by name.
    is_test = path.parts[0] == "tests"
    if (count := parameters(function)) > limits.parameters and not exempt and not is_test:
        yield Finding(
            where,
            f"{function.name} has {count} parameters; at most {limits.parameters}. Group them in a dataclass.",
        )


def main(arguments: list[str]) -> int:
    """Check all modules below some folders; print what is too large.

    Args:
        arguments: Folders, relative to the folder that holds pyproject.toml; absent ones are left out.

    Returns:
        1 if something is too large, else 0.
    """
    limits = Limits.read(Path("pyproject.toml"))
    found = [
        finding
        for folder in arguments
        for path in sorted(Path(folder).rglob("*.py"))
        for finding in findings(path, limits)
    ]
    for finding in found:
        print(f"{finding.where}: {'error' if finding.fatal else 'warning'}: {finding.text}")
    fatal = sum(finding.fatal for finding in found)
    print(f"sizes: {fatal} errors, {len(found) - fatal} warnings")
    return 1 if fatal else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
