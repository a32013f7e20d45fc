"""A help page and how it is shown: in colours and wrapped on a terminal, as plain lines everywhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flyte_temporal.cli.output import Output


@dataclass(frozen=True)
class Row:
    """A line of a section.

    Args:
        term: What is explained, such as a flag.
        kind: Its type, or nothing.
        text: The explanation.
        state: Default or `required`, shown behind the text.
    """

    term: str
    kind: str = ""
    text: str = ""
    state: str = ""


@dataclass(frozen=True)
class HelpPage:
    """What a help page says.

    Args:
        usage: The command line, without the word "Usage".
        intro: What it is about.
        sections: Rows by title; empty ones are left out.
        closing: The last line.
    """

    usage: str
    intro: str = ""
    sections: dict[str, list[Row]] = field(default_factory=dict)
    closing: str = ""


def show_help(page: HelpPage, output: Output) -> None:
    """Print a help page as a result."""
    if output.stdout.isatty():
        _show_rich(page, output)
    else:
        output.result(plain_help(page))


def plain_help(page: HelpPage) -> str:
    """Return a help page as plain text."""
    lines = [f"Usage: {page.usage}"]
    if page.intro:
        lines += ["", page.intro]
    for title, rows in page.sections.items():
        if rows:
            lines += ["", f"{title}:", *_plain_rows(rows)]
    if page.closing:
        lines += ["", page.closing]
    return "\n".join(lines)


def _plain_rows(rows: list[Row]) -> list[str]:
    term = max(len(row.term) for row in rows)
    kind = max(len(row.kind) for row in rows)
    lines = []
    for row in rows:
        columns = [row.term.ljust(term), *([row.kind.ljust(kind)] if kind else []), _remark(row)]
        lines.append(f"  {'  '.join(columns)}".rstrip())
    return lines


def _remark(row: Row) -> str:
    return f"{row.text}  [{row.state}]".strip() if row.state else row.text


def _show_rich(page: HelpPage, output: Output) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(file=output.stdout, highlight=False)
    console.print(Text.assemble(("Usage: ", "bold yellow"), page.usage))
    if page.intro:
        console.print(Padding(Text(page.intro), (1, 0, 0, 0)))
    for title, rows in page.sections.items():
        if not rows:
            continue
        console.print(Text(f"\n{title}", style="bold yellow"))
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        if any(row.kind for row in rows):
            table.add_column(max_width=max(console.width // 3, 12))
        table.add_column()
        for row in rows:
            style = "red" if row.state == "required" else "dim"
            gap = "  " if row.text and row.state else ""
            text = Text.assemble(row.text, gap, (row.state, style))
            kinds = [Text(row.kind, style="green")] if len(table.columns) > 2 else []
            table.add_row(Text(row.term, style="bold cyan"), *kinds, text)
        console.print(Padding(table, (0, 0, 0, 2)))
    if page.closing:
        console.print(Text(f"\n{page.closing}", style="dim"))
