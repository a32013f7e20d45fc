"""The command line's one border: which command, which error becomes which exit code, and how the process ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import NoReturn

from flyte_temporal.cli.output import Output, results_only


def main() -> NoReturn:
    """Run the command line of this process.

    The process ends by `os._exit`, after everything was flushed: an interpreter that shuts down the regular way joins
    threads of libraries (Temporal's core among them) and can hang or crash there, after the work is done.
    """
    words = sys.argv[1:]
    output = results_only() if {"run", "recover"} & set(words[:2]) else Output()
    code = run(words, output)
    output.flush()
    os._exit(code)


def run(arguments: Sequence[str], output: Output) -> int:
    """Run one command.

    Args:
        arguments: The words after the program's name.
        output: Where it prints.

    Returns:
        The exit code; no exception leaves this function.
    """
    words = list(arguments)
    debug = "--debug" in words
    # For errors that come up before the command has read its words.
    output.format = "json" if _asks_for_json(words) else "text"
    try:
        return _dispatch(_without_debug(words), output)
    except BrokenPipeError:
        # Who read our output has gone; there is nobody to tell.
        return 0
    except KeyboardInterrupt:
        from flyte_temporal.cli.exits import ExitCode

        # Where it met us is not known here, so nothing is claimed that may be untrue.
        output.note(
            "\nInterrupted. An execution that had started goes on: 'flyte-temporal get executions' lists it."
        )
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the border: every error becomes one paragraph
        return _failed(error, output, debug=debug)


def _without_debug(words: list[str]) -> list[str]:
    """Return the words without `--debug`, which may stand anywhere; `run` and `recover` read their own: it may be an input."""
    while words[:1] == ["--debug"]:
        words = words[1:]
    return words if words[:1] in (["run"], ["recover"]) else [word for word in words if word != "--debug"]


def _asks_for_json(words: list[str]) -> bool:
    return "--output=json" in words or any(
        pair in {("-o", "json"), ("--output", "json")} for pair in pairwise(words)
    )


def _dispatch(words: list[str], output: Output) -> int:
    if words[:1] == ["--version"]:
        from flyte_temporal._version import __version__

        output.result(f"flyte-temporal {__version__}")
        return 0
    if words[:1] == ["run"]:
        # Before typer is imported (0.1 s): `run` reads its words itself, because its flags come from the entity.
        from flyte_temporal.cli.run import run_command

        return run_command(words[1:], output)
    if words[:1] == ["recover"]:
        from flyte_temporal.cli.recover import recover_command

        return recover_command(words[1:], output)
    from flyte_temporal.cli.commands import invoke

    return invoke(words, output)


def _failed(error: Exception, output: Output, *, debug: bool) -> int:
    from flyte_temporal.cli.exits import error_document, exit_code, paragraph
    from flyte_temporal.cli.results import run_document

    if output.json and not output.printed:
        output.document(run_document(None, None, {}, error_document(error)))
    output.note(paragraph(error, debug=debug))
    return exit_code(error)
