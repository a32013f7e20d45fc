"""`NodeDraft`: a node while its workflow's body runs. Made by `recording`, changed through promises, read when done."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from flyte_temporal.errors import CompileError, InvalidIdentifier
from flyte_temporal.sdk.cache import Cache, Versioned, refuse_unknown_inputs, settled
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.entity import Entity
from flyte_temporal.sdk.handlers import check_handler, handler_of
from flyte_temporal.sdk.policies import PolicyOptions, check_resources, overrides, refuse_unknown
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.spec.bindings import Binding, ListOf, MapEntry, MapOf, OutputRef, nodes_of
from flyte_temporal.spec.identifiers import node_id
from flyte_temporal.spec.policies import Overrides, TaskPolicy


class NodeOptions(PolicyOptions, total=False):
    """Options of `with_overrides`.

    Args:
        node_name: Id of the node instead of n0, n1, …
        name: What people see instead of the entity's short name.
        aliases: Other names for outputs.
        on_failure: Task or workflow to run once when this node has failed for good.
        task_config: Parts of the configuration of the task type.
    """

    node_name: str
    name: str
    aliases: Mapping[str, str]
    on_failure: Callable[..., Any]
    task_config: Any


_OF_ANY_NODE = frozenset({"node_name", "name", "aliases", "on_failure"})
"""Options of nodes whose target is no task."""


@dataclass(eq=False)
class Body:
    """Nodes that run together: all of a workflow, or those of one case of a conditional.

    Args:
        label: How messages call it.
        where: File and line of the condition, or of the workflow.
        around: The body that the conditional stands in; None for the workflow's.
        nodes: Its own nodes in call order.
    """

    label: str
    where: str
    around: Body | None = None
    nodes: list[NodeDraft] = field(default_factory=list)

    def sees(self, node: NodeDraft) -> bool:
        """Return whether a node is one of this body, or of one around it."""
        return self.inside(node.body)

    def inside(self, other: Body) -> bool:
        """Return whether it is the other body, or stands in it."""
        body: Body | None = self
        while body is not None and body is not other:
            body = body.around
        return body is not None


@dataclass(eq=False)
class NodeDraft:
    """A node to be.

    Args:
        id: Its provisional id by call order; bindings refer to it until the recording is done.
        entity: What runs there.
        inputs: A binding for each input.
        where: File and line of the call.
        body: The body that it stands in.
        after: Nodes that must end first, with the place that says so.
        chosen_id: Id that the user gave.
        name: What people see.
        overrides: Parts of the policy set anew.
        aliases: Other names for outputs.
        taken: Whether something takes a value of it.
        on_failure: Runs once when this node has failed for good.
    """

    id: str
    entity: Entity
    inputs: dict[str, Binding]
    where: str
    body: Body
    after: dict[NodeDraft, str] = field(default_factory=dict)
    chosen_id: str = ""
    name: str = ""
    overrides: Overrides | None = None
    aliases: tuple[tuple[str, str], ...] = ()
    taken: bool = False
    on_failure: Entity | None = None

    @property
    def label(self) -> str:
        """Return how messages call this node."""
        return f"node {self.chosen_id or self.id} ({self.name or self.entity.short_name})"

    def run_after(self, earlier: NodeDraft, where: str) -> None:
        """Let this node wait for another one although no value flows.

        Raises:
            CompileError: If the other one stands in a case of a conditional, and this one does not.
        """
        if not self.body.sees(earlier):
            raise CompileError(
                f"The {self.label} cannot wait for the {earlier.label}, which runs only in the {earlier.body.label}. Order it "
                "after the conditional.",
                where,
            )
        self.after.setdefault(earlier, where)

    def upstream(self) -> set[str]:
        """Return the ids of the nodes that it waits for; those of its own cases are not among them."""
        found = {n for binding in self.inputs.values() for n in nodes_of(binding)}
        return found | {earlier.id for earlier in self.after} | self.entity.sources()

    def rename(self, ids: Mapping[str, str]) -> None:
        """Give it and the nodes that its inputs refer to their final ids."""
        self.id = ids.get(self.id, self.id)
        self.inputs = {name: renamed(binding, ids) for name, binding in self.inputs.items()}

    def override(self, options: Mapping[str, Any]) -> None:
        """Set options of this node anew; later calls win part by part.

        Raises:
            CompileError: If an option does not exist, its value makes no sense, or it is a promise.
        """
        where = call_site()
        refuse_unknown(options, NodeOptions, "with_overrides()", where)
        if node_name := options.get("node_name"):
            try:
                self.chosen_id = node_id(node_name)
            except InvalidIdentifier as error:
                raise CompileError(error.message, where) from error
        self.name = options.get("name") or self.name
        self.aliases = tuple(sorted(self._aliases(options, where).items())) or self.aliases
        if handler := handler_of(options.get("on_failure"), where):
            check_handler(handler, self.entity.interface, f"the {self.label}", where)
            self.on_failure = handler
        self._change_policy(options, where)

    def _change_policy(self, options: Mapping[str, Any], where: str) -> None:
        of_task = [n for n, value in options.items() if value is not None and n not in _OF_ANY_NODE]
        task = self.entity.attempted
        if of_task and task is None:
            what = self.entity.what
            raise CompileError(
                f"with_overrides({of_task[0]}=...): the {self.label} is a {what}, which is no attempt itself. Set "
                f"{of_task[0]} on its tasks; a {what} takes {', '.join(sorted(_OF_ANY_NODE))}.",
                where,
            )
        changed = overrides(options, where)
        if changed == Overrides():
            return
        policy = getattr(task, "policy", None)
        if changed.cache is not None and task is not None and isinstance(task, Versioned):
            refuse_unknown_inputs(changed.cache, task.interface, where)
            whole = (self.overrides or Overrides()).then(changed).apply(task.policy)
            given = options.get("cache")
            cache = settled(changed.cache, task, whole, given if isinstance(given, Cache) else None)
            changed = changed.model_copy(update={"cache": cache})
        if isinstance(options.get("retries"), int) and isinstance(policy, TaskPolicy):
            # A number changes the number alone, not which exceptions are retried, nor the pauses.
            count = changed.retries.count if changed.retries else 0
            kept = (self.overrides or Overrides()).apply(policy).retries
            changed = changed.model_copy(update={"retries": kept.model_copy(update={"count": count})})
        self.overrides = (self.overrides or Overrides()).then(changed)
        if isinstance(policy, TaskPolicy):
            check_resources(self.overrides.apply(policy).resources, where)

    def _aliases(self, options: Mapping[str, Any], where: str) -> Mapping[str, str]:
        given = options.get("aliases") or {}
        if not isinstance(given, Mapping) or not all(
            isinstance(x, str) for pair in given.items() for x in pair
        ):
            raise CompileError(f"aliases={shown(given)} must map output names to other names.", where)
        known = [v.name for v in self.entity.interface.outputs]
        for name in given:
            if name not in known:
                raise CompileError(
                    f"aliases: the {self.label} has no output {name!r}; it has: {', '.join(known) or 'none'}.",
                    where,
                )
        return given


def renamed(binding: Binding, ids: Mapping[str, str]) -> Binding:
    """Return a binding that refers to nodes by their final ids."""
    match binding:
        case OutputRef():
            return binding.model_copy(update={"node": ids.get(binding.node, binding.node)})
        case ListOf():
            return ListOf(items=tuple(renamed(item, ids) for item in binding.items))
        case MapOf():
            return MapOf(
                entries=tuple(MapEntry(key=e.key, value=renamed(e.value, ids)) for e in binding.entries)
            )
        case _:
            return binding


def in_order(nodes: list[NodeDraft]) -> Iterator[NodeDraft]:
    """Return the nodes of a body so that each comes after those it waits for, in call order where that leaves a choice.

    Args:
        nodes: The nodes in call order. What they wait for outside of the body has ended.

    Raises:
        CompileError: If some wait for each other; names them and the lines that order them.
    """
    index = {node.id: i for i, node in enumerate(nodes)}
    upstream = {node.id: node.upstream() & index.keys() for node in nodes}
    waiting = {node.id: len(upstream[node.id]) for node in nodes}
    downstream: dict[str, list[str]] = {node.id: [] for node in nodes}
    for node, before in upstream.items():
        for earlier in before:
            downstream[earlier].append(node)
    ready = [i for i, node in enumerate(nodes) if not waiting[node.id]]
    done = 0
    while ready:
        node_ = nodes[heapq.heappop(ready)]
        done += 1
        yield node_
        for later in downstream[node_.id]:
            waiting[later] -= 1
            if not waiting[later]:
                heapq.heappush(ready, index[later])
    if done < len(nodes):
        raise _cycle([n for n in nodes if waiting[n.id]], upstream)


def _cycle(stuck: list[NodeDraft], upstream: Mapping[str, set[str]]) -> CompileError:
    by_id = {node.id: node for node in stuck}
    path = [stuck[0]]
    while True:
        # Each stuck node waits for another stuck one, so this walk must come back to a node it has seen.
        earlier = by_id[min(u for u in upstream[path[-1].id] if u in by_id)]
        if earlier in path:
            ring = [*path[path.index(earlier) :], earlier][::-1]
            break
        path.append(earlier)
    where = next((later.after[e] for e, later in pairwise(ring) if e in later.after), "")
    return CompileError(
        f"These nodes wait for each other: {' -> '.join(n.label for n in ring)}. Remove one of the orderings (`>>`, "
        "runs_before) between them.",
        where or stuck[0].where,
    )
