"""`map_task`: run a task, workflow or launch plan once for each element of some lists.

Used by authors. Each call makes a `MapNode`, which knows what runs; here is what a call may be.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from flyte_temporal.errors import CompileError, TypeMismatch
from flyte_temporal.sdk.arguments import arguments
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.deferred import contains_promise
from flyte_temporal.sdk.entity import Entity, dotted_module, entities_behind
from flyte_temporal.sdk.map_node import MapNode
from flyte_temporal.sdk.plain import call_plain, run_nodes
from flyte_temporal.sdk.promises import Promise, origin_of
from flyte_temporal.sdk.recording import Recorded, active, record
from flyte_temporal.sdk.signature import Signature
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.nodes import ArrayTarget, TaskTarget
from flyte_temporal.spec.types import ListType as Lists
from flyte_temporal.spec.types import LiteralType, TupleType, UnionType, describe, plain_optional


def map_task(
    target: Callable[..., Any],
    concurrency: int | None = None,
    min_successes: int | None = None,
    min_success_ratio: float | None = None,
) -> MapTask:
    """Make something that runs a target once for each element: `map_task(fit, concurrency=10)(data=many)`.

    Every input that is not bound is called with a list, and all lists are equally long; every output comes back as a list.
    What is the same for every item is bound: `map_task(functools.partial(fit, model=model))(data=many)`.

    Args:
        target: A task, workflow or launch plan, or a `functools.partial` of one.
        concurrency: Largest number of items at work at once; None or 0 = no limit of its own.
        min_successes: How many items must succeed; the outputs of one that fails are None. None = all.
        min_success_ratio: The same as a fraction of the items, from 0 to 1; the larger of both counts.

    Raises:
        CompileError: If the target is none of these, or a number makes no sense.
    """
    where = call_site()
    inner = target.func if isinstance(target, functools.partial) else target
    item = next(entities_behind(inner), None)
    if item is None or isinstance(item, MapTask):
        what = "another map_task; put that into a workflow" if item is not None else shown(inner)
        raise CompileError(
            f"map_task() takes a task, a workflow or a launch plan, or a functools.partial of one, not {what}.",
            where,
        )
    bound = _bound(item, target, where) if isinstance(target, functools.partial) else {}
    settings = ArrayTarget(
        item=TaskTarget(task="item"),
        over=(),
        concurrency=_whole(concurrency, "concurrency", where) or 0,
        min_successes=_whole(min_successes, "min_successes", where),
        min_success_ratio=_fraction(min_success_ratio, where),
    )
    made = MapTask(item, bound, settings, where)
    # Found by `run FILE NAME` in the module that made it, like what is decorated there.
    made.__module__ = str(sys._getframe(1).f_globals.get("__name__", made.__module__))  # noqa: SLF001
    return made


class MapTask(Entity):
    """What `map_task` makes. Run by itself, it is a workflow of one node.

    Args:
        item: What runs for an element.
        bound: Values that are the same for every item, by input.
        settings: Numbers of the array node.
        where: File and line where it was made.
    """

    kind: ClassVar[Literal["task", "workflow", "launch_plan"]] = "workflow"

    def __init__(
        self, item: Entity, bound: Mapping[str, Any], settings: ArrayTarget, where: str = ""
    ) -> None:
        self.item = item
        self.where = where
        self._bound = bound
        self._settings = settings

    def __repr__(self) -> str:
        return f"<map_task of {self.item!r}>"

    @property
    def what(self) -> str:
        """Return what its node is, for messages."""
        return self.item.what

    @property
    def name(self) -> str:
        """Return the name that it has in its module, or else `map_<name of the item>`."""
        namespace = vars(sys.modules[self.__module__]) if self.__module__ in sys.modules else {}
        found = next((name for name, value in namespace.items() if value is self), self.short_name)
        return f"{dotted_module(self)}.{found}"

    @property
    def short_name(self) -> str:
        """Return `map_<name of the item>`."""
        return f"map_{self.item.short_name}"

    @property
    def description(self) -> str:
        """Return what it does."""
        return f"{self.item.short_name} for each element."

    @functools.cached_property
    def _alone(self) -> MapNode:
        """Return what runs if it is run by itself: over all that is not bound and has no default."""
        over = [v.name for v in self.item.interface.inputs if v.name not in self._bound and v.default is None]
        return MapNode(self.item, self._settings, over, over)

    @property
    def signature(self) -> Signature:
        """Return lists for what is not bound, and lists of the outputs."""
        return self._alone.signature

    @property
    def interface(self) -> Interface:
        """Return lists for what is not bound, and lists of the outputs."""
        return self._alone.interface

    def record(self) -> Recorded:
        """Return its one node."""
        return record(self, self.short_name, self.where, self.signature, self.interface)

    def evaluate(self, inputs: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
        """Run its one node; see `Entity.evaluate`."""
        return run_nodes(self, self.record(), inputs, context)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Add a node to the workflow that is being compiled, or, outside of one, run the items in this process.

        Raises:
            CompileError: If an input is missing, unknown, given twice or bound already, or a mapped one gets no list.
        """
        where = call_site()
        for name in self._bound.keys() & kwargs.keys():
            raise CompileError(
                f"The input {name!r} of {self.short_name}() is bound by functools.partial already. Leave it out of the call "
                "or of the partial.",
                where,
            )
        inputs = self.item.interface.inputs
        free = [v.name for v in inputs if v.name not in self._bound]
        if len(args) > len(free):
            raise CompileError(
                f"{self.short_name}() is called with {len(args)} lists by position, but takes: {', '.join(free) or 'none'}.",
                where,
            )
        given = dict(zip(free, args, strict=False))
        if twice := given.keys() & kwargs.keys():
            raise CompileError(
                f"{self.short_name}() got its input {min(twice)!r} twice: by position and by name. Remove one of them.",
                where,
            )
        given.update(kwargs)
        required = [v.name for v in inputs if v.default is None and v.name not in self._bound]
        node = MapNode(self.item, self._settings, {*required, *given})
        known = arguments(node, (), {**self._bound, **given}, where)
        if not node.over:
            raise CompileError(
                f"{self.short_name}() has no list to map over: every input is bound or left to its default. Call "
                f"{self.item.short_name}() itself, or give one input as a list.",
                where,
            )
        for name in node.over:
            _refuse_no_list(node, name, known[name], where)
        recording = active()
        return recording.call(node, (), known) if recording is not None else call_plain(node, (), known)


def _refuse_no_list(node: MapNode, name: str, value: Any, where: str) -> None:
    if isinstance(value, Promise):
        lists = _is_list(origin_of(value).type)
    else:
        lists = isinstance(value, list | tuple) or (contains_promise(value) and not isinstance(value, dict))
    if not lists:
        item = node.interface.input(name)
        raise TypeMismatch(
            f"Input {name!r} of {node.short_name}() is mapped over and takes {describe(item.type) if item else 'a list'}, "
            f"not {value!r}. What is the same for every item is bound: map_task(functools.partial("
            f"{node.item.short_name}, {name}=...)).",
            where,
        )


def _bound(item: Entity, partial: functools.partial[Any], where: str) -> dict[str, Any]:
    names = [v.name for v in item.interface.inputs]
    if len(partial.args) > len(names):
        raise CompileError(
            f"The functools.partial gives {item.short_name}() more values than it has inputs.", where
        )
    bound = {**dict(zip(names, partial.args, strict=False)), **partial.keywords}
    unknown = [name for name in bound if name not in names]
    if unknown:
        raise CompileError(
            f"The functools.partial binds {unknown[0]!r}, which is no input of {item.short_name}(). It takes: "
            f"{', '.join(names) or 'none'}.",
            where,
        )
    return bound


def _is_list(type_: LiteralType) -> bool:
    inner = plain_optional(type_) if isinstance(type_, UnionType) else type_
    return isinstance(inner, Lists | TupleType)


def _whole(value: object, name: str, where: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise CompileError(f"map_task({name}={shown(value)}): give a whole number, 0 or more.", where)


def _fraction(value: object, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise CompileError(f"map_task(min_success_ratio={shown(value)}): give a fraction from 0 to 1.", where)
