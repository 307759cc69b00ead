"""Tables as Markdown, and what a results file says of where it was made."""

from collections.abc import Sequence
from typing import Any

from scripts.lab.tables import Table


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 2) -> str:
    """A Markdown table; all columns but the first `left` ones are aligned to the right."""
    rule = [*["---"] * left, *["---:"] * (len(headings) - left)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (headings, rule, *rows))


def with_caption(parts: Table, *, left: int = 1) -> str:
    """A Markdown table, and the line about it below."""
    headings, rows, about = parts
    return table(headings, rows, left=left) + f"\n{about}\n"


def machine(run: dict[str, Any]) -> str:
    return f"{run['machine']['cores']} {run['machine']['processor']} cores"
