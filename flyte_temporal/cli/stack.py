"""Commands about the local stack itself: up, down, status."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.output import Output
from flyte_temporal.cli.place import Place
from flyte_temporal.cli.session import open_client
from flyte_temporal.errors import PlatformUnavailable

if TYPE_CHECKING:
    from flyte_temporal.local.protocol import StackStatus


def up(output: Output) -> int:
    """Run the stack in the foreground until Ctrl-C or `down`; if one runs already, say where and return."""
    with open_client(output, Place()) as client:
        found = client.status()
    if not found.running:
        output.flush()
        _become_the_stack(found.home)
    output.note(f"The local stack runs already. {_where(found)}")
    return ExitCode.SUCCEEDED


def _become_the_stack(home: str) -> NoReturn:
    """Run the stack in place of this process, so that signals reach it and its exit code is ours."""
    # -P: nothing of the working directory may be imported instead of what is meant.
    words = [sys.executable, "-P", "-m", "flyte_temporal.local", "--home", home]
    os.execv(sys.executable, words)  # noqa: S606 - no shell is wanted


def down(output: Output) -> int:
    """Stop the stack. Executions that run are kept and go on at the next start."""
    with open_client(output, Place()) as client:
        open_before = 0
        # A stack that hangs is to be stopped all the same.
        with contextlib.suppress(PlatformUnavailable):
            open_before = client.status().open_executions or 0
        stopped = client.down()
    if not stopped:
        output.note("No local stack runs.")
    elif open_before:
        output.note(
            f"Stopped. Executions that are not over ({open_before}) go on when a command starts it again."
        )
    else:
        output.note("Stopped.")
    return ExitCode.SUCCEEDED


def status(output: Output) -> int:
    """Show the stack, without starting it."""
    with open_client(output, Place()) as client:
        found = client.status()
    if output.json:
        output.document(found.model_dump(mode="json"))
        return ExitCode.SUCCEEDED
    if not found.running:
        output.result(
            f"The local stack of {found.home} does not run. The next 'flyte-temporal run' starts it."
        )
    else:
        output.result(f"The local stack of {found.home} runs. {_where(found)}")
        output.result(f"version: {found.version} ({found.python})")
        output.result("processes: " + ", ".join(f"{name} {pid}" for name, pid in found.pids.items()))
        if found.open_executions is not None:
            output.result(f"executions not over: {found.open_executions}")
    for problem in found.problems:
        output.result(f"problem: {problem}")
    return ExitCode.SUCCEEDED


def _where(found: StackStatus) -> str:
    return f"Temporal UI: {found.ui_url}  Temporal: {found.temporal_address}"
