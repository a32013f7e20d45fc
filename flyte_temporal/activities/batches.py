"""A batch of attempts in one activity: started together, taken in one by one as they end.

The activity ends early when there is something that the interpreter must know at once: a failure, or a member that turns
out to be long. What has not begun by then was never started, and is asked for again by the interpreter.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from temporalio import activity

from flyte_temporal.activities.cancels import REPORT_S, beating, beating_within
from flyte_temporal.activities.delivery import Attempt, heartbeat_timeout_s, most_s, used_up
from flyte_temporal.activities.limits import Limits
from flyte_temporal.activities.parts import Parts
from flyte_temporal.activities.runs import stop_is_wanted
from flyte_temporal.errors import FlyteTemporalError, UnsupportedSpec
from flyte_temporal.faults import buggify
from flyte_temporal.ports.launcher import BatchLauncher
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Intent, Manifest
from flyte_temporal.spec.bindings import Binding, nodes_of
from flyte_temporal.spec.calls import AttemptRequest, BatchRequest, BatchResult, Member, MemberResult
from flyte_temporal.spec.entities import TaskSpec
from flyte_temporal.spec.execution import CacheStatus, ErrorDocument, ErrorKind, NodePhase
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.paths import MissingAttribute
from flyte_temporal.spec.resolving import Former, partly

_log = logging.getLogger(__name__)

_LEAST_S = 0.01


class OneBatch:
    """The life of one delivery of a batch's activity.

    Args:
        parts: What attempts are made of.
        request: What is asked for.
    """

    def __init__(self, parts: Parts, request: BatchRequest) -> None:
        self._parts = parts
        self._request = request
        self._members = [_Member(parts, request, member) for member in request.members]
        self._former = Former()
        self._beat_s = parts.pulse.interval_s(heartbeat_timeout_s())
        self._beat_at = 0.0

    async def run(self) -> BatchResult:
        """Run the members.

        Raises:
            FlyteTemporalError: If our side of it failed, for all.
        """
        request = self._request
        launcher = self._parts.launcher(request.environment.launcher)
        if not isinstance(launcher, BatchLauncher):
            raise UnsupportedSpec(f"The launcher {request.environment.launcher!r} runs no batches.")
        for member in self._members:
            member.plan(await member.attempt.task())
        if request.again or activity.info().attempt > 1:
            for member in self._members:
                manifest = await member.attempt.manifest()
                if manifest is not None:
                    # Whoever saw it end may have died before it could clear away what is left of it.
                    await launcher.release(member.attempt.id)
                    await self._take(member, manifest)
        self._parts.pulse.open += 1
        try:
            await self._drive(launcher)
        except asyncio.CancelledError:
            if not await stop_is_wanted(self._members[0].attempt.id):
                for member in self._todo:
                    member.attempt.say_why_it_is_left()
                raise
            await self._stop_in_time(launcher)
        finally:
            self._parts.pulse.open -= 1
        return BatchResult(members=tuple(member.result or MemberResult() for member in self._members))

    @property
    def _todo(self) -> list[_Member]:
        return [member for member in self._members if member.result is None]

    async def _drive(self, launcher: BatchLauncher) -> None:
        while todo := self._todo:
            if self._has_failed():
                await self._hand_back(launcher)
                return
            await self._start(launcher, todo)
            if not any(member.known for member in todo):
                return
            await self._observe(launcher, todo)
            self._beat()
            at_work = next((m for m in todo if m.result is None and m.at_work), None)
            if at_work is None:
                continue
            if at_work.ran_s > self._request.longest_s:
                await self._hand_back(launcher)
                return

    async def _hand_back(self, launcher: BatchLauncher) -> None:
        """Let nothing more begin; say of each member that has begun that it is at work, or take in its end."""
        todo = self._todo
        await launcher.withdraw([member.attempt.id for member in todo])
        # For a moment: of one whose turn seems to have come, its process may be about to say that it begins nothing more.
        states = await launcher.observe_batch([member.attempt.id for member in todo], _LEAST_S)
        for member in todo:
            state = states.get(member.key)
            if state is not None and state.over:
                await self._end(launcher, member, state)
            elif state is not None and state.phase is not AttemptPhase.QUEUED:
                # Perhaps only since then: one before it has ended in the same moment.
                member.result = MemberResult(began=True)

    def _has_failed(self) -> bool:
        return not self._request.go_on and any(m.result and m.result.error for m in self._members)

    async def _start(self, launcher: BatchLauncher, todo: Sequence[_Member]) -> None:
        """Start what the launcher does not know, as far as its inputs are there or come from what is started with it."""
        orders: list[AttemptOrder] = []
        nodes: set[str] = set()
        for member in todo:
            if member.known:
                continue
            needs = {node for binding in member.asked.bindings.values() for node in nodes_of(binding)}
            if not all(node in nodes or self._former.gave(node) for node in needs):
                break
            try:
                inputs, bindings = self._bound(member.asked, nodes)
            except MissingAttribute as error:
                member.result = MemberResult(error=_bad_input(error))
                break
            member.known = True
            orders.append(member.order.model_copy(update={"inputs": inputs, "bindings": bindings}))
            nodes.add(member.asked.node.rpartition(".")[2])
        if orders:
            buggify("start.before")
            await launcher.start_batch(orders, go_on=self._request.go_on)
            buggify("start.after")

    def _bound(
        self, asked: Member, nodes: Collection[str]
    ) -> tuple[dict[str, LiteralValue], dict[str, Binding]]:
        """Return the inputs of a member that are there, and what is bound to members that are started with it."""
        later = {
            name: partly(binding, self._former, nodes)
            for name, binding in asked.bindings.items()
            if any(node in nodes for node in nodes_of(binding))
        }
        there = {name: binding for name, binding in asked.bindings.items() if name not in later}
        return {**asked.inputs, **self._former.inputs(asked.node, there)}, later

    async def _observe(self, launcher: BatchLauncher, todo: Sequence[_Member]) -> None:
        states = await launcher.observe_batch([m.attempt.id for m in todo if m.known], self._patience())
        for member in todo:
            member.state = state = states.get(member.key)
            if state is None:
                member.known = False
            elif state.over:
                await self._end(launcher, member, state)
            elif member.at_work and not member.noted:
                member.noted = True
                member.attempt.note(NodePhase.RUNNING)
        await self._end_late(launcher)

    async def _end_late(self, launcher: BatchLauncher) -> None:
        """Stop the member whose turn it is, if it has used up its time at work, or in the queue."""
        member = next((m for m in self._todo if m.known), None)
        if member is None or member.state is None or not member.limits.passed(member.state):
            return
        before = member.state
        stopping = launcher.stop(member.attempt.id, self._parts.grace_s, Intent.TIMEOUT)
        await self._end(launcher, member, used_up(before, await beating(stopping, self._beat_s)))

    async def _end(self, launcher: BatchLauncher, member: _Member, state: AttemptState) -> None:
        manifest = await member.attempt.manifest() or await member.attempt.judged(member.order, state)
        await launcher.release(member.attempt.id)
        await self._take(member, manifest)

    def _patience(self) -> float:
        """Return how long to wait for the next end: until something is to be said, or a member runs too long."""
        first = next((member for member in self._todo if member.known), None)
        wait = self._beat_s if first is None else first.limits.look_s(first.state, self._beat_s)
        longest = self._request.longest_s - (first.ran_s if first is not None else 0.0)
        return max(_LEAST_S, min(wait, longest))

    def _beat(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._beat_at >= self._beat_s / 2:
            self._beat_at = now
            ended = sum(member.result is not None for member in self._members)
            activity.heartbeat(f"{ended} of {len(self._members)}")

    async def _take(self, member: _Member, manifest: Manifest) -> None:
        """Take in the manifest of a member: note what is to be noted, and keep its result."""
        self._keep(member, await member.attempt.done(manifest))

    def _keep(self, member: _Member, manifest: Manifest) -> None:
        seconds = (manifest.finished_at - manifest.started_at).total_seconds()
        member.result = MemberResult(
            outputs=manifest.outputs if manifest.error is None else None,
            error=manifest.error,
            seconds=seconds,
            put_failed=member.attempt.memory.status is CacheStatus.PUT_FAILED,
            checkpoint=member.attempt.checkpoint,
        )
        if manifest.error is None and manifest.outputs is not None:
            self._former.add(member.asked.node, member.order.task, manifest.outputs)

    async def _stop_in_time(self, launcher: BatchLauncher) -> None:
        """Stop as `_stop` does; members of which nothing proves then that they are over, the run sees to the end of."""
        try:
            await beating_within(self._stop(launcher), self._beat_s, self._parts.grace_s + REPORT_S)
        except Exception as error:  # noqa: BLE001 - whatever it is, the members must not pass for over
            in_time = not isinstance(error, TimeoutError)
            if in_time:
                _log.warning("Whether all of a batch is over is not known: %s", error)
            for member in self._todo:
                await member.attempt.unreported()
                # A launcher that had time and failed has perhaps told nothing to it; else it is told, and dead but for the report.
                member.result = MemberResult(
                    stopped=not in_time, began=True, checkpoint=member.attempt.checkpoint
                )

    async def _stop(self, launcher: BatchLauncher) -> None:
        """Let nothing more begin, and stop what is at work."""
        todo = self._todo
        await launcher.withdraw([member.attempt.id for member in todo])
        states = await launcher.observe_batch([member.attempt.id for member in todo])
        for member in todo:
            if member.key not in states:
                continue
            await launcher.stop(member.attempt.id, self._parts.grace_s)
            manifest = await member.attempt.stopped(launcher)
            if manifest is not None:
                self._keep(member, manifest)
            else:
                member.result = MemberResult(stopped=True, checkpoint=member.attempt.checkpoint)


class _Member:
    """What a delivery knows about a member."""

    def __init__(self, parts: Parts, request: BatchRequest, asked: Member) -> None:
        self.asked = asked
        attempt = AttemptId(
            execution=request.execution, node=asked.node, number=asked.number, token=asked.token
        )
        self.attempt = Attempt(
            parts,
            AttemptRequest(
                attempt=attempt,
                spec=request.spec,
                task=asked.task,
                inputs=asked.inputs,
                environment=request.environment,
                overrides=asked.overrides,
                order=asked.order,
                name=asked.name,
                inline_bytes=request.inline_bytes,
                created_at=request.created_at,
                first_started_at=asked.first_started_at,
                memo=asked.memo,
                cache=asked.cache,
                checkpoint_from=asked.checkpoint_from,
                asked_at=asked.asked_at,
                interruptible=asked.interruptible,
            ),
        )
        self.key = attempt.key
        self.order: AttemptOrder
        self.limits: Limits
        self.known = False
        self.noted = False
        self.state: AttemptState | None = None
        self.result: MemberResult | None = None

    def plan(self, task: TaskSpec) -> None:
        """Take in what it runs."""
        self.order = self.attempt.order(task)
        self.limits = Limits(task.policy.timeouts, self.asked.asked_at, most_s())

    @property
    def at_work(self) -> bool:
        return self.state is not None and self.state.phase is AttemptPhase.RUNNING

    @property
    def ran_s(self) -> float:
        began = self.state.started_at if self.state is not None else None
        return (datetime.now(UTC) - began).total_seconds() if began is not None else 0.0


def _bad_input(error: FlyteTemporalError) -> ErrorDocument:
    return ErrorDocument(
        kind=ErrorKind(error.fault), code=error.code, message=error.message, recoverable=error.retryable
    )
