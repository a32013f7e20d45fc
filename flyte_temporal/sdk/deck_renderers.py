"""Ready renderers for decks. Each imports its library when it renders."""

from __future__ import annotations

import html
from typing import Any

from flyte_temporal.errors import FlyteNonRecoverableException


class TopFrameRenderer:
    """The first rows of a dataframe as a table: `Annotated[pd.DataFrame, TopFrameRenderer(10)]`.

    Args:
        max_rows: Rows to show.
        max_cols: Columns to show.
    """

    def __init__(self, max_rows: int = 10, max_cols: int = 100) -> None:
        self._rows, self._columns = max_rows, max_cols

    def to_html(self, df: Any) -> str:
        """Return the table; works for pandas, and for what converts to it (`to_pandas`)."""
        count = len(df)
        head = df.head(self._rows) if hasattr(df, "head") else df.slice(0, self._rows)
        if hasattr(head, "to_pandas"):
            head = head.to_pandas()
        table = str(head.to_html(max_cols=self._columns, border=0, escape=True))
        width = len(getattr(df, "columns", ()))
        return f"{table}<p class='note'>{min(count, self._rows):,} of {count:,} rows, {width:,} columns</p>"


class MarkdownRenderer:
    """Markdown as HTML; HTML inside of the text is shown and not obeyed. Needs the package `markdown-it-py`."""

    def to_html(self, text: str) -> str:
        """Return the text as HTML.

        Raises:
            FlyteNonRecoverableException: If the package is not installed.
        """
        try:
            from markdown_it import MarkdownIt
        except ImportError as error:
            raise FlyteNonRecoverableException(
                "MarkdownRenderer needs the package 'markdown-it-py': pip install markdown-it-py"
            ) from error
        return str(MarkdownIt("js-default", {"html": False}).render(text))


class SourceCodeRenderer:
    """Source code as it is, in a fixed-width font."""

    def to_html(self, source_code: str) -> str:
        """Return the code as HTML."""
        return f"<pre><code>{html.escape(source_code)}</code></pre>"
