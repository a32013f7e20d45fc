"""`Driver`: takes one attempt from its order to the end of its pod, whatever the cluster answers meanwhile.

One task per attempt. It re-derives everything from the newest object each time it is woken, and asks the cluster itself
now and then, so that a lost event costs two minutes and never a wrong state.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from datetime import UTC, datetime

from flyte_temporal.adapters.launchers.kubernetes.api import PODS, ApiFailure, Json
from flyte_temporal.adapters.launchers.kubernetes.beside import AFTER, commit
from flyte_temporal.adapters.launchers.kubernetes.claims import Claims
from flyte_temporal.adapters.launchers.kubernetes.creating import Answer, Step, answer_of
from flyte_temporal.adapters.launchers.kubernetes.entries import Entry, delete_own, is_of
from flyte_temporal.adapters.launchers.kubernetes.logs import PodLogs
from flyte_temporal.adapters.launchers.kubernetes.looks import Look, last_words
from flyte_temporal.adapters.launchers.kubernetes.pods import Wanted, pod_of
from flyte_temporal.adapters.launchers.kubernetes.reflector import slim
from flyte_temporal.adapters.launchers.kubernetes.refusals import PodRefused
from flyte_temporal.errors import LauncherError, StorageError
from flyte_temporal.faults import buggify
from flyte_temporal.spec.attempt import (
    NO_MANIFEST,
    NOT_CLAIMED,
    AttemptOrder,
    AttemptPhase,
    AttemptState,
    Intent,
)
from flyte_temporal.spec.evidence import Evidence
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, Verdict
from flyte_temporal.spec.verdicts import judge

_log = logging.getLogger(__name__)

_LOOK_S = (60.0, 120.0)
"""After how long without news the pod is asked for, at least and at most."""
_YOUNG_S = 10.0
"""A pod that was created less long ago may not be seen by every read yet."""
_NODE_S = (15.0, 30.0)
"""How often the node of a pod that does not end is asked for."""
_FIRST_S = 1.0
_MOST_S = 60.0
_TICK_S = 1.0


class Driver:
    """Drives attempts.

    Args:
        claims: What is written beside them.
        logs: Of those whose container has nobody else who stores it.
        run_s: Longest run of an attempt whose task sets no time-out; 0 = none.
    """

    def __init__(self, claims: Claims, logs: PodLogs, run_s: float = 0.0) -> None:
        self._claims = claims
        self._logs = logs
        self._run_s = run_s

    async def drive(self, entry: Entry) -> None:
        """See an attempt through; returns when it is over."""
        entry.cluster.watch(entry.attempt.execution)
        pause_s, failed_at = 0.0, 0.0
        while not entry.over.done():
            try:
                if entry.pod is None:
                    await self._place(entry)
                if not entry.over.done():
                    await self._follow(entry)
            except (ApiFailure, StorageError, LauncherError) as failure:
                pause_s, failed_at = _longer(pause_s, failed_at), time.monotonic()
                word = (
                    "api_unreachable" if isinstance(failure, ApiFailure) and not failure.status else "waits"
                )
                if entry.state.phase is AttemptPhase.QUEUED:
                    entry.say(f"{word}: {failure}")
                # What woke it has been taken in by the next round, or is: without this it would not rest at all.
                entry.wake.clear()
                await self._rest(entry, pause_s)
            except Exception as error:  # noqa: BLE001 - it must neither hang without a word nor be judged by accident
                # Not seen before; the attempt must neither hang for ever without a word nor be judged by accident.
                _log.exception("The pod of %s could not be looked after", entry.attempt.label)
                pause_s, failed_at = _longer(pause_s, failed_at), time.monotonic()
                entry.say(f"waits: {type(error).__name__}: {error}")
                entry.wake.clear()
                await self._rest(entry, pause_s)

    # ---- until there is a pod

    async def _place(self, entry: Entry) -> None:
        """Find the attempt's pod or create it; the entry has it then, or is over."""
        new = entry.may_create and await self._claims.give(self._as_sent(entry))
        # Somebody may have stopped it before it was ever ordered.
        new = new and await self._claims.claim(entry.attempt) is None
        if new:
            entry.idle_at = datetime.now(UTC)  # a create whose answer is lost comes after this
        if not new and await self._find(entry):
            return
        if not entry.may_create:
            entry.end(
                AttemptState(
                    phase=AttemptPhase.LOST, message="Its pod is not there.", pod=entry.seen(gone=True)
                )
            )
            return
        retry_s = 0.0
        while not entry.over.done():
            if entry.stop_s is not None and (await self._never(entry) or await self._find(entry)):
                return
            await self._turn(entry)
            if entry.stop_s is not None:
                continue
            answer = await self._create(entry)
            if answer is None or (answer.step is Step.ADOPT and await self._adopt(entry)):
                return
            retry_s = min(_MOST_S, max(_FIRST_S, retry_s * 2))
            await self._put_off(entry, answer, retry_s)

    async def _put_off(self, entry: Entry, answer: Answer, retry_s: float) -> None:
        """Wait until it makes sense to ask for the pod again, and say why."""
        if answer.step is Step.ADOPT:
            return
        entry.say(answer.message)
        if answer.step is Step.PAUSE:
            entry.cluster.turns.pause(answer.pause_s)
        elif answer.step is Step.WAIT:
            quota_s = entry.cluster.settings.quota_wait_s
            await self._rest(entry, random.uniform(quota_s, 2 * quota_s))  # noqa: S311 - spreads load
        else:
            await self._rest(entry, retry_s * random.uniform(0.5, 1.0))  # noqa: S311 - the same

    @staticmethod
    def _as_sent(entry: Entry) -> AttemptOrder:
        storage = entry.cluster.settings.storage
        return entry.order if storage is None else entry.order.model_copy(update={"storage": storage})

    async def _turn(self, entry: Entry) -> None:
        """Wait for the attempt's turn to be created, or until it is to stop."""
        turn = asyncio.ensure_future(entry.cluster.turns.take())
        try:
            while not (await asyncio.wait((turn,), timeout=_TICK_S))[0]:
                if entry.stop_s is not None:
                    return
                paused = entry.cluster.turns.paused_s
                entry.say(
                    f"the cluster asked to wait for {paused:.0f} s more"
                    if paused
                    else "waits for its turn to be created"
                )
        finally:
            turn.cancel()

    async def _create(self, entry: Entry) -> Answer | None:
        """Ask for the pod; return what to do instead, or None if it is there or the attempt is over."""
        order, cluster = entry.order, entry.cluster
        try:
            policy = order.task.policy
            named = (
                await cluster.template(entry.namespace, policy.pod_template) if policy.pod_template else None
            )
            owner = await cluster.owner(entry.attempt.execution)
            sent, mark = self._as_sent(entry), cluster.installation
            pod = pod_of(Wanted(sent, cluster.settings, named, owner, self._run_s, mark))
            buggify("pod.before")
            made = await cluster.api.create(PODS, entry.namespace, pod)
            buggify("pod.after")
        except PodRefused as refused:
            self._refuse(entry, refused.document())
            return None
        except ApiFailure as failure:
            answer = answer_of(failure)
            if answer.error is not None:
                self._refuse(entry, answer.error)
                return None
            if "ownerreference" in failure.message.lower():
                cluster.forget_owner(entry.attempt.execution)
            return answer
        entry.sent_at = time.monotonic()
        self._take(entry, made)
        return None

    @staticmethod
    def _take(entry: Entry, pod: Json) -> None:
        """Note the attempt's pod; what the watch has said of it meanwhile is newer."""
        entry.news(slim(pod), gone=False)
        seen = entry.cluster.watch(entry.attempt.execution).pods.get((entry.namespace, entry.name))
        if seen is not None and seen["metadata"].get("uid") == entry.uid:
            entry.news(seen, gone=False)

    @staticmethod
    def _refuse(entry: Entry, error: ErrorDocument) -> None:
        entry.end(AttemptState(phase=AttemptPhase.EXITED, ran=False, message=error.message, error=error))

    async def _adopt(self, entry: Entry) -> bool:
        """Take over what has the attempt's name; return whether there is something to follow."""
        found = await entry.cluster.api.get(PODS, entry.namespace, entry.name)
        if found is None:
            return False
        if is_of(found, entry.attempt):
            self._take(entry, found)
            return True
        if "deletionTimestamp" in found["metadata"]:
            entry.say("an older pod of its name is being deleted")
            await self._rest(entry, _FIRST_S)
            return False
        words = f"The pod {entry.namespace}/{entry.name} is there and is not this attempt's. Somebody else made it."
        self._refuse(
            entry, ErrorDocument(kind=ErrorKind.USER, code="NameCollision", message=words, recoverable=False)
        )
        _log.error("%s", words)
        return True

    async def _find(self, entry: Entry) -> bool:
        """Look for what an earlier worker left of the attempt; return whether the entry has a pod now, or is over."""
        if await self._adopt(entry):
            entry.intent = entry.intent or await self._claims.stop(entry.attempt)
            return True
        claim = await self._claims.claim(entry.attempt)
        if claim is None:
            return False
        entry.intent = claim.intent or entry.intent or await self._claims.stop(entry.attempt)
        if not claim.began:
            entry.end(_never_began())
            return True
        # It has run, and its pod is gone: it must not run again.
        message = "Its pod is gone, and left no result."
        entry.end(AttemptState(phase=AttemptPhase.LOST, message=message, pod=entry.seen(gone=True)))
        return True

    async def _never(self, entry: Entry) -> bool:
        """See that an attempt without a pod never begins; return False if it has begun after all."""
        claim = await self._claims.never(entry.attempt, entry.intent or Intent.CANCEL)
        if claim.began:
            return False
        # A create whose answer was lost may have left a pod, which finds the claim taken and does nothing.
        await delete_own(entry, grace_s=0)
        entry.end(_never_began())
        return True

    # ---- once there is one

    async def _follow(self, entry: Entry) -> None:
        """Watch the attempt's pod to its end."""
        while not entry.over.done():
            entry.wake.clear()
            if entry.gone and await self._is_gone(entry):
                return
            found = entry.look()
            self._logs.look(entry, found)
            if found.over:
                await self._conclude(entry, found)
                return
            if not entry.told and entry.stop_s is not None:
                await self._tell(entry, entry.stop_s)
            elif not entry.told and entry.given_up(found) is not None:
                await self._give_up(entry)
            if self._may_force(entry):
                await self._force(entry)
                continue
            if await self._node_is_lost(entry, found):
                return
            await self._rest(entry, self._patience_s(entry, found))
            if not entry.wake.is_set() and self._is_due(entry):
                await self._ask(entry)

    @staticmethod
    def _patience_s(entry: Entry, found: Look) -> float:
        # What waits is judged by our own clock, and a pod that is to end by its grace.
        if found.waiting is not None or found.deleting or entry.told:
            return _TICK_S
        return max(_TICK_S, entry.ask_at - time.monotonic())

    @staticmethod
    def _is_due(entry: Entry) -> bool:
        now = time.monotonic()
        if now < entry.ask_at:
            return False
        entry.ask_at = now + random.uniform(*_LOOK_S)  # noqa: S311 - spreads load
        return True

    async def _ask(self, entry: Entry) -> None:
        """Ask the cluster itself for the pod: news of it may have been lost."""
        found = await entry.cluster.api.get(PODS, entry.namespace, entry.name)
        if found is None:
            entry.gone = True
            entry.wake.set()
        else:
            entry.news(slim(found), gone=False)

    async def _give_up(self, entry: Entry) -> None:
        """End a pod that does not start, if that is so by the cluster's word of now.

        What the watch has said last may be old: while the cluster was away the pod may have begun to work.
        """
        await self._ask(entry)
        found = entry.look()
        error = None if entry.gone else entry.given_up(found)
        if error is not None:
            # Without any grace it would be forgotten before its node, if it has one, has confirmed that nothing of it begins.
            await self._tell(entry, 1.0 if found.node else 0.0)
            entry.error = error

    @staticmethod
    async def _tell(entry: Entry, grace_s: float) -> None:
        """Have the cluster end the pod."""
        there = await entry.cluster.api.delete(PODS, entry.namespace, entry.name, entry.uid, grace_s)
        entry.told = True
        if not there:
            entry.gone = True
            entry.wake.set()

    @staticmethod
    def _may_force(entry: Entry) -> bool:
        """Return whether a pod's end is overdue, and its task says that a copy which lives on does no harm."""
        since = entry.deleting_since
        if since is None or entry.forced or not entry.order.task.policy.safe_to_force:
            return False
        return time.monotonic() - since > entry.seen().grace_s + _MOST_S

    @staticmethod
    async def _force(entry: Entry) -> None:
        """Have the cluster forget a pod whose end its node does not confirm: its containers may live on there."""
        await entry.cluster.api.delete(PODS, entry.namespace, entry.name, entry.uid, 0)
        _log.warning("The pod %s/%s was removed by force", entry.namespace, entry.name)
        # What has a finalizer stays nevertheless, and is then waited for as any other.
        entry.forced = entry.gone = True

    async def _is_gone(self, entry: Entry) -> bool:
        """Confirm that the pod is no more, and note how the attempt ended; return False if it is there after all."""
        found = await entry.cluster.api.get(PODS, entry.namespace, entry.name)
        if found is not None and found["metadata"].get("uid") == entry.uid:
            entry.gone = False
            entry.news(slim(found), gone=False)
            return False
        left_s = _YOUNG_S - (time.monotonic() - entry.sent_at)
        if found is None and left_s > 0 and not entry.told and not entry.look().deleting:
            await asyncio.sleep(left_s)
            return await self._is_gone(entry)
        last = entry.look()
        await self._logs.finish(entry)
        pod = entry.seen(gone=True)
        if last.exit_code is not None or last.over:
            await self._conclude(entry, last, gone=True)
            return True
        claim = await self._claims.claim(entry.attempt)
        began = claim is not None and claim.began
        if entry.error is not None:
            self._refuse(entry, entry.error)
            return True
        message = "Its pod was deleted." if entry.told else "Its pod was deleted by somebody else."
        if entry.forced:
            message += (
                f" Its node {last.node} did not confirm its end, so it was removed by force (safe_to_force)."
            )
        entry.end(
            AttemptState(
                phase=AttemptPhase.EXITED if entry.told else AttemptPhase.LOST,
                message=message,
                ran=began,
                started_at=last.started_at,
                pod=pod,
            )
        )
        return True

    async def _conclude(self, entry: Entry, found: Look, *, gone: bool = False) -> None:
        """Note the end of a pod whose containers have ended."""
        entry.intent = entry.intent or (
            await self._claims.stop(entry.attempt) if found.deleting else Intent.NONE
        )
        chunks = await self._logs.finish(entry)
        if entry.error is not None:
            self._refuse(entry, entry.error)
            return
        if found.exit_code in {NOT_CLAIMED, NO_MANIFEST} and await self._never_claimed(entry):
            entry.end(_never_began())
            return
        state = entry.ended(found)
        if entry.order.task.container is not None and (why := await commit(entry.order, found, chunks)):
            said = (state.message, why, last_words(entry.pod or {}, AFTER))
            state = state.model_copy(update={"message": "\n".join(filter(None, said))})
        entry.end(state.model_copy(update={"pod": entry.seen(gone=True)}) if gone else state)

    async def _never_claimed(self, entry: Entry) -> bool:
        """Return whether the runtime ended because the attempt had been stopped before it began; note why."""
        claim = await self._claims.claim(entry.attempt)
        if claim is not None and claim.began:
            return False
        entry.intent = entry.intent or (claim.intent if claim else await self._claims.stop(entry.attempt))
        return bool(entry.intent)

    async def _node_is_lost(self, entry: Entry, found: Look) -> bool:
        """End an attempt whose node does not answer any more, once nobody can think that it only stutters."""
        since = entry.deleting_since
        if since is None or not found.node:
            return False
        grace_s = entry.seen().grace_s
        now = time.monotonic()
        if now - since < grace_s + _MOST_S or now < entry.node_at:
            return False
        entry.node_at = now + random.uniform(*_NODE_S)  # noqa: S311 - spreads load
        ready = await entry.cluster.api.node_ready(found.node)
        seen = entry.seen(node_ready=ready is not False)
        if judge(Evidence(over=False, pod=seen)).verdict is Verdict.WAIT:
            return False
        await self._logs.finish(entry)
        message = f"Its node {found.node} does not answer."
        entry.end(AttemptState(phase=AttemptPhase.LOST, message=message, pod=seen))
        return True

    @staticmethod
    async def _rest(entry: Entry, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await entry.wake.wait()
        except TimeoutError:
            return


def _longer(pause_s: float, failed_at: float) -> float:
    """Return the next pause; what has gone well for a while begins anew."""
    if time.monotonic() - failed_at > pause_s + _MOST_S:
        return _FIRST_S
    return min(_MOST_S, max(_FIRST_S, pause_s * 2))


def _never_began() -> AttemptState:
    return AttemptState(phase=AttemptPhase.EXITED, ran=False, message="It was stopped before it started.")
