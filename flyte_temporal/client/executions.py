"""`AsyncExecution`: one execution, as a client sees it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from flyte_temporal.client.documents import DeckCopy, Update
from flyte_temporal.client.submitting import Workshop
from flyte_temporal.client.wishes import limited, output_literal
from flyte_temporal.control.documents import LogLine, RetryRequest
from flyte_temporal.errors import ExecutionAborted, ExecutionFailed, InvalidInputs, NotFound
from flyte_temporal.local import protocol
from flyte_temporal.local.connection import Connection
from flyte_temporal.spec import keys
from flyte_temporal.spec.calls import GateAnswer, GateState, NodeAbort
from flyte_temporal.spec.execution import ExecutionPhase, ExecutionRecord, GateReply, NodePhase, NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.listing import NodeFilter
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.repairs import GiveUp, NodeSkip, Pause, RepairState
from flyte_temporal.spec.types import LiteralType


class AsyncExecution:
    """One execution. Made by `AsyncClient`; making it asks nothing yet.

    Args:
        key: Which one.
        connection: The way to the stack.
        workshop: For reading outputs.
    """

    def __init__(self, key: ExecutionId, connection: Connection, workshop: Workshop) -> None:
        self.key = key
        self._connection = connection
        self._workshop = workshop
        self._final: ExecutionRecord | None = None

    def __repr__(self) -> str:
        return f"<execution {self.key.name} of {self.key.project}/{self.key.domain}>"

    @property
    def id(self) -> str:
        """Return its id."""
        return self.key.name

    async def record(self) -> ExecutionRecord:
        """Return its state.

        Raises:
            NotFound: If there is no such execution.
        """
        return self._seen(await self._ask("get", protocol.One(execution=self.key)))

    async def wait(self, timeout_s: float | None = None) -> ExecutionRecord:
        """Return its record when it has ended, however it ended; or as it is after `timeout_s` seconds.

        Raises:
            NotFound: If there is no such execution.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s

        def rest() -> protocol.Wait:
            # Asked for each connection: after a break only what is left of the time counts.
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            return protocol.Wait(execution=self.key, timeout_s=left)

        return self._seen(ExecutionRecord.model_validate(await self._connection.call("wait", rest)))

    async def outputs(self) -> dict[str, Any]:
        """Return its outputs as plain data, as `run -o json` prints them; waits until it has ended.

        Raises:
            ExecutionFailed: If it ended otherwise than well; ExecutionAborted if it was aborted.
        """
        record = self._final or await self.wait()
        if record.phase is not ExecutionPhase.SUCCEEDED:
            raise _failure(record)
        interface = await self.interface()
        return await asyncio.to_thread(self._read_outputs, record, interface)

    def _read_outputs(self, record: ExecutionRecord, interface: Interface) -> dict[str, Any]:
        from flyte_temporal.sdk.types.display import show
        from flyte_temporal.sdk.types.values import json_of

        values = self._workshop.values
        return {
            v.name: show(json_of(record.outputs[v.name], v.type, values), v.type)
            for v in interface.outputs
            if v.name in record.outputs
        }

    async def nodes(
        self, below: str = "", *, phases: Sequence[NodePhase] = (), limit: int = 0, offset: int = 0
    ) -> list[NodeRecord]:
        """Return its nodes: all, also those not reached yet, a sub-workflow's right behind it.

        The items of a map in shards are left out and counted (`NodeRecord.item_phases`), unless anything in particular
        is asked for: then whatever has been reached is returned.

        Args:
            below: Path of a node: only it and what stands below it.
            phases: Only nodes in one of these.
            limit: How many at most; 0 = all.
            offset: How many to leave out at the beginning.
        """
        wanted = NodeFilter(below=below, phases=tuple(phases), limit=limit, offset=offset)
        answer = await self._connection.call("nodes", protocol.Nodes(execution=self.key, wanted=wanted))
        return [NodeRecord.model_validate(node) for node in answer]

    async def node(self, node: str) -> NodeRecord:
        """Return one of its nodes.

        Args:
            node: Its path or name; the path of an item of a map in shards, too.

        Raises:
            NotFound: If there is no such node.
        """
        answer = await self._connection.call("node", protocol.Node(execution=self.key, node=node))
        return NodeRecord.model_validate(answer)

    async def watch(self) -> AsyncGenerator[Update, None]:
        """Yield its state now and whenever something has changed, until it has ended."""
        nodes: dict[str, NodeRecord] = {}
        stream = self._connection.stream("watch", protocol.One(execution=self.key))
        async with contextlib.aclosing(stream) as items:
            async for item in items:
                if item is None:
                    nodes = {}
                    continue
                changed = (NodeRecord.model_validate(node) for node in item["nodes"])
                nodes.update((node.id, node) for node in changed)
                record = self._seen(ExecutionRecord.model_validate(item["execution"]))
                yield Update(record, sorted(nodes.values(), key=lambda node: node.order))

    async def logs(
        self, node: str | None = None, attempt: int | None = None, *, follow: bool = False
    ) -> AsyncGenerator[LogLine, None]:
        """Yield what its tasks have printed so far, node by node; or as they print it, until the end.

        Args:
            node: Path or name of a node; None = all.
            attempt: Number of one of its attempts; None = all.
            follow: Go on until it, or the node, has ended: each line comes once and whole, in the order in which lines are
                found. A node or attempt that is not there is waited for, which is said once where a client tells what
                takes long (`on_wait`).

        Raises:
            NotFound: If there is no such node, or it has had no such attempt; with `follow`, once all has ended.
        """
        asked = protocol.Logs(execution=self.key, node=node, attempt=attempt, follow=follow)
        seen: Counter[tuple[str, int]] = Counter()
        passed: Counter[tuple[str, int]] = Counter()
        told = ""
        async with contextlib.aclosing(self._connection.stream("logs", asked)) as items:
            async for item in items:
                if item is None:
                    # The stack broke off and begins anew; who follows may be given the nodes in another order then.
                    passed.clear()
                elif "waits" in item:
                    if item["waits"] != told:
                        told = item["waits"]
                        self._workshop.say(told)
                else:
                    line = LogLine.model_validate(item)
                    key = line.node, line.attempt
                    passed[key] += 1
                    if passed[key] > seen[key]:
                        seen[key] = passed[key]
                        yield line

    async def deck(self, node: str) -> DeckCopy:
        """Return the deck of a node's last attempt.

        Args:
            node: Path or name of the node.

        Raises:
            NotFound: If there is no such node, or it left no deck.
        """
        found = await self.node(node)
        key = keys.deck(found.attempt_key) if found.attempt_key else ""
        blobs = self._workshop.values.blobs
        data = await asyncio.to_thread(blobs.get, key) if blobs is not None and key else None
        if blobs is None or data is None:
            raise NotFound(
                f"Node {found.id} ({found.name}) has left no deck. Write @task(enable_deck=True), and wait until an "
                "attempt has ended."
            )
        return DeckCopy(node=found.id, attempt=found.attempts, uri=blobs.uri(key), html=data.decode())

    async def abort(self, reason: str = "") -> ExecutionRecord:
        """Ask it to stop; nothing happens if it has ended. `wait` tells when it has stopped."""
        wish = protocol.Abort(execution=self.key, reason=reason, by=self._workshop.caller.user)
        return self._seen(await self._ask("abort", wish))

    async def abort_node(self, node: str, reason: str = "") -> NodeRecord:
        """Have one node fail for good, as if it had failed by itself: its retries are not used, handlers and policies act.

        Args:
            node: Its path, or its name if no other node has it; an item of a map, or a node that holds others, too.
            reason: Why.

        Raises:
            NotFound: If no such node has been reached.
            Conflict: If it has ended, or is being ended, or the execution is over.
        """
        request = NodeAbort(node=node, reason=reason, by=self._workshop.caller.user)
        wish = protocol.AbortNode(execution=self.key, request=request)
        return NodeRecord.model_validate(await self._connection.call("abort_node", wish))

    async def repairs(self) -> RepairState:
        """Return what of it waits for somebody: nodes that are held, and whether it is paused.

        Raises:
            Conflict: If it is over.
        """
        return RepairState.model_validate(
            await self._connection.call("repairs", protocol.One(execution=self.key))
        )

    async def retry(
        self,
        node: str | None = None,
        *,
        code: Path | None = None,
        only_this: bool = False,
        resources: Mapping[str, str] | None = None,
    ) -> RepairState:
        """Try held nodes once more, with a fresh budget.

        Args:
            node: Path or name of a held node, or of one that holds others: all of those; None = all.
            code: A file with fixed code. All attempts that start from then on run with it, as far as their tasks take
                and give the same there.
            only_this: Only those of these nodes.
            resources: What these nodes get instead of what was declared: `memory`, `cpu`, `gpu`, as quantities.

        Raises:
            NotFound: If there is no such node.
            Conflict: If no such node is held, or it is over.
            InvalidInputs: If the code has no task that fits the node, or there is no such resource.
            CompileError: If the file cannot be imported.
            ImageNotBuilt: If an image that the code declares could not be built.
        """
        asked = RetryRequest(
            node=node or "",
            only_these=only_this,
            resources=limited(resources or {}),
            by=self._workshop.caller.user,
        )
        if code is not None:
            before = (await self.record()).request
            closure, environment = await asyncio.to_thread(self._workshop.fix, code, before)
            asked = asked.model_copy(update={"closure": closure, "environment": environment})
        wish = protocol.Retry(execution=self.key, request=asked)
        return RepairState.model_validate(await self._connection.call("retry", wish))

    async def skip(self, node: str, outputs: Mapping[str, Any] | None = None) -> RepairState:
        """End a held node with these outputs, as if it had given them; what comes after it goes on.

        Args:
            node: Its path, or its name if no other held node has it.
            outputs: A Python value, or plain data, for each of its outputs.

        Raises:
            NotFound: If there is no such node.
            Conflict: If it is not held, or several are meant.
            InvalidInputs: If outputs are missing, unknown or of another type.
        """
        return await self._skip(node, outputs or {}, self._workshop.value)

    async def skip_text(self, node: str, outputs: Mapping[str, str]) -> RepairState:
        """End a held node with outputs as a person types them; raises as `skip`."""
        return await self._skip(node, outputs, self._workshop.typed)

    async def _skip(
        self, node: str, outputs: Mapping[str, Any], written: Callable[[Any, LiteralType], JsonValue]
    ) -> RepairState:
        state = await self.repairs()
        held = [h for h in state.held if h.node == node] or [h for h in state.held if h.name == node]

        def encode() -> dict[str, LiteralValue]:
            types = {v.name: v.type for v in held[0].outputs.outputs} if len(held) == 1 else {}
            return {
                name: output_literal(name, value, types.get(name), written, self._workshop.values)
                for name, value in outputs.items()
            }

        asked = NodeSkip(node=node, outputs=await asyncio.to_thread(encode), by=self._workshop.caller.user)
        return await self._repair(asked)

    async def fail(self, reason: str = "") -> RepairState:
        """Give up all held nodes: they fail, failure handlers act, and it ends as it would have without the hold.

        Raises:
            Conflict: If nothing is held, or it is over.
        """
        return await self._repair(GiveUp(by=self._workshop.caller.user, reason=reason))

    async def pause(self, reason: str = "") -> RepairState:
        """Let nothing new start; what runs goes on to its end. Nothing changes if it is paused already.

        Raises:
            Conflict: If it is over.
        """
        return await self._repair(Pause(by=self._workshop.caller.user, reason=reason))

    async def resume(self) -> RepairState:
        """Let new nodes start again; nodes that are held stay so. Raises as `pause`."""
        return await self._repair(Pause(by=self._workshop.caller.user, ends=True))

    async def _repair(self, wish: NodeSkip | GiveUp | Pause) -> RepairState:
        asked = protocol.Repair(execution=self.key, wish=wish)
        return RepairState.model_validate(await self._connection.call("repair", asked))

    async def gates(self) -> list[GateState]:
        """Return its gates that can be answered, reached or not, as far as they are known.

        Raises:
            Conflict: If it is over.
        """
        answer = await self._connection.call("gates", protocol.One(execution=self.key))
        return [GateState.model_validate(gate) for gate in answer]

    async def approve(self, gate: str) -> GateState:
        """Approve a gate, reached or not.

        Args:
            gate: Its name, or the id of its node.

        Raises:
            NotFound: If there is no such gate.
            Conflict: If it was answered before, or the execution is over.
        """
        return await self._reply(gate, GateReply(approved=True))

    async def reject(self, gate: str) -> GateState:
        """Reject a gate, reached or not: its node fails. Raises as `approve`."""
        return await self._reply(gate, GateReply(approved=False))

    async def set_input(self, gate: str, value: Any) -> GateState:
        """Give a gate the value that it waits for. Raises as `approve`.

        Args:
            gate: Its name, or the id of its node.
            value: A Python value of the gate's type, or plain data as in a file of inputs.

        Raises:
            InvalidInputs: If the value does not fit the gate's type.
        """
        return await self._set(gate, lambda type_: self._workshop.value(value, type_))

    async def set_input_text(self, gate: str, text: str) -> GateState:
        """Give a gate a value as a person types it. Raises as `set_input`."""
        return await self._set(gate, lambda type_: self._workshop.typed(text, type_))

    async def _set(self, gate: str, written: Callable[[LiteralType], JsonValue]) -> GateState:
        seen = [g for g in await self.gates() if gate in {g.name, g.node}]
        known = [g for g in seen if g.type is not None]
        value: JsonValue = None
        if known:
            try:
                value = await asyncio.to_thread(written, known[0].type)  # type: ignore[arg-type]
            except InvalidInputs as error:
                raise InvalidInputs(f"The gate {gate!r}: {error.message}") from error
        # The run says best which gates there are; should it have this one by then, it must not take nothing for the value.
        return await self._reply(gate, GateReply(value=value), unseen=not seen)

    async def _reply(self, gate: str, reply: GateReply, *, unseen: bool = False) -> GateState:
        by = reply.model_copy(update={"by": self._workshop.caller.user})
        wish = protocol.Answer(execution=self.key, answer=GateAnswer(gate=gate, reply=by, unseen=unseen))
        return GateState.model_validate(await self._connection.call("answer", wish))

    async def interface(self) -> Interface:
        """Return the interface of its root entity."""
        answer = await self._connection.call("interface", protocol.One(execution=self.key))
        return Interface.model_validate(answer)

    async def ui_url(self) -> str:
        """Return where the Temporal UI shows it; empty if the stack does not run."""
        status = await self._connection.status()
        return f"{status.ui_url}/namespaces/default/workflows/{self.id}" if status.ui_url else ""

    async def _ask(self, method: protocol.Method, params: protocol.One) -> ExecutionRecord:
        return ExecutionRecord.model_validate(await self._connection.call(method, params))

    def _seen(self, record: ExecutionRecord) -> ExecutionRecord:
        if record.phase.terminal:
            self._final = record
        return record


def _failure(record: ExecutionRecord) -> ExecutionFailed:
    name = record.request.id.name
    if record.phase is ExecutionPhase.ABORTED:
        by = f" by {record.aborted_by}" if record.aborted_by else ""
        return ExecutionAborted(
            f"Execution {name} was aborted{by}: {record.abort_reason or 'no reason given'}."
        )
    error = record.error
    if error is None:
        return ExecutionFailed(f"Execution {name} is {record.phase}.")
    where = f" at node {error.node}" if error.node else ""
    return ExecutionFailed(f"Execution {name} failed{where}: {error.message}")
