"""Tables for notebooks: every cell escaped, whoever wrote it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from .errors import printable

__all__ = ["table"]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """An HTML table.  Cells are text, never markup."""

    def cell(text: str) -> str:
        return html.escape(printable(text, limit=400))

    top = "".join(f"<th style='text-align:left'>{cell(text)}</th>" for text in head)
    body = "".join("<tr>" + "".join(f"<td style='text-align:left'>{cell(text)}</td>" for text in row) + "</tr>" for row in rows)
    title = f"<caption style='text-align:left'>{cell(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
