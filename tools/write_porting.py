"""Write the tables of names in docs/porting.md, from the table that `flyte-temporal port` works by.

Called by `make api`; a test fails when they are older than the table, the exports or the pages.
"""

from __future__ import annotations

import re

from flyte_temporal.cli.port import names
from flyte_temporal.cli.port.lookup import Lookup, Target
from tools.write_api import PAGE as API
from tools.write_api import anchors, by_subject, exported

DOCS = API.parent
PAGE = DOCS / "porting.md"
MARK = "<!-- names: written by `make api`, do not edit below -->\n"
_ABOUT_NOTHING = {"api", "architecture", "glossary", "performance", "porting"}
_ONLY_HERE = {"flyte_temporal.client"}


def page() -> str:
    """Return the text of the page, with what stands above the mark as it is."""
    head, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise ValueError(f"{PAGE} has lost its line {MARK!r}")
    return head + mark + "\n" + "\n".join([*_ported(), "", *_lacking()]) + "\n"


def _ported() -> list[str]:
    lines = [
        "Each of these is ported from whichever module of flytekit it is imported from.",
        "",
        "| flytekit | here | see |",
        "|---|---|---|",
    ]
    public = exported()
    old = _old_names()
    pages = _pages()
    links = anchors(public)
    for subject, members in by_subject(public).items():
        rows = [
            (", ".join(f"`{each}`" for each in old[name]), name, _link(name, pages, links[name]))
            for name in members
            if name in old and public[name][1] not in _ONLY_HERE
        ]
        if rows:
            lines.append(f"| **{subject}** | | |")
        lines += [f"| {flytekit} | `{name}` | {link} |" for flytekit, name, link in rows]
    return lines


def _old_names() -> dict[str, list[str]]:
    """Return flytekit's names of each of ours that its users know."""
    lookup = Lookup()
    found: dict[str, list[str]] = {}
    for name in sorted(lookup.exported - names.ONLY_HERE):
        if lookup.find("flytekit.core", name) == Target(names.ROOT, name):
            found.setdefault(name, []).append(name)
    for full, ours in names.RENAMED.items():
        if ours in lookup.exported:
            found.setdefault(ours, []).append(full.rpartition(".")[2])
    for name in sorted(lookup.testing):
        found.setdefault(name, []).append(f"testing.{name}")
    return found


def _pages() -> dict[str, str]:
    """Return the beginning of each page about a construct: its title and its first paragraph."""
    found = {}
    for path in sorted(DOCS.glob("*.md")):
        if path.stem not in _ABOUT_NOTHING:
            found[path.name] = "\n".join(path.read_text(encoding="utf-8").split("\n\n")[:2])
    return found


def _link(name: str, pages: dict[str, str], anchor: str) -> str:
    named = re.compile(rf"`@?{re.escape(name)}\b[^`]*`")
    best = max(pages, key=lambda page: _score(named, pages[page]), default=None)
    if best is not None and _score(named, pages[best]):
        return f"[{best}]({best}), [api.md](api.md#{anchor})"
    return f"[api.md](api.md#{anchor})"


def _score(named: re.Pattern[str], beginning: str) -> int:
    title, _, rest = beginning.partition("\n")
    return 10 * len(named.findall(title)) + len(named.findall(rest))


def _lacking() -> list[str]:
    lines = ["These do not exist here:", "", "| flytekit | what to do instead |", "|---|---|"]
    rows = dict(sorted(names.LACKING.items()))
    modules = {f"{module}.…": hint for module, hint in names.FOREIGN.items()}
    return lines + [
        f"| `{name}` | {hint[0].upper()}{hint[1:]}. |" for name, hint in {**rows, **modules}.items()
    ]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
