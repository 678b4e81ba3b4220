"""Tables on a terminal: rich's where it is installed and there is one, plain text elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def show(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table; columns that are empty in every row are left out."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    head, rows = [head[i] for i in kept], [[row[i] for i in kept] for row in rows]
    if sys.stdout.isatty() and _rich(head, rows):
        return
    print(text(head, rows))


def text(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table as lines of text.

    >>> print(text(["name", "state"], [["torch", "active"]]))
    name   state
    torch  active
    """
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        for row in ((head, *rows) if any(head) else rows)
    )


def _rich(head: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        return False
    table = Table(*head, box=None, pad_edge=False, show_header=any(head))
    for row in rows:
        table.add_row(*[cell.replace("[", "\\[") for cell in row])
    Console().print(table)
    return True
