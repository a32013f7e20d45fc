"""Commands about the local stack itself: up, down, status."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.output import Output
from flyte_temporal.cli.place import Place
from flyte_temporal.cli.session import open_client

if TYPE_CHECKING:
    from flyte_temporal.local.protocol import StackStatus


def up(output: Output) -> int:
    """Run the stack in the foreground until Ctrl-C or `down`; if one runs already, say where and return."""
    with open_client(output, Place()) as client:
        found = client.status()
    if found.running:
        output.note(f"The local stack runs already. {_where(found)}")
        return ExitCode.SUCCEEDED
    # Ctrl-C in a terminal reaches the stack as well; it ends in order, and we wait for that.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # -P: nothing of the working directory may be imported instead of what is meant.
        child = [sys.executable, "-P", "-m", "flyte_temporal.local", "--home", found.home]
        code = subprocess.run(child, check=False, preexec_fn=_heed_ctrl_c).returncode
    finally:
        signal.signal(signal.SIGINT, before)
    return ExitCode.SUCCEEDED if code == 0 else ExitCode.UNAVAILABLE


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def down(output: Output) -> int:
    """Stop the stack. Executions that run are kept and go on at the next start."""
    with open_client(output, Place()) as client:
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
