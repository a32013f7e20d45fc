"""Import statements: what becomes of one, and what a name that it binds stands for. Used by `survey` alone."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst
from libcst.helpers import get_full_name_for_node

from flyte_temporal.cli.port import names
from flyte_temporal.cli.port.lookup import (
    Lack,
    Lookup,
    Target,
    is_built_in,
    is_flytekit,
    is_missing_plugin,
    module_of,
)

Found = tuple[Sequence[cst.BaseSmallStatement] | None, list[Lack | Target]]
"""The statements that replace one (None: it stays), and what became of its names."""


class Imports:
    """Decides about import statements.

    Args:
        lookup: The table of names.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def of_import(self, node: cst.Import) -> Found:
        """Decide about `import a.b as c, d`."""
        kept: list[cst.ImportAlias] = []
        lacking: list[Lack | Target] = []
        changed = False
        for alias in node.names:
            module = _dotted(alias.name)
            if not is_flytekit(module):
                kept.append(alias)
                continue
            changed = True
            if is_missing_plugin(module):
                lacking.append(_no_plugin(module))
            elif not is_built_in(module) or alias.asname is not None:
                name = cst.ensure_type(cst.parse_expression(module_of(module)), cst.Name | cst.Attribute)  # type: ignore[arg-type]
                kept.append(alias.with_changes(name=name))
        if not changed:
            return None, lacking
        return ([node.with_changes(names=_without_comma(_once(kept)))] if kept else []), lacking

    @staticmethod
    def is_star(node: cst.ImportFrom) -> bool:
        """Return whether it is `from flytekit… import *`."""
        return isinstance(node.names, cst.ImportStar) and is_flytekit(_from(node))

    def of_from(self, node: cst.ImportFrom) -> Found:
        """Decide about `from a.b import c as d, e`."""
        module = _from(node)
        if not is_flytekit(module):
            return None, []
        if is_missing_plugin(module):
            return None, [_no_plugin(module)]
        if isinstance(node.names, cst.ImportStar):
            return [node.with_changes(module=cst.parse_expression(names.ROOT))], []
        groups: dict[str, list[cst.ImportAlias]] = {}
        modules: list[cst.BaseSmallStatement] = []
        found: list[Lack | Target] = []
        for alias in node.names:
            name = _dotted(alias.name)
            if f"{module}.{name}" in names.MODULES:
                modules.append(_module_import(f"{module}.{name}", _bound_name(alias)))
                continue
            target = self._lookup.find(module, name)
            found.append(target)
            if isinstance(target, Target):
                groups.setdefault(target.module, []).append(_renamed(alias, target.name))
        return [*_froms(node, groups), *modules], found

    def bound(self, node: cst.CSTNode, name: str) -> tuple[str, str | None] | None:
        """Return the flytekit module that a name bound by this statement stands for.

        Returns:
            The module and its alias, None for an alias where the module is bound by its own name; None if the name stands
            for no module of flytekit.
        """
        if isinstance(node, cst.ImportFrom):
            return self._bound_from(node, name)
        if not isinstance(node, cst.Import):
            return None
        for alias in node.names:
            module = _dotted(alias.name)
            if not is_flytekit(module):
                continue
            if alias.asname is not None and _bound_name(alias) == name:
                return module, name
            if alias.asname is None and module.partition(".")[0] == name:
                return name, None
        return None

    @staticmethod
    def _bound_from(node: cst.ImportFrom, name: str) -> tuple[str, str | None] | None:
        module = _from(node)
        if not is_flytekit(module) or isinstance(node.names, cst.ImportStar):
            return None
        for alias in node.names:
            full = f"{module}.{_dotted(alias.name)}"
            if full in names.MODULES and _bound_name(alias) == name:
                return full, name
        return None


def _froms(node: cst.ImportFrom, groups: dict[str, list[cst.ImportAlias]]) -> list[cst.BaseSmallStatement]:
    """Return one statement for each of our modules; the first keeps the form of the old one."""
    found: list[cst.BaseSmallStatement] = []
    for module, aliases in groups.items():
        # a comma at the end is for names in parentheses only
        kept = aliases if node.lpar is not None and not found else _without_comma(aliases)
        form = {} if not found else {"lpar": None, "rpar": None}
        found.append(node.with_changes(module=cst.parse_expression(module), names=kept, **form))
    return found


def _module_import(module: str, bound: str) -> cst.BaseSmallStatement:
    ours = module_of(module)
    package, _, last = ours.rpartition(".")
    if package and last == bound:
        text = f"from {package} import {last}"
    else:
        text = f"import {ours}" if ours == bound else f"import {ours} as {bound}"
    line = cst.parse_statement(text)
    return cst.ensure_type(line, cst.SimpleStatementLine).body[0]


def _renamed(alias: cst.ImportAlias, name: str) -> cst.ImportAlias:
    if _dotted(alias.name) == name:
        return alias
    if _bound_name(alias) == name:
        return alias.with_changes(name=cst.Name(name), asname=None)
    asname = alias.asname or cst.AsName(name=cst.Name(_dotted(alias.name)))
    return alias.with_changes(name=cst.Name(name), asname=asname)


def _once(aliases: list[cst.ImportAlias]) -> list[cst.ImportAlias]:
    """Leave out what is imported twice: several modules of flytekit become one of ours."""
    seen: set[tuple[str, str]] = set()
    found = []
    for alias in aliases:
        key = (_dotted(alias.name), _bound_name(alias))
        if key not in seen:
            seen.add(key)
            found.append(alias)
    return found


def _without_comma(aliases: list[cst.ImportAlias]) -> list[cst.ImportAlias]:
    return [*aliases[:-1], aliases[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)]


def _no_plugin(module: str) -> Lack:
    return Lack(module, f"There is no {module} here; docs/porting.md lists the plug-ins that there are.")


def _from(node: cst.ImportFrom) -> str:
    return "" if node.relative or node.module is None else _dotted(node.module)


def _bound_name(alias: cst.ImportAlias) -> str:
    return _dotted(alias.asname.name) if alias.asname is not None else _dotted(alias.name)


def _dotted(node: cst.CSTNode) -> str:
    return get_full_name_for_node(node) or ""
