"""Client and host together, over a real socket; behind them the use cases on fakes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.client import AsyncClient, Client, Submission
from flyte_temporal.control.usecases import Control
from flyte_temporal.errors import (
    BadRequest,
    CompileError,
    ExecutionAborted,
    ExecutionFailed,
    InvalidIdentifier,
    InvalidInputs,
    NotFound,
    PlatformUnavailable,
)
from flyte_temporal.local import connection, host
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.processes import identify
from flyte_temporal.local.starting import Outcome
from flyte_temporal.local.state import StackState, write_state
from flyte_temporal.sdk.loader import find_entity, load_file
from flyte_temporal.spec import keys
from flyte_temporal.spec.document import canonical_json, sha256_hex
from flyte_temporal.spec.execution import (
    ErrorDocument,
    ErrorKind,
    ExecutionPhase,
    ExecutionRecord,
    NodePhase,
    NodeRecord,
)
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.spec.literals import Inline, Offloaded
from tests.unit.client.hosted import Setting, entity, finish, run_id, until


async def test_a_run_is_compiled_bundled_and_started_with_this_interpreter(
    setting: Setting, client: AsyncClient
) -> None:
    execution = await client.run(entity(setting.home), x=5)
    ((run, closure),) = setting.engine.started
    request = run.request
    assert execution.id == request.id.name
    assert execution.id.startswith("quadruple-")
    assert request.inputs == {"x": Inline(value=5)}
    assert request.environment.interpreter == sys.executable
    assert request.requested_by == "ada"
    assert closure.root.name == "client_program.quadruple"
    assert request.environment.bundle is not None
    assert setting.blobs.get(request.environment.bundle.key, request.environment.bundle.sha256)


async def test_the_callers_id_makes_a_run_idempotent(setting: Setting, client: AsyncClient) -> None:
    first = await client.run(entity(setting.home), execution_id="mine", x=5)
    again = await client.run(entity(setting.home), execution_id="mine", x=5)
    assert first.id == again.id == "mine"
    assert len(setting.engine.started) == 1
    with pytest.raises(BadRequest, match="mine"):
        await client.run(entity(setting.home), execution_id="mine", x=6)


async def test_outputs_are_plain_values_after_the_end(setting: Setting, client: AsyncClient) -> None:
    execution = await client.run(entity(setting.home), execution_id="e")
    reading = asyncio.create_task(execution.outputs())
    await finish(
        setting, "e", phase=ExecutionPhase.SUCCEEDED, outputs={"o0": Inline(value="0x20000000000001")}
    )
    assert await reading == {"o0": 2**53 + 1}
    data = canonical_json(12)
    setting.blobs.put_new(keys.blob(sha256_hex(data)), data)
    large = Offloaded(key=keys.blob(sha256_hex(data)), sha256=sha256_hex(data), size=len(data))
    await client.run(entity(setting.home), execution_id="f")
    await finish(setting, "f", phase=ExecutionPhase.SUCCEEDED, outputs={"o0": large})
    assert await client.execution("f").outputs() == {"o0": 12}


async def test_outputs_of_a_failure_raise_with_node_and_message(
    setting: Setting, client: AsyncClient
) -> None:
    await client.run(entity(setting.home), execution_id="e")
    error = ErrorDocument(kind=ErrorKind.USER, code="UserCodeError", message="boom", node="n1")
    await finish(setting, "e", phase=ExecutionPhase.FAILED, error=error)
    assert (await client.execution("e").wait()).error == error
    with pytest.raises(ExecutionFailed, match="at node n1: boom"):
        await client.execution("e").outputs()


async def test_an_abort_names_who_and_why(setting: Setting, client: AsyncClient) -> None:
    execution = await client.run(entity(setting.home), execution_id="e")
    await execution.abort("wrong data")
    assert (await execution.wait(5)).phase is ExecutionPhase.ABORTED
    with pytest.raises(ExecutionAborted, match="by ada: wrong data"):
        await execution.outputs()


async def test_an_abort_of_a_node_names_who_and_why(setting: Setting, client: AsyncClient) -> None:
    execution = await client.start(entity(setting.home), {}, execution_id="e", deadline=90)
    record = await execution.record()
    assert record.request.deadline_s == 90
    node = NodeRecord(id="n0", name="n", kind="task", phase=NodePhase.RUNNING)
    setting.engine.node_records[execution.key] = [node]
    assert await execution.abort_node("n0", "hangs") == node
    assert [(a.node, a.reason, a.by) for a in setting.engine.node_aborts] == [("n0", "hangs", "ada")]


async def test_wait_can_give_up(setting: Setting, client: AsyncClient) -> None:
    execution = await client.run(entity(setting.home))
    assert (await execution.wait(0.05)).phase is ExecutionPhase.QUEUED


async def test_watching_gives_whole_states_though_only_changes_travel(
    setting: Setting, client: AsyncClient
) -> None:
    execution = await client.run(entity(setting.home), execution_id="e")
    updates = execution.watch()
    first = await anext(updates)
    assert [n.id for n in first.nodes] == ["n0", "n1"]
    done = NodeRecord(id="n1", name="double", kind="task", phase=NodePhase.RUNNING, attempts=1, order=1)
    setting.store.record_nodes(run_id("e"), [done])
    second = await anext(updates)
    assert [n.phase for n in second.nodes] == [NodePhase.QUEUED, NodePhase.RUNNING]
    await finish(setting, "e", phase=ExecutionPhase.SUCCEEDED)
    last = [update async for update in updates][-1]
    assert last.execution.phase is ExecutionPhase.SUCCEEDED
    assert [n.id for n in await execution.nodes()] == ["n0", "n1"]


async def test_a_client_that_leaves_ends_its_call(setting: Setting, client: AsyncClient) -> None:
    execution = await client.run(entity(setting.home))
    waiting = asyncio.create_task(execution.wait())
    await until(lambda: bool(setting.host._calls))
    assert setting.host.idle_s() == 0.0
    waiting.cancel()
    await until(lambda: not setting.host._calls)
    assert setting.host.idle_s() >= 0.0


async def test_the_deck_of_a_node(setting: Setting, client: AsyncClient) -> None:
    execution = await client.run(entity(setting.home), execution_id="e")
    attempt = AttemptId(execution=run_id("e"), node="n0", number=2, token="t")
    setting.blobs.put(keys.deck(attempt.key), "<p>ü</p>".encode())
    node = NodeRecord(
        id="n0", name="double", kind="task", phase=NodePhase.FAILED, attempts=2, attempt_key=attempt.key
    )
    setting.store.record_nodes(run_id("e"), [node])
    for wanted in ("n0", "double"):
        found = await execution.deck(wanted)
        assert (found.node, found.attempt, found.html) == ("n0", 2, "<p>ü</p>")
        assert found.uri.endswith(keys.deck(attempt.key))


async def test_a_node_without_a_deck_says_how_to_have_one(setting: Setting, client: AsyncClient) -> None:
    execution = await client.run(entity(setting.home), execution_id="e")
    with pytest.raises(NotFound, match=r"enable_deck=True"):
        await execution.deck("n0")
    with pytest.raises(NotFound, match="n9"):
        await execution.deck("n9")


@pytest.mark.parametrize(
    ("inputs", "said"), [({"x": "five"}, "'x'"), ({"y": 5}, r"no input 'y'.*takes: x"), ({"x": 1.5}, "'x'")]
)
async def test_wrong_values_are_refused_before_anything_is_sent(
    setting: Setting, client: AsyncClient, inputs: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputs, match=said):
        await client.run(entity(setting.home), **inputs)
    assert setting.engine.started == []


async def test_what_is_no_entity_is_refused_by_its_name(setting: Setting, client: AsyncClient) -> None:
    for wrong in (len, "quadruple", None):
        with pytest.raises(BadRequest, match=r"is not a @task or @workflow"):
            await client.run(wrong)  # type: ignore[arg-type]
    assert setting.engine.started == []


async def test_inputs_may_have_any_name(setting: Setting, client: AsyncClient) -> None:
    inputs = {"execution_id": "theirs", "inputs": 2}
    execution = await client.start(entity(setting.home, "named"), inputs, execution_id="ours")

    def script() -> str:
        with Client.local(setting.home) as synchronous:
            return synchronous.start(entity(setting.home, "named"), inputs, execution_id="ours").id

    assert await asyncio.to_thread(script) == execution.id == "ours"
    ((run, _),) = setting.engine.started
    assert run.request.inputs == {"execution_id": Inline(value="theirs"), "inputs": Inline(value=2)}


async def test_unknown_executions_and_wrong_ids_are_told(setting: Setting, client: AsyncClient) -> None:
    with pytest.raises(NotFound, match="nothing"):
        await client.execution("nothing").record()
    with pytest.raises(BadRequest, match=r"\.\./x"):
        client.execution("../x")


async def test_lists_and_status(setting: Setting, client: AsyncClient) -> None:
    await client.run(entity(setting.home), execution_id="a")
    await client.run(entity(setting.home), execution_id="b")
    await finish(setting, "a", phase=ExecutionPhase.SUCCEEDED)
    listed = await client.executions(limit=10, phases=[ExecutionPhase.QUEUED])
    assert [r.request.id.name for r in listed] == ["b"]
    status = await client.status()
    assert (status.running, status.open_executions, status.ui_url) == (True, 1, "http://127.0.0.1:81")
    assert await client.execution("b").ui_url() == "http://127.0.0.1:81/namespaces/default/workflows/b"
    assert (await client.execution("b").interface()).inputs[0].name == "x"


async def test_a_call_survives_the_restart_of_the_stack(
    setting: Setting, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket breaks in the middle of `wait` and of `watch`; the client has the stack started and goes on."""
    restarted = threading.Event()
    loop = asyncio.get_running_loop()

    def start(home: Path, timeout_s: float) -> Outcome:
        if not restarted.is_set():
            restarted.set()
            asyncio.run_coroutine_threadsafe(setting.reopen(), loop).result(5)
            return Outcome("started")
        return Outcome("")

    monkeypatch.setattr(connection, "start_in_background", start)
    told: list[str] = []
    client = AsyncClient.local(setting.home, told.append)
    execution = await client.run(entity(setting.home), execution_id="e")
    updates = execution.watch()
    await anext(updates)
    waiting = asyncio.create_task(execution.wait())
    await until(lambda: len(setting.host._calls) == 2)
    await setting.host.close()
    following = asyncio.create_task(anext(updates))
    async with asyncio.timeout(10):
        assert (await following).execution.phase is ExecutionPhase.QUEUED
        await finish(setting, "e", phase=ExecutionPhase.SUCCEEDED)
        assert (await waiting).phase is ExecutionPhase.SUCCEEDED
        assert [u async for u in updates][-1].execution.phase is ExecutionPhase.SUCCEEDED
    assert "Starting the local stack" in told[0]


async def test_after_a_break_only_the_rest_of_the_time_is_waited(
    setting: Setting, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    wait = Control.wait

    async def noted(self: Control, key: ExecutionId, timeout_s: float | None = None) -> ExecutionRecord:
        assert timeout_s is not None
        asked.append(timeout_s)
        return await wait(self, key, timeout_s)

    monkeypatch.setattr(Control, "wait", noted)
    execution = await client.run(entity(setting.home), execution_id="e")
    waiting = asyncio.create_task(execution.wait(60))
    await until(lambda: len(asked) == 1)
    # Reopened before the client comes back, so that it need not have anything started.
    await setting.host.close()
    await setting.reopen()
    await until(lambda: len(asked) == 2)
    await finish(setting, "e", phase=ExecutionPhase.SUCCEEDED)
    assert (await waiting).phase is ExecutionPhase.SUCCEEDED
    assert asked[1] < asked[0] <= 60


async def test_a_stack_that_says_nothing_is_told_with_its_process_and_the_remedy(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    monkeypatch.setenv("FLYTE_TEMPORAL_LOCAL__ANSWER_TIMEOUT_S", "0.2")
    path = setting.home / "deaf.sock"
    deaf = await asyncio.start_unix_server(say_nothing, path)
    write_state(Layout(setting.home).state, StackState(supervisor=identify(os.getpid()), socket=str(path)))
    client = AsyncClient.local(setting.home)
    execution = client.execution("e")
    said = rf"process {os.getpid()}\).*supervisor\.log.*flyte-temporal down"
    async with asyncio.timeout(30):
        for call in (client.status, client.executions, execution.record, execution.abort, execution.wait):
            with pytest.raises(PlatformUnavailable, match=said):
                await call()
        for stream in (execution.watch(), execution.logs()):
            with pytest.raises(PlatformUnavailable, match=said):
                _ = [item async for item in stream]
    deaf.close()
    await deaf.wait_closed()


async def test_a_long_wait_is_not_taken_for_silence(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_LOCAL__ANSWER_TIMEOUT_S", "0.6")
    client = AsyncClient.local(setting.home)
    execution = await client.run(entity(setting.home), execution_id="e")
    assert (await execution.wait(1.5)).phase is ExecutionPhase.QUEUED


async def test_calls_at_once_have_the_stack_started_once(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    await setting.host.close()
    started: list[Path] = []
    loop = asyncio.get_running_loop()

    def start(home: Path, timeout_s: float) -> Outcome:
        started.append(home)
        asyncio.run_coroutine_threadsafe(setting.reopen(), loop).result(5)
        return Outcome("started")

    monkeypatch.setattr(connection, "start_in_background", start)

    def script() -> int:
        with Client.local(setting.home) as client:
            client.start_soon()
            return len(client.executions())

    assert await asyncio.to_thread(script) == 0
    assert started == [setting.home]


async def test_a_stack_of_another_protocol_is_named_with_the_remedy(
    setting: Setting, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "PROTOCOL", 2)
    with pytest.raises(PlatformUnavailable, match=r"protocol 2.*protocol 1.*flyte-temporal down"):
        await client.executions()
    assert (await client.status()).protocol == 2


async def test_a_worker_that_cannot_start_is_told_instead_of_waiting_for_it(
    setting: Setting, client: AsyncClient
) -> None:
    worker = setting.stack.children["worker"]
    worker._failures = 3
    worker.problem = "worker ended by exit code 3. It said: no pandas"
    with pytest.raises(PlatformUnavailable, match="no pandas"):
        await client.run(entity(setting.home))
    assert (await client.status()).problems == [worker.problem]


async def test_a_failure_of_the_stack_itself_reaches_the_client(
    setting: Setting, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setting.store, "executions", lambda *_args, **_kw: 1 / 0)
    with pytest.raises(Exception, match=r"ZeroDivisionError.*supervisor\.log"):
        await client.executions()


async def test_garbage_on_the_socket_is_answered_and_harms_nobody(
    setting: Setting, client: AsyncClient
) -> None:
    for garbage in (
        b"hello\n",
        b'{"protocol": 1, "method": "fly"}\n',
        b'{"protocol": 1, "method": "get"}\n',
        b"",
    ):
        reader, writer = await asyncio.open_unix_connection(setting.stack.state.socket)
        writer.write(garbage)
        writer.write_eof()
        answer = await reader.read()
        if garbage:
            assert json.loads(answer)["error"]["code"] == "BadRequest"
        writer.close()
    assert (await client.status()).running


async def test_the_socket_is_for_its_owner_alone(setting: Setting) -> None:
    assert os.stat(setting.stack.state.socket).st_mode & 0o777 == 0o600  # noqa: PTH116


async def test_down_stops_and_is_told_when_nothing_runs(setting: Setting, client: AsyncClient) -> None:
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", "pass")
    await other.wait()
    # The host of this test is the test itself, so it cannot be waited for; a process that has ended can.
    setting.host._handlers["down"] = lambda _p, send: send(f'{{"result": {other.pid}}}\n'.encode())
    assert await client.down() is True
    await setting.host.close()
    write_state(Layout(setting.home).state, replace(setting.stack.state, supervisor=None))
    assert await client.down() is False
    status = await client.status()
    assert (status.running, status.problems) == (False, [])
    write_state(Layout(setting.home).state, StackState(supervisor=identify(threading.get_native_id())))
    assert (await client.status()).running is False


async def test_the_synchronous_client_does_the_same(setting: Setting) -> None:
    def script() -> list[Any]:
        with Client.local(setting.home) as client:
            execution = client.run(entity(setting.home), execution_id="sync", x=1)
            updates = execution.watch()
            seen: list[Any] = [next(updates).execution.phase]
            asyncio.run_coroutine_threadsafe(
                finish(setting, "sync", phase=ExecutionPhase.SUCCEEDED, outputs={"o0": Inline(value=4)}), loop
            ).result(5)
            seen += [[u.execution.phase for u in updates][-1], execution.wait().phase, execution.outputs]
            seen += [list(execution.logs()), client.executions()[0].request.id.name, len(execution.nodes())]
            with pytest.raises(NotFound):
                client.execution("none").record()
            return seen

    loop = asyncio.get_running_loop()
    done = ExecutionPhase.SUCCEEDED
    assert await asyncio.to_thread(script) == [ExecutionPhase.QUEUED, done, done, {"o0": 4}, [], "sync", 2]


async def test_a_client_of_a_project_and_domain_starts_and_finds_there(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_DOMAIN", "staging")
    client = AsyncClient.local(setting.home, project="engines")
    execution = await client.run(entity(setting.home), execution_id="e")
    assert execution.key == ExecutionId(project="engines", domain="staging", name="e")
    assert [r.request.id for r in await client.executions()] == [execution.key]
    assert client.execution("e").key == execution.key
    with Client.local(setting.home, project="engines", domain="production") as other:
        assert other.execution("e")._async.key.domain == "production"
    with pytest.raises(InvalidIdentifier, match="'a/b'"):
        AsyncClient.local(setting.home, project="a/b")


async def test_what_is_compiled_already_can_be_submitted(setting: Setting, client: AsyncClient) -> None:
    from flyte_temporal.compiler import compile_entity

    closure = compile_entity(entity(setting.home))
    submission = Submission(
        closure, {"x": Inline(value=1)}, None, "e", launcher="process", labels={"team": "a"}
    )
    await client.submit(submission)
    request = setting.engine.started[0][0].request
    assert (request.environment.launcher, request.environment.bundle) == ("process", None)
    assert request.labels == {"team": "a"}


async def test_a_wrong_program_is_refused(setting: Setting, client: AsyncClient) -> None:
    file = setting.home / "src" / "wrong_program.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        textwrap.dedent("""
        from flyte_temporal import task, workflow
        @task
        def f(x: int) -> str: return str(x)
        @workflow
        def w() -> int: return f(x=1)
        """)
    )
    with pytest.raises(CompileError):
        await client.run(find_entity(load_file(file), "w"))


def test_the_client_loads_neither_temporalio_nor_sqlalchemy() -> None:
    probe = (
        "import sys; import flyte_temporal.client, flyte_temporal.compiler, flyte_temporal.storage.bundles; "
        "print([m for m in ('temporalio', 'sqlalchemy', 'pydantic_settings', 'fsspec') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
