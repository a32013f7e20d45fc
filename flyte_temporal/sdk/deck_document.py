"""A report → one HTML document that can be opened, mailed and kept, and that can do nothing to who opens it.

The HTML of tabs comes from user code and from data, so it is never trusted: each tab is a frame without an origin
(`sandbox` without `allow-same-origin`), and the document's policy forbids every request: no network, no forms, no
frames of other places. Scripts of a tab run inside of its frame (plots need them) and reach nothing else. The document
itself has no script; titles are text.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from datetime import datetime

from flyte_temporal.sdk.decks import DeckField, Report

MAX_BYTES = 16 * 1024 * 1024
"""Largest deck in bytes; what does not fit is replaced by a note, tab by tab."""

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:; "
    "media-src data: blob:; font-src data:; form-action 'none'; base-uri 'none'"
)
_FONT = "font:14px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',sans-serif"
_TAB_STYLE = (
    f"html{{color-scheme:light}}body{{{_FONT};color:#1b2330;background:#fff;margin:20px 24px}}"
    "h1,h2,h3{line-height:1.25}h2{font-size:15px;margin:0 0 6px}h2 small{color:#6b7686;font-weight:400;"
    "font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:12px;margin-left:6px}"
    "section{margin:0 0 22px}pre{background:#f5f7fa;border:1px solid #e3e8ef;border-radius:6px;padding:10px 12px;"
    "margin:0;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere;"
    "font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}"
    "table{border-collapse:collapse;font-size:13px}th,td{padding:5px 12px;border-bottom:1px solid #e3e8ef;"
    "text-align:left;vertical-align:top}th{background:#f5f7fa;font-weight:600}td.num{text-align:right;"
    "font-variant-numeric:tabular-nums;white-space:nowrap}.timeline{width:100%}.timeline td:first-child{width:1%;"
    "white-space:nowrap}.bar div{height:12px;margin-top:4px;border-radius:3px;background:#3b6fe0}"
    ".note,.none{color:#6b7686;font-size:12.5px}img,svg{max-width:100%}"
)
_PAGE_STYLE = (
    f"*{{box-sizing:border-box}}html,body{{height:100%}}body{{{_FONT};margin:0;color:#1b2330;background:#eef1f5;"
    "display:flex;flex-direction:column}"
    "header{padding:16px 24px 12px;background:#fff}header h1{font-size:18px;margin:0 0 4px;line-height:1.3;"
    "overflow-wrap:anywhere}header p{margin:0;color:#6b7686;font-size:13px}.phase{display:inline-block;padding:1px 9px;"
    "border-radius:10px;font-size:12px;font-weight:600;margin-left:8px;vertical-align:2px}"
    ".ok{background:#dcf5e5;color:#176639}.bad{background:#fde3e1;color:#9c1d15}"
    "pre.error{margin:10px 0 0;padding:10px 12px;border-radius:6px;background:#fdf1f0;border:1px solid #f5c8c4;"
    "color:#7a1710;white-space:pre-wrap;overflow-wrap:anywhere;max-height:22vh;overflow:auto;"
    "font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}"
    "input{position:absolute;opacity:0;pointer-events:none}nav{display:flex;flex-wrap:wrap;gap:2px;padding:0 20px;"
    "background:#fff;border-bottom:1px solid #dde3eb}label{padding:8px 12px;cursor:pointer;color:#4b5666;"
    "border-bottom:2px solid transparent;margin-bottom:-1px;max-width:26em;overflow:hidden;text-overflow:ellipsis;"
    "white-space:nowrap}label:hover{color:#1b2330;background:#f5f7fa}"
    "main{flex:1;min-height:300px;padding:14px 20px 20px}iframe{display:none;width:100%;height:100%;border:1px solid "
    "#dde3eb;border-radius:8px;background:#fff}"
)


@dataclass(frozen=True)
class Heading:
    """What stands above the tabs.

    Args:
        task: Name of the task.
        place: Execution, node and attempt, in words.
        error: Why the attempt failed; empty if it did not.
        finished_at: When it ended, UTC.
    """

    task: str
    place: str
    error: str
    finished_at: datetime


def document(report: Report, heading: Heading) -> str:
    """Return the deck of an attempt as one HTML document of at most `MAX_BYTES`."""
    tabs = _limited(_tabs(report))
    numbers = range(len(tabs))
    chosen = "".join(
        f"#t{i}:checked~nav label[for=t{i}]{{color:#1f54c4;border-color:#3b6fe0;font-weight:600}}"
        f"#t{i}:checked~main #f{i}{{display:block}}#t{i}:focus-visible~nav label[for=t{i}]{{outline:2px solid #3b6fe0}}"
        for i in numbers
    )
    radios = "".join(f"<input type=radio name=tab id=t{i}{' checked' if i == 0 else ''}>" for i in numbers)
    labels = "".join(
        f"<label for=t{i} title={_attribute(name)}>{html.escape(name)}</label>"
        for i, (name, _) in enumerate(tabs)
    )
    frames = "".join(
        f"<iframe id=f{i} sandbox=allow-scripts referrerpolicy=no-referrer title={_attribute(name)} "
        f"srcdoc={_attribute(content)}></iframe>"
        for i, (name, content) in enumerate(tabs)
    )
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv=Content-Security-Policy content="{_POLICY}">'
        "<meta name=viewport content='width=device-width,initial-scale=1'><meta name=referrer content=no-referrer>"
        f"<title>{html.escape(heading.task)}</title><style>{_PAGE_STYLE}{chosen}</style></head>"
        f"<body>{_header(heading)}{radios}<nav>{labels}</nav><main>{frames}</main></body></html>\n"
    )


def _header(heading: Heading) -> str:
    phase = (
        "<span class='phase bad'>FAILED</span>"
        if heading.error
        else "<span class='phase ok'>SUCCEEDED</span>"
    )
    error = f"<pre class=error>{html.escape(heading.error)}</pre>" if heading.error else ""
    when = heading.finished_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    place = " · ".join(part for part in (heading.place, when) if part)
    return f"<header><h1>{html.escape(heading.task)}{phase}</h1><p>{html.escape(place)}</p>{error}</header>"


def _tabs(report: Report) -> list[tuple[str, str]]:
    try:
        found = report.tabs()
    except Exception as error:  # noqa: BLE001 - parts of decks are the user's objects
        found = [("Deck", f"<p class='none'>{html.escape(f'{type(error).__name__}: {error}')}</p>")]
    return found or [(DeckField.OUTPUT.value, "")]


def _limited(tabs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    left, found = MAX_BYTES - 64 * 1024, []
    for name, content in tabs:
        written = f"<!doctype html><meta charset=utf-8><style>{_TAB_STYLE}</style>{content}"
        size = len(_attribute(written).encode("utf-8", "replace"))
        if size > left:
            note = (
                f"This tab of {size / 1024**2:,.1f} MiB is left out: a deck holds at most {MAX_BYTES // 1024**2} MiB. "
                "Show less of the data, or return it as a file."
            )
            written = (
                f"<!doctype html><meta charset=utf-8><style>{_TAB_STYLE}</style><p class=none>{note}</p>"
            )
            size = len(written)
        left -= size
        found.append((name, written))
    return found


def _attribute(text: str) -> str:
    return f'"{html.escape(text, quote=True)}"'
