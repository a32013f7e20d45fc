"""`ShellTask`: a shell script as a task. Values of inputs reach it as variables of the shell, never as its text.

Apart from `shell_script` (which reads the script) because here is what runs it and what its outputs are.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import Enum
from pathlib import Path
from typing import IO, Any, Unpack

from flyte_temporal.errors import UserCodeError
from flyte_temporal.sdk.context import current_context
from flyte_temporal.sdk.instances import InstanceOptions, PythonInstanceTask
from flyte_temporal.sdk.shell_script import QuotedHereDocument, Reference, fill, references, rewrite
from flyte_temporal.sdk.types.converter import shown

TAIL_LINES = 20
"""How many of the last lines of standard error an error message shows."""
GRACE_S = 5.0
"""How long a script may take to end after SIGTERM, when its attempt is stopped, before it is killed."""
_DRAIN_S = 2.0


class ScriptFailed(UserCodeError):
    """A shell task's script ended with another exit code than 0, or did not leave an output."""

    code = "ScriptFailed"


@dataclass(frozen=True)
class OutputLocation:
    """Where a script leaves an output.

    Args:
        var: Name of the output.
        var_type: `FlyteFile`, `FlyteDirectory` or another path type: the output is that file or folder. `str`, `int`,
            `float`, `bool`: the output is what the file says.
        location: Path, relative to the attempt's folder; may hold `{inputs.x}`. The script calls it `{outputs.var}`.
    """

    var: str
    var_type: Any
    location: str | os.PathLike[str]


class ShellTask(PythonInstanceTask):
    """A task that runs a shell script in the attempt's folder; see docs/shell.md.

    Args:
        name: The name by which it is registered.
        script: The script, with `{inputs.x}` and `{outputs.y}` where values belong. Other braces are left alone.
        script_file: Instead of `script`, a file with it; relative to the module's own folder.
        inputs: Python type of each input.
        output_locs: Where the script leaves its outputs.
        shell: The shell; bash by default, the POSIX shell where there is no bash.
        debug: Whether the script is printed before it runs; values are not.
        task_config: Taken for flytekit's sake; a shell task has no configuration.
        options: See `TaskOptions`.

    Raises:
        CompileError: If the script is not given, or uses a placeholder that does not exist.
    """

    task_type = "shell"

    def __init__(  # noqa: PLR0913 - flytekit's signature
        self,
        name: str,
        *,
        script: str | None = None,
        script_file: str | os.PathLike[str] | None = None,
        inputs: Mapping[str, Any] | None = None,
        output_locs: Sequence[OutputLocation] | None = None,
        shell: str = "",
        debug: bool = False,
        task_config: None = None,  # noqa: ARG002 - flytekit's signature
        **options: Unpack[InstanceOptions],
    ) -> None:
        self.output_locs = tuple(output_locs or ())
        outputs = {location.var: location.var_type for location in self.output_locs}
        super().__init__(name, inputs=inputs, outputs=outputs, **options)
        self.shell, self.debug = shell, debug
        if (script is None) == (script_file is None):
            raise self.wrong(
                f"{self.made_by} takes either script= or script_file=. Give one of them: the text, or a file."
            )
        self.script = script if script is not None else self._read(Path(os.fspath(script_file or "")))
        self._check()
        self.config = {
            "script": self.script,
            "shell": shell,
            "outputs": {o.var: os.fspath(o.location) for o in self.output_locs},
        }

    def _read(self, file: Path) -> str:
        try:
            return (self.folder() / file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise self.wrong(
                f"script_file={str(file)!r} cannot be read: {reason}. A relative path starts at the folder of the "
                "module, and the file belongs to the code bundle."
            ) from error

    def _check(self) -> None:
        for reference in references(self.script):
            self._check_reference(reference, "script")
        for location in self.output_locs:
            for reference in references(os.fspath(location.location)):
                if reference.scope == "outputs":
                    raise self.wrong(f"The location of output {location.var!r} uses {reference}. Use inputs.")
                self._check_reference(reference, "location")
        try:
            rewrite(self.script, lambda _: "x")
        except QuotedHereDocument as error:
            raise self.wrong(
                f"{error} stands in a here-document with a quoted delimiter, where the shell replaces nothing. "
                "Remove the quotes of the delimiter."
            ) from error

    def _check_reference(self, reference: Reference, place: str) -> None:
        known = self._inputs if reference.scope == "inputs" else self._outputs
        if reference.path[0] not in known:
            has = ", ".join(known) or "none"
            declare = "inputs=kwtypes(...)" if reference.scope == "inputs" else "output_locs=[...]"
            raise self.wrong(
                f"The {place} uses {reference}, but {self.short_name} has no such {reference.scope[:-1]}; it has: "
                f"{has}. Declare it in {declare}."
            )

    def execute(self, **inputs: Any) -> Any:
        """Run the script and return its outputs.

        Raises:
            ScriptFailed: If its exit code is not 0, or an output is not there afterwards.
        """
        folder = current_context().working_directory
        locations = {
            o.var: folder / fill(os.fspath(o.location), lambda r: _text_at(inputs, r))
            for o in self.output_locs
        }
        for location in locations.values():
            location.parent.mkdir(parents=True, exist_ok=True)
        values: dict[Reference, str] = {}
        for reference in references(self.script):
            if reference.scope == "outputs":
                values[reference] = str(locations[reference.path[0]])
            else:
                values[reference] = _text_at(inputs, reference)
        self._run(values, folder)
        outputs = tuple(_output(o, locations[o.var]) for o in self.output_locs)
        return outputs[0] if len(outputs) == 1 else (outputs or None)

    def _run(self, values: Mapping[Reference, str], folder: Path) -> None:
        names = {reference: f"_ft_{i}_{reference.path[-1]}" for i, reference in enumerate(values)}
        script = rewrite(self.script, lambda reference: names[reference])
        if self.debug:
            sys.stdout.write(f"{script}\n")
        with tempfile.TemporaryDirectory(prefix="shell-") as own:
            text, assigned = Path(own) / "script.sh", Path(own) / "values.sh"
            text.write_text(script, encoding="utf-8")
            lines = [
                f"{names[reference]}={_quoted(value, reference)}\n" for reference, value in values.items()
            ]
            assigned.write_text("".join(lines), encoding="utf-8")
            shell = self.shell or shutil.which("bash") or "/bin/sh"
            # The variables are the shell's own: not exported, and of any length.
            command = [*shlex.split(shell), "-c", '. "$1"; set --; . "$0"', str(text), str(assigned)]
            code, tail = _run(command, folder)
        if code:
            said = "".join(tail).strip()
            raise ScriptFailed(
                f"The script of {self.short_name} ended with exit code {code}."
                + (f" It said last:\n{said}" if said else " It said nothing on standard error.")
            )


def _quoted(value: str, reference: Reference) -> str:
    if "\0" in value:
        raise ScriptFailed(f"The value of {reference} holds a null character, which no shell can hold.")
    return shlex.quote(value)


def _text_at(inputs: Mapping[str, Any], reference: Reference) -> str:
    name, *attributes = reference.path
    value = inputs[name]
    for attribute in attributes:
        try:
            value = value[attribute] if isinstance(value, Mapping) else getattr(value, attribute)
        except (AttributeError, KeyError) as error:
            raise ScriptFailed(f"{reference}: a {type(value).__name__} has no {attribute!r}.") from error
    return text_of(value)


def text_of(value: Any) -> str:
    """Return a value as a script reads it.

    Texts, numbers and truth values as Python prints them, times in ISO 8601, enums by value, files as a local path,
    nothing as an empty text, everything else as JSON.
    """
    match value:
        case None:
            return ""
        case Enum():  # before str: an enum of texts is both
            return text_of(value.value)
        case str():
            return value
        case os.PathLike():
            return str(os.fspath(value))
        case datetime() | date() | time():
            return value.isoformat()
        case list() | tuple() | dict():
            return json.dumps(value, default=text_of, ensure_ascii=False)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return json.dumps(dataclasses.asdict(value), default=text_of, ensure_ascii=False)
        case _ if hasattr(value, "model_dump_json"):
            return str(value.model_dump_json())
        case _:
            return str(value)


def _output(declared: OutputLocation, location: Path) -> Any:
    if not location.exists():
        raise ScriptFailed(
            f"The script did not leave the output {declared.var!r}: there is no {location.name} at {location}. "
            f"Write it to {{outputs.{declared.var}}}."
        )
    if declared.var_type in {str, int, float, bool}:
        return _said(declared, location)
    return declared.var_type(str(location))


def _said(declared: OutputLocation, location: Path) -> Any:
    text = location.read_text(encoding="utf-8").rstrip("\n")
    readers: dict[Any, Callable[[str], Any]] = {str: str, int: int, float: float, bool: _truth}
    try:
        return readers[declared.var_type](text)
    except ValueError as error:
        raise ScriptFailed(
            f"The output {declared.var!r} is declared as {declared.var_type.__name__}, but the script wrote "
            f"{shown(text)} to it."
        ) from error


def _truth(text: str) -> bool:
    if text.strip().lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.strip().lower() == "true"


def _run(command: Sequence[str], folder: Path) -> tuple[int, Sequence[str]]:
    """Run a command; what it prints goes where this process prints. Return its exit code and the end of its stderr."""
    sys.stdout.flush()
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    readers: list[threading.Thread] = []
    # Not in this thread: an interrupt of it between fork and return would lose a script that runs already.
    starter = ThreadPoolExecutor(1, thread_name_prefix="shell")
    starting = starter.submit(_started, command, folder)
    starter.shutdown(wait=False)
    try:  # around all of it: a task may be stopped before its script has begun
        process = starting.result()
        readers = _readers(process, tail)
        process.wait()
    except BaseException:
        if starting.exception() is None:
            _end(starting.result())
        raise
    finally:
        for reader in readers:
            reader.join(_DRAIN_S)
        if starting.exception() is None and not any(reader.is_alive() for reader in readers):
            # A process that the script left behind may hold the pipes open for ever; then they are left to the threads.
            _close_pipes(starting.result())
    return process.returncode, tail


def _started(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _readers(process: subprocess.Popen[bytes], tail: deque[str]) -> list[threading.Thread]:
    """Start the threads that hand on what the script prints."""
    out, err = process.stdout, process.stderr
    if out is None or err is None:  # never: both were asked for
        raise AssertionError
    # Replaced streams (tests, `run --local`) belong to this thread's context, so they are looked up here.
    readers = [
        threading.Thread(target=_copy, args=(out, sys.stdout.write, None), daemon=True),
        threading.Thread(target=_copy, args=(err, sys.stderr.write, tail), daemon=True),
    ]
    for reader in readers:
        reader.start()
    return readers


def _copy(pipe: IO[bytes], write: Callable[[str], object], tail: deque[str] | None) -> None:
    with pipe:
        for line in pipe:
            text = line.decode("utf-8", "replace")
            if tail is not None:
                tail.append(text)
            write(text)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
