"""The command `port`: each file is read, rewritten and replaced by itself, so that one that cannot be ported does not hold up the others."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.port.files import python_files, replace
from flyte_temporal.cli.port.lookup import Lookup
from flyte_temporal.errors import BadRequest

if TYPE_CHECKING:
    from flyte_temporal.cli.output import Output
    from flyte_temporal.cli.port.rewrite import Ported
    from flyte_temporal.cli.port.survey import Remark

Status = Literal["ported", "would change", "unchanged", "failed"]


@dataclass(frozen=True)
class PortOptions:
    """Options of the command.

    Args:
        check: Only say what would change.
        diff: Only print the differences.
        quiet: Leave out the notes.
    """

    check: bool = False
    diff: bool = False
    quiet: bool = False

    @property
    def writes(self) -> bool:
        """Return whether files are written."""
        return not (self.check or self.diff)


@dataclass(frozen=True)
class _File:
    path: Path
    status: Status
    ported: Ported
    diff: str = ""
    fault: str = ""


def port(output: Output, paths: Sequence[Path], options: PortOptions, lookup: Lookup | None = None) -> int:
    """Port files and folders.

    Args:
        output: Where to print.
        paths: Files and folders.
        options: Options of the command.
        lookup: The table of names; by default the one of this installation.

    Returns:
        The exit code: 1 if a file could not be ported, or, with `check`, if one would change.

    Raises:
        BadRequest: If a path does not exist, or libcst is not installed.
    """
    table = lookup or Lookup()
    files = [_port(path, options, table) for path in python_files(paths)]
    if output.json:
        output.document({"files": [_document(file, options) for file in files]})
    else:
        _print(output, files, options)
    failed = any(file.status == "failed" for file in files)
    pending = options.check and any(file.status == "would change" for file in files)
    return ExitCode.FAILED if failed or pending else ExitCode.SUCCEEDED


def _port(path: Path, options: PortOptions, lookup: Lookup) -> _File:
    try:
        from flyte_temporal.cli.port.rewrite import Ported, port_source
    except ModuleNotFoundError as error:
        if error.name != "libcst":
            raise
        raise BadRequest(
            "port needs libcst, which is not installed. Run 'pip install \"flyte-temporal[port]\"'."
        ) from error
    try:
        old = path.read_bytes()
        ported = port_source(old, lookup)
        if ported.problems:
            return _File(path, "failed", ported)
        if ported.source == old:
            return _File(path, "unchanged", ported)
        diff = _diff(path, old, ported.source)
        if options.writes:
            replace(path, ported.source)
    except OSError as error:
        return _File(path, "failed", Ported(b""), fault=error.strerror or str(error))
    return _File(path, "ported" if options.writes else "would change", ported, diff)


def _diff(path: Path, old: bytes, new: bytes) -> str:
    before, after = (text.decode("utf-8", "replace").splitlines() for text in (old, new))
    return "\n".join(difflib.unified_diff(before, after, str(path), str(path), lineterm=""))


def _document(file: _File, options: PortOptions) -> dict[str, Any]:
    return {
        "path": str(file.path),
        "status": file.status,
        "error": file.fault or None,
        "problems": [_remark(each) for each in file.ported.problems],
        "leftovers": [_remark(each) for each in file.ported.leftovers],
        "notes": list(file.ported.notes),
        **({"diff": file.diff} if options.diff else {}),
    }


def _remark(remark: Remark) -> dict[str, Any]:
    return {"line": remark.line, "name": remark.name, "message": remark.message}


def _print(output: Output, files: Sequence[_File], options: PortOptions) -> None:
    for file in files:
        _print_file(output, file, options)
    counts = {status: sum(file.status == status for file in files) for status in ("ported", "would change")}
    words = [f"{count} {_files(count)} {status}" for status, count in counts.items() if count]
    failed = sum(file.status == "failed" for file in files)
    words += [f"{failed} {_files(failed)} left as {'it is' if failed == 1 else 'they are'}"] if failed else []
    nothing = sum(file.status == "unchanged" for file in files)
    words += [f"{nothing} with nothing to port"] if nothing else []
    output.note(", ".join(words) + "." if words else "There is no Python file there.")


def _files(count: int) -> str:
    return "file" if count == 1 else "files"


def _print_file(output: Output, file: _File, options: PortOptions) -> None:
    """Print results on stdout (what changes), and what a person has to know beside them on stderr."""
    if file.fault:
        output.note(f"{file.path}: left as it is: {file.fault}.")
    for each in file.ported.problems:
        has = f"flyte_temporal has no {each.name}. " if each.name else ""
        output.note(f"{file.path}:{each.line}: {has}{each.message}")
    if options.diff:
        if file.diff:
            output.result(file.diff)
    elif file.status in {"ported", "would change"}:
        output.result(f"{file.status}: {file.path}")
    for each in file.ported.leftovers:
        output.note(f"{file.path}:{each.line}: {each.name!r}: {each.message}")
    if not options.quiet:
        for note in file.ported.notes:
            output.note(f"  note: {note}")
