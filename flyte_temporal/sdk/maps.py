"""`map_task`: run a task, workflow or launch plan once for each element of some lists.

Used by authors; `gather` writes it as one array node, `evaluate` runs the items in order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Optional

from flyte_temporal.errors import BadRequest, CompileError, TypeMismatch
from flyte_temporal.sdk.arguments import arguments
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.deferred import contains_promise
from flyte_temporal.sdk.entity import Entity, entities_behind
from flyte_temporal.sdk.plain import call_plain
from flyte_temporal.sdk.promises import Promise, origin_of
from flyte_temporal.sdk.recording import active
from flyte_temporal.sdk.signature import REQUIRED, Parameter, Signature
from flyte_temporal.sdk.types.adapt import adapt
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.spec.arrays import check_enough, item_count, too_many_failed
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.nodes import ArrayTarget, TaskTarget
from flyte_temporal.spec.types import ListType as Lists
from flyte_temporal.spec.types import LiteralType, TupleType, UnionType, describe, optional, plain_optional


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
    return MapTask(item, bound, settings)


class MapTask(Entity):
    """What `map_task` makes.

    Args:
        item: What runs for an element.
        bound: Values that are the same for every item, by input.
        settings: Numbers of the array node; its item and inputs are filled in by the compiler.
        mapped: Names of the inputs that take lists; None = all that are not bound and have no default.
    """

    kind: ClassVar[Literal["task", "workflow", "launch_plan"]] = "workflow"

    def __init__(
        self,
        item: Entity,
        bound: Mapping[str, Any],
        settings: ArrayTarget,
        mapped: frozenset[str] | None = None,
    ) -> None:
        self.item = item
        self._bound = bound
        self.settings = settings
        self._mapped = mapped

    def __repr__(self) -> str:
        return f"<map_task of {self.item!r}>"

    @property
    def what(self) -> str:
        """Return what its node is, for messages."""
        return self.item.what

    @property
    def name(self) -> str:
        """Return the item's name with a prefix; no process ever imports a map by it."""
        module, _, last = self.item.name.rpartition(".")
        return f"{module}.map_{last}" if module else f"map_{last}"

    @property
    def short_name(self) -> str:
        """Return `map_<name of the item>`."""
        return f"map_{self.item.short_name}"

    @functools.cached_property
    def over(self) -> tuple[str, ...]:
        """Return the names of the inputs that take lists, in the item's order."""
        return tuple(
            v.name
            for v in self.item.interface.inputs
            if v.name not in self._bound
            and (v.default is None if self._mapped is None else v.name in self._mapped)
        )

    @functools.cached_property
    def signature(self) -> Signature:
        """Return the item's with a list for every mapped input and every output."""
        item, over = self.item.signature, self.over
        parameters = {
            name: Parameter(name, _list_of(p.annotation), REQUIRED) if name in over else p
            for name, p in item.parameters.items()
        }
        tolerant = self.settings.tolerant
        outputs = {
            name: _list_of(_optional(annotation) if tolerant else annotation)
            for name, annotation in item.outputs.items()
        }
        return Signature(parameters, outputs, item.form, item.named)

    @functools.cached_property
    def interface(self) -> Interface:
        """Return the item's with a list for every mapped input and every output."""
        item = self.item.interface
        inputs = tuple(
            v.model_copy(update={"type": Lists(element=v.type), "default": None})
            if v.name in self.over
            else v
            for v in item.inputs
        )
        return Interface(inputs=inputs, outputs=self.settings.outputs(item.outputs))

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
        free = [v.name for v in self.item.interface.inputs if v.name not in self._bound]
        if len(args) > len(free):
            raise CompileError(
                f"{self.short_name}() takes {len(free)} lists, but {len(args)} were given by position. It takes: "
                f"{', '.join(free) or 'none'}.",
                where,
            )
        by_position = dict(zip(free, args, strict=False))
        if twice := by_position.keys() & kwargs.keys():
            raise CompileError(
                f"{self.short_name}() got its input {min(twice)!r} twice: by position and by name. Remove one of them.",
                where,
            )
        given = {**by_position, **kwargs}
        whole = MapTask(self.item, self._bound, self.settings, frozenset({*self.over, *given}))
        return whole._call(given, where)

    def _call(self, given: Mapping[str, Any], where: str) -> Any:
        known = arguments(self, (), {**self._bound, **given}, where)
        if not self.over:
            raise CompileError(
                f"{self.short_name}() has no list to map over: every input is bound or left to its default. Call "
                f"{self.item.short_name}() itself, or give one input as a list.",
                where,
            )
        for name in self.over:
            self._refuse_no_list(name, known[name], where)
        recording = active()
        return recording.call(self, (), known) if recording is not None else call_plain(self, (), known)

    def _refuse_no_list(self, name: str, value: Any, where: str) -> None:
        if isinstance(value, Promise):
            lists = _is_list(origin_of(value).type)
        else:
            lists = isinstance(value, list | tuple) or (
                contains_promise(value) and not isinstance(value, dict)
            )
        if not lists:
            item = self.interface.input(name)
            raise TypeMismatch(
                f"Input {name!r} of {self.short_name}() is mapped over and takes {describe(item.type) if item else 'a list'}, "
                f"not {value!r}. What is the same for every item is bound: map_task(functools.partial("
                f"{self.item.short_name}, {name}=...)).",
                where,
            )

    def evaluate(self, inputs: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
        """Run the items in order; see `Entity.evaluate`.

        Raises:
            InvalidArrayLength: If the lists differ in length.
            TooFewItems: If they have fewer elements than must succeed.
            Exception: What an item raised, if it may not fail; a note says which item it was.
        """
        count = item_count({name: len(inputs[name]) for name in self.over})
        check_enough(self.settings, count)
        types = {v.name: v.type for v in self.item.interface.outputs}
        results: list[Mapping[str, Any] | None] = []
        for index in range(count):
            given = {n: v[index] if n in self.over else v for n, v in inputs.items()}
            try:
                results.append(self.item.evaluate(given, context))
            except Exception as error:
                results.append(None)
                if isinstance(error, BadRequest) or too_many_failed(
                    self.settings, count, results.count(None)
                ):
                    error.add_note(f"It was item {index} of {count} of {self.short_name}.")
                    raise
        element = {n: optional(t) if self.settings.tolerant else t for n, t in types.items()}
        return {
            name: [None if r is None else adapt(r[name], type_, element[name]) for r in results]
            for name, type_ in types.items()
        }


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


def _list_of(annotation: Any) -> Any:
    return list[annotation]


def _optional(annotation: Any) -> Any:
    return Optional[annotation]  # noqa: UP045 - `|` refuses annotations that are no classes


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
