"""A flytekit name → ours, or why there is none. The one place that reads the table in `names`."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches

from flyte_temporal.cli.port import names


@dataclass(frozen=True)
class Target:
    """Where a name is to be had here.

    Args:
        module: Our module.
        name: Its name there.
    """

    module: str
    name: str


@dataclass(frozen=True)
class Lack:
    """A name that we do not have.

    Args:
        name: The name, in full as flytekit has it.
        message: What we have instead, as a sentence.
    """

    name: str
    message: str


def exported() -> frozenset[str]:
    """Return the names that the package root has."""
    import flyte_temporal

    return frozenset(flyte_temporal.__all__)


def _in_testing() -> frozenset[str]:
    from flyte_temporal import testing

    return frozenset(name for name in names.IN_TESTING if hasattr(testing, name))


@dataclass(frozen=True)
class Lookup:
    """Answers what becomes of a name.

    Args:
        exported: Names of the package root. A name that is not among them is lacking, whatever the table says.
        testing: Names of `flyte_temporal.testing`.
    """

    exported: frozenset[str] = field(default_factory=exported)
    testing: frozenset[str] = field(default_factory=_in_testing)

    def find(self, module: str, name: str) -> Target | Lack:
        """Return where a name of a flytekit module is here, or that we lack it."""
        module = names.MODULE_ALIASES.get(module, module)
        full = f"{module}.{name}"
        if module in {"flytekit.testing", "flytekit.core.testing"} and name in self.testing:
            return Target(names.TESTING, name)
        ours = names.RENAMED.get(full) or names.SAME_IN_FOREIGN.get(full)
        if ours is None and not _foreign(module):
            ours = name
        if ours in self.exported:
            return Target(names.ROOT, ours)
        return Lack(full, self._instead(module, name))

    def _instead(self, module: str, name: str) -> str:
        if is_missing_plugin(module):
            return f"There is no {module} here; docs/porting.md lists the plug-ins that there are."
        hint = names.LACKING.get(name) or _hint_of_module(module)
        if hint is not None:
            return hint[0].upper() + hint[1:] + "."
        close = get_close_matches(name, self.exported, n=1, cutoff=0.7)
        return f"The nearest name is {close[0]}." if close else "See docs/porting.md for what there is."


def _hint_of_module(module: str) -> str | None:
    hints = (hint for foreign, hint in names.FOREIGN.items() if f"{module}.".startswith(f"{foreign}."))
    return next(hints, None)


def split(parts: tuple[str, ...]) -> tuple[str, str | None, int]:
    """Take a dotted name apart into its module and the name in it.

    Args:
        parts: The parts of the dotted name, `("flytekit", "types", "file", "FlyteFile", "extension")`.

    Returns:
        The module, the name in it (None if all parts are modules), and how many parts both take.
    """
    count = 1
    while count < len(parts) and ".".join(parts[: count + 1]) in names.MODULES:
        count += 1
    module = ".".join(parts[:count])
    if count == len(parts):
        return module, None, count
    return module, parts[count], count + 1


def module_of(module: str) -> str:
    """Return our module for one of flytekit."""
    return names.TESTING if module in {"flytekit.testing", "flytekit.core.testing"} else names.ROOT


def is_flytekit(module: str) -> bool:
    """Return whether a module belongs to flytekit or its plug-ins."""
    return module.partition(".")[0] in {"flytekit", "flytekitplugins"}


def is_missing_plugin(module: str) -> bool:
    """Return whether it is a plug-in of flytekit that we lack."""
    parts = module.split(".")
    return parts[0] == "flytekitplugins" and len(parts) > 1 and ".".join(parts[:2]) not in names.PLUGINS


def is_built_in(module: str) -> bool:
    """Return whether importing the module only registered a plug-in that is part of this library."""
    return ".".join(module.split(".")[:2]) in names.BUILT_IN


def _foreign(module: str) -> bool:
    return is_missing_plugin(module) or _hint_of_module(module) is not None
