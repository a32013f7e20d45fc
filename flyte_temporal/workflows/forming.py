"""What travels together: batches of ready siblings, and segments, from the spec and from recorded facts only. Pure.

Between a node that is ready and its attempt. Nodes of one scope wait here in lanes; `next` says what to ask for next.
Three rules: short attempts travel together (declared, or measured in this run); never fewer activities are in flight
than there are slots; and no more short ones than keep the slots busy, because what is asked for late is asked for in
better sizes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flyte_temporal.spec.nodes import TaskTarget
from flyte_temporal.spec.policies import TaskPolicy
from flyte_temporal.spec.runs import RunInput
from flyte_temporal.workflows.scope import NodeState, Scope

MEMBERS = 100
"""Most attempts in one activity: its result stays small, and an activation short."""
TARGET_S = 0.2
"""How long a batch is to take."""
SHORT_S = 0.05
"""Attempts longer than this gain nothing: an activity of their own costs some 5 ms."""
LONGEST_S = 0.5
"""A member that takes longer is handed back, so that the others go on without it."""
DECLARED_S = 0.002
"""What a declared short task is taken to need until it is measured."""
PROBED_S = 0.25
"""If the first attempts of a task take longer than this, the others wait no more for their result."""
_MOST_S = TARGET_S * 1.001
"""A sum of floats that is meant to be it may be a little more."""
_CORNER = 8
"""So many nodes that could run beside each other come along for each that is ready: the other slots want some too."""
_REMEMBERED = 4
_BATCHED = "pool"
"""The launcher whose processes run several attempts one after the other."""


@dataclass
class Pace:
    """How long the attempts of one task took.

    Args:
        seconds: The last few that succeeded.
        probes: Attempts under way while nothing is known.
        since: When the first of these was asked for.
    """

    seconds: list[float] = field(default_factory=list)
    probes: int = 0
    since: datetime | None = None


class Forming:
    """Nodes that may run and wait for company.

    Args:
        given: The run's input.
    """

    def __init__(self, given: RunInput) -> None:
        self._on = (
            given.limits.batches != "off"
            and given.interpreter >= 3
            and given.request.environment.launcher == _BATCHED
        )
        self._always = given.limits.batches == "always"
        self._recovers = given.request.recover is not None
        self._slots = max(1, given.limits.slots)
        self._short: dict[int, deque[NodeState]] = {}
        """By scope: nodes of tasks that are known to be short."""
        self._other: dict[tuple[int, str], deque[NodeState]] = {}
        """By scope and task: nodes of tasks that are not."""
        self._count = 0
        self._pace: dict[str, Pace] = {}
        self._wonders = False
        self._flying: set[str] = set()
        """Paths of the first nodes of short activities under way; looked up and counted only."""

    def __len__(self) -> int:
        return self._count

    @property
    def on(self) -> bool:
        """Return whether attempts of this run may travel together at all."""
        return self._on

    @property
    def wonders(self) -> bool:
        """Return whether nodes wait for the first result of their task, but not for longer than a moment."""
        return self._wonders

    def waiting(self) -> list[NodeState]:
        """Return the nodes that wait here."""
        return [state for lanes in (self._short, self._other) for lane in lanes.values() for state in lane]

    def drain(self) -> list[NodeState]:
        """Give up all nodes; return them."""
        found = self.waiting()
        self._short, self._other, self._count = {}, {}, 0
        return found

    def takes(self, state: NodeState) -> bool:
        """Return whether a node that may run may wait here."""
        # An attempt after a failed one travels alone: what failed once is no part of a good batch.
        first = state.attempts == 0 or bool(state.token)
        return self._on and first and not state.alone and self._policy(state) is not None

    def add(self, state: NodeState) -> None:
        """Let a node wait."""
        self._lane(state).append(state)
        self._count += 1

    def _lane(self, state: NodeState) -> deque[NodeState]:
        scope, expected = id(state.scope), self._expected(state)
        if expected is not None and expected <= SHORT_S:
            return self._short.setdefault(scope, deque())
        return self._other.setdefault((scope, _task(state)), deque())

    def drop(self, scopes: Collection[int]) -> list[NodeState]:
        """Give up the nodes of some scopes; return them.

        Args:
            scopes: Their identities.
        """
        dropped: list[NodeState] = []
        for scope in [scope for scope in self._short if scope in scopes]:
            dropped += self._short.pop(scope)
        for key in [key for key in self._other if key[0] in scopes]:
            dropped += self._other.pop(key)
        self._count -= len(dropped)
        return dropped

    def remove(self, state: NodeState) -> bool:
        """Give up one node; return whether it waited here."""
        for lanes in (self._short, self._other):
            for key, lane in lanes.items():
                if state in lane:
                    lane.remove(state)
                    self._count -= 1
                    if not lane:
                        del lanes[key]  # type: ignore[arg-type]
                    return True
        return False

    def next(self, pending: int, now: datetime) -> list[NodeState]:
        """Return what to ask for next in one activity, in the order in which it is to run; empty if nothing.

        Nodes after the first may be such that wait for those before them.

        Args:
            pending: Activities under way.
            now: The time.
        """
        self._wonders = False
        return self._next_other(now) or self._next_short(pending)

    def _next_other(self, now: datetime) -> list[NodeState]:
        for key, lane in list(self._other.items()):
            state = lane[0]
            expected = self._expected(state)
            if expected is not None and expected <= SHORT_S:
                # Known by now.
                del self._other[key]
                self._short.setdefault(key[0], deque()).extend(lane)
                continue
            pace = self._pace.setdefault(_task(state), Pace())
            if expected is None:
                pace.since = pace.since or now
                if pace.probes >= self._slots and now - pace.since < timedelta(seconds=PROBED_S):
                    self._wonders = True
                    continue
                pace.probes += 1
            lane.popleft()
            self._count -= 1
            if not lane:
                del self._other[key]
            return [state]
        return []

    def _next_short(self, pending: int) -> list[NodeState]:
        if not self._short or len(self._flying) >= 2 * self._slots:
            return []
        scope, lane = next(iter(self._short.items()))
        free = self._slots - pending
        most = min(MEMBERS, -(-self._count // (free if free > 0 else self._slots)))
        lasts = most * (self._expected(lane[0]) or 0.0)
        whole = most >= MEMBERS // 2 or lasts >= TARGET_S / 2
        if free <= 0 and len(self._flying) >= self._slots and not whole:
            # All slots have work. One more would only wait; a little later there may be more to go with it.
            return []
        group: list[NodeState] = []
        seconds = 0.0
        for _ in range(min(most, len(lane))):
            expected = self._expected(lane[0]) or 0.0
            if group and (seconds + expected > _MOST_S or not _fit(group[0], lane[0])):
                break
            group.append(lane.popleft())
            seconds += expected
        self._count -= len(group)
        if not lane:
            del self._short[scope]
        # Nodes behind these may come along if the other slots have work as well. A line of nodes always may.
        wide = self._count >= self._slots - pending - 1
        group = self._extended(group, seconds, wide=wide)
        self._flying.add(group[0].path)
        return group

    def _extended(self, group: list[NodeState], seconds: float, *, wide: bool) -> list[NodeState]:
        """Put behind each node those that wait for nothing but what stands before them.

        Args:
            group: The nodes.
            seconds: What they are taken to need.
            wide: Whether also those that could run beside each other.
        """
        room = MEMBERS - len(group)
        beside = _CORNER * len(group) if wide else 0
        fed: dict[str, int] = {}
        found: list[NodeState] = []
        for state in group:
            found.append(state)
            todo = deque([state])
            while todo:
                following = todo[0].scope.fed_by(todo.popleft())
                for each in following:
                    fed[each.path] = fed.get(each.path, 0) + 1
                    line = fed[each.path] == len(following) == 1
                    free = self.takes(each) and not self._asks_first(each)
                    expected = self._expected(each) if free else None
                    if fed[each.path] != each.scope.left(each) or expected is None or expected > SHORT_S:
                        continue
                    if (
                        room > 0
                        and (line or beside > 0)
                        and seconds + expected <= _MOST_S
                        and _fit(state, each)
                    ):
                        found.append(each)
                        todo.append(each)
                        seconds += expected
                        room -= 1
                        beside -= not line
        return found

    def landed(self, state: NodeState) -> None:
        """Note that the activity that began with this node is over."""
        self._flying.discard(state.path)

    def measured(self, state: NodeState, seconds: float) -> None:
        """Note how long an attempt took that succeeded."""
        pace = self._pace.setdefault(_task(state), Pace())
        pace.seconds = [*pace.seconds[1 - _REMEMBERED :], seconds]

    def _expected(self, state: NodeState) -> float | None:
        """Return how long an attempt is taken to need; None if nothing is known."""
        pace = self._pace.get(_task(state))
        if pace is not None and pace.seconds:
            # The lower middle: the first one may have imported the user's module, and a busy machine makes outliers.
            return sorted(pace.seconds)[(len(pace.seconds) - 1) // 2]
        policy = self._policy(state)
        return DECLARED_S if policy is not None and (policy.short or self._always) else None

    def _policy(self, state: NodeState) -> TaskPolicy | None:
        """Return the policy of a node that may travel with others; None for all other nodes."""
        target = state.node.target
        task = state.scope.program.closure.tasks.get(target.task) if isinstance(target, TaskTarget) else None
        if task is None or task.type != "python" or task.entry is None or task.container is not None:
            return None
        overrides = state.node.overrides
        policy = task.policy if overrides is None else overrides.apply(task.policy)
        if policy.short is False or policy.interruptible or (policy.cache.enabled and policy.cache.serialize):
            # A lease is extended by the activity of its own attempt.
            return None
        return policy

    def _asks_first(self, state: NodeState) -> bool:
        """Return whether somebody may know the outputs of a node already, who can only be asked with its inputs."""
        policy = self._policy(state)
        return self._recovers or (policy is not None and policy.cache.enabled)


def _task(state: NodeState) -> str:
    target = state.node.target
    return target.task if isinstance(target, TaskTarget) else ""


def _fit(one: NodeState, other: NodeState) -> bool:
    """Return whether two nodes of one scope run in the same environment."""

    def image(state: NodeState) -> str:
        overrides = state.node.overrides
        own = overrides.image if overrides is not None else None
        return state.scope.program.closure.tasks[_task(state)].policy.image if own is None else own

    return image(one) == image(other)


def in_words(group: list[NodeState]) -> str:
    """Return what people see of an activity with several nodes."""
    first, last = group[0], group[-1]
    if first.index is None or last.index is None:
        return f"{first.path} … {last.path}"[:200]
    whole = first.scope.total
    row = last.index - first.index == len(group) - 1
    which = (
        f"{first.index}\N{EN DASH}{last.index}" if row else f"{len(group)} from {first.index} to {last.index}"
    )
    name = first.name.partition("[")[0]
    node = first.path.rpartition("[")[0]
    return f"{node if name == first.node.id else f'{node} {name}'} [{which} of {whole}]"[:200]


def bears(scope: Scope, group: list[NodeState]) -> bool:
    """Return whether the rest of a batch still runs when one of it fails: only if no failure in it matters to others."""
    independent = not any(state.ahead for state in group)
    return independent and scope.bears(len(group))
