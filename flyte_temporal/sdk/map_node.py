"""`MapNode`, what stands at the node of a map: an item, and which of its inputs take lists.

Made by `maps` for each call of a map; `gather` writes it as an array, `plain` runs it.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Optional

from flyte_temporal.errors import BadRequest
from flyte_temporal.sdk.entity import Entity
from flyte_temporal.sdk.failing import error_message
from flyte_temporal.sdk.signature import Parameter, Signature
from flyte_temporal.sdk.types.adapt import adapt
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.spec.arrays import check_enough, item_count, too_many_failed
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.nodes import ArrayTarget
from flyte_temporal.spec.types import ListType, optional


class MapNode(Entity):
    """An item that runs once for each element.

    Args:
        item: What runs for an element.
        settings: Numbers of the array node; its item and inputs are filled in when it is written.
        over: Names of the inputs that take lists.
        given: Names of all inputs that it is given; others keep their defaults.
    """

    kind: ClassVar[Literal["task", "workflow", "launch_plan"]] = "workflow"

    def __init__(
        self, item: Entity, settings: ArrayTarget, over: Collection[str], given: Collection[str] | None = None
    ) -> None:
        self.item = item
        self.settings = settings
        self.over = tuple(v.name for v in item.interface.inputs if v.name in over)
        self._given = given

    @property
    def attempted(self) -> Entity:
        """Return the item: each has attempts of its own."""
        return self.item

    @property
    def name(self) -> str:
        """Return its short name; no process ever imports a map by it."""
        return self.short_name

    @property
    def short_name(self) -> str:
        """Return `map_<name of the item>`."""
        return f"map_{self.item.short_name}"

    @functools.cached_property
    def signature(self) -> Signature:
        """Return the item's, with a list for every mapped input and every output."""
        item, tolerant = self.item.signature, self.settings.tolerant
        parameters = {
            name: Parameter(name, _list_of(p.annotation)) if name in self.over else p
            for name, p in item.parameters.items()
            if self._given is None or name in self._given
        }
        outputs = {
            name: _list_of(_optional(annotation) if tolerant else annotation)
            for name, annotation in item.outputs.items()
        }
        return Signature(parameters, outputs, item.form, item.named)

    @functools.cached_property
    def interface(self) -> Interface:
        """Return the item's, with a list for every mapped input and every output."""
        item = self.item.interface
        inputs = tuple(
            v.model_copy(update={"type": ListType(element=v.type), "default": None})
            if v.name in self.over
            else v
            for v in item.inputs
            if self._given is None or v.name in self._given
        )
        return Interface(inputs=inputs, outputs=self.settings.outputs(item.outputs))

    def evaluate(self, inputs: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
        """Run the items in order; see `Entity.evaluate`.

        Raises:
            InvalidArrayLength: If the lists differ in length.
            TooFewItems: If they have fewer elements than must succeed.
            Exception: What the first item that failed raised, if so many may not fail; notes say which items failed.
        """
        count = item_count({name: len(inputs[name]) for name in self.over})
        check_enough(self.settings, count)
        types = {v.name: v.type for v in self.item.interface.outputs}
        results: list[Mapping[str, Any] | None] = []
        first: Exception | None = None
        for index in range(count):
            given = {n: v[index] if n in self.over else v for n, v in inputs.items()}
            try:
                results.append(self.item.evaluate(given, context))
            except Exception as error:  # noqa: BLE001 - the first one is raised, once too many have failed
                results.append(None)
                first = first or error
                first.add_note(f"Item {index} of {count} of {self.short_name} failed: {error_message(error)}")
                if isinstance(error, BadRequest) or too_many_failed(
                    self.settings, count, results.count(None)
                ):
                    raise first from first.__cause__
        element = {n: optional(t) if self.settings.tolerant else t for n, t in types.items()}
        return {
            name: [None if r is None else adapt(r[name], type_, element[name]) for r in results]
            for name, type_ in types.items()
        }


def _list_of(annotation: Any) -> Any:
    return list[annotation]


def _optional(annotation: Any) -> Any:
    return Optional[annotation]  # noqa: UP045 - `|` refuses annotations that are no classes
