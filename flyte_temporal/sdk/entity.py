"""`Entity`, what all things that can be called in a workflow have in common: a name, a signature, an interface.

Subclassed by `tasks` and `workflows`, later by launch plans and references; recorded by `recording`.
"""

from __future__ import annotations

import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.callsite import definition_site
from flyte_temporal.sdk.modules import main_module_name
from flyte_temporal.sdk.signature import Signature, read_signature
from flyte_temporal.spec.entities import EntryPoint

if TYPE_CHECKING:
    from flyte_temporal.sdk.types.engine import ValueContext
    from flyte_temporal.spec.interface import Interface


class Entity(ABC):
    """Something typed that has a name and can stand at a node."""

    kind: ClassVar[Literal["task", "workflow", "launch_plan"]]
    fixed_inputs: Mapping[str, Any] = MappingProxyType({})
    """Inputs that a launch plan has set for good, so that its callers cannot give them."""

    @property
    def what(self) -> str:
        """Return what a node that runs it is, for messages."""
        return {"task": "task", "workflow": "sub-workflow", "launch_plan": "launch plan"}[self.kind]

    @property
    def attempted(self) -> Entity:
        """Return what options of attempts, set at its node, are for: itself, or what a map runs for each element."""
        return self

    @property
    @abstractmethod
    def name(self) -> str:
        """Return the dotted name, by which it is registered.

        Raises:
            CompileError: If it has none, because no module and name lead to it.
        """

    @property
    @abstractmethod
    def short_name(self) -> str:
        """Return the last part of the name, for messages and node names; never fails."""

    @property
    @abstractmethod
    def signature(self) -> Signature:
        """Return the Python side of what it takes and gives."""

    @property
    @abstractmethod
    def interface(self) -> Interface:
        """Return the spec side of what it takes and gives."""

    def sources(self) -> set[str]:
        """Return the ids of nodes that it waits for by itself, besides those that its node's inputs come from."""
        return set()

    @property
    def optional_because(self) -> str:
        """Return why its outputs may be None although nothing that it runs gives None; empty if they may not."""
        return ""

    @abstractmethod
    def evaluate(self, inputs: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
        """Run it as plain Python in this process and return its outputs, written by their declared types.

        Args:
            inputs: For every input its value, as the type engine writes it by the declared type in this context.
            context: How values are read and written.
        """


class FunctionEntity(Entity):
    """An entity that a user's function describes.

    Args:
        function: The function, possibly wrapped by decorators that use `functools.wraps`.
    """

    __name__: str
    __qualname__: str
    untyped: Any = None

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__module__ = getattr(function, "__module__", None) or "__main__"
        self.__name__ = getattr(function, "__name__", None) or type(function).__name__
        self.__qualname__ = getattr(function, "__qualname__", None) or self.__name__
        self.__doc__ = function.__doc__
        # inspect.signature and editors look here for what a call takes.
        self.__wrapped__ = function

    def __repr__(self) -> str:
        return f"<{self.kind} {self.__module__}.{self.__qualname__}>"

    @cached_property
    def signature(self) -> Signature:
        """Return the Python side of what it takes and gives.

        Raises:
            CompileError: If the function's annotations do not say it.
        """
        return read_signature(self.function, self.untyped)

    @cached_property
    def interface(self) -> Interface:
        """Return the spec side of what it takes and gives.

        Raises:
            CompileError: If the annotations do not say it.
            UnsupportedType: If an annotation has no transformer.
        """
        from flyte_temporal.sdk.interface import read_interface

        return read_interface(self.signature, self.function)

    @property
    def short_name(self) -> str:
        """Return the last part of the name, or the function's own name while no module leads to it."""
        try:
            return self.entry.name.rpartition(".")[2]
        except CompileError:
            return self.__name__

    @property
    def where(self) -> str:
        """Return file and line of the function."""
        return definition_site(self.function)

    @property
    def name(self) -> str:
        """Return `<module>.<function>`.

        Raises:
            CompileError: If module and name do not lead to this object.
        """
        entry = self.entry
        return f"{entry.module}.{entry.name}"

    @cached_property
    def entry(self) -> EntryPoint:
        """Return module and name under which another process finds this object.

        Raises:
            CompileError: If there is no such place: it is nested in a function, a lambda, or was replaced.
        """
        namespace = self._namespace()
        if _leads_to(namespace, self.__qualname__, self):
            found = self.__qualname__
        else:
            found = next((n for n, v in list(namespace.items()) if _unwrapped(v) is self), "")
        if not found:
            raise CompileError(self._not_importable(namespace), self.where)
        return EntryPoint(module=dotted_module(self), name=found)

    def _namespace(self) -> Mapping[str, Any]:
        inner = inspect.unwrap(self.function)
        found = getattr(inner, "__globals__", None)
        if isinstance(found, dict) and found.get("__name__") == self.__module__:
            return found
        module = sys.modules.get(self.__module__)
        return vars(module) if module is not None else {}

    def _not_importable(self, namespace: Mapping[str, Any]) -> str:
        kind, name = self.kind, self.__qualname__
        if "<lambda>" in name:
            return f"A {kind} cannot be a lambda: another process could not find it. Write a function with `def`."
        if "<locals>" in name:
            return (
                f"The {kind} {self.__name__!r} is defined inside a function ({name}), so another process cannot "
                f"import it. Move it to the top level of its module, or assign it to a name there."
            )
        if name in namespace:
            return (
                f"The {kind} {name!r} was replaced in its module: {self.__module__}.{name} is another object now, so "
                "there are two of that name. Rename one of them, and use functools.wraps in decorators."
            )
        return (
            f"The {kind} {name!r} is not found in its module {self.__module__}, so another process cannot import "
            "it. Assign it to a name at the top level of the module."
        )


def _leads_to(namespace: Mapping[str, Any], dotted: str, entity: Entity) -> bool:
    first, *rest = dotted.split(".")
    found = namespace.get(first)
    for part in rest:
        found = inspect.getattr_static(found, part, None)
    return _unwrapped(found) is entity


def name_in(namespace: Mapping[str, Any], entity: Entity) -> str:
    """Return the name that leads to an entity in a module, also one inside of a class there; empty if none does."""
    for name, value in list(namespace.items()):
        if _unwrapped(value) is entity:
            return name
    for name, value in list(namespace.items()):
        if isinstance(value, type) and value.__module__ == namespace.get("__name__"):
            inner = next((n for n, v in vars(value).items() if _unwrapped(v) is entity), "")
            if inner:
                return f"{name}.{inner}"
    return ""


def entities_behind(value: Any) -> Iterator[Entity]:
    """Return the entity that a module's attribute is or wraps (a decorator above `@task`), if there is one."""
    found = _unwrapped(value)
    if isinstance(found, Entity):
        yield found


def _unwrapped(value: Any) -> Any:
    seen = 0
    while not isinstance(value, Entity) and seen < 100:
        inner = value.__func__ if isinstance(value, staticmethod) else _wrapped(value)
        if inner is None:
            return None
        value, seen = inner, seen + 1
    return value


def _wrapped(value: Any) -> Any:
    # Only functions and instances that say so; objects with a catch-all __getattr__ must not answer.
    return getattr(value, "__dict__", {}).get("__wrapped__") if not isinstance(value, type) else None


def dotted_module(entity: Entity) -> str:
    """Return the name by which another process imports an entity's module.

    Raises:
        CompileError: If there is none: an interactive session.
    """
    if entity.__module__ != "__main__":
        return str(entity.__module__)
    name = main_module_name()
    if name is None:
        raise CompileError(
            f"The {entity.kind} {getattr(entity, '__name__', repr(entity))!r} is defined in an interactive session or in a script without a "
            "file, so another process cannot import it. Put it into a file.",
            getattr(entity, "where", ""),
        )
    return name
