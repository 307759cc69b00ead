"""The quickstart's results on the terminal and in files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.quickstart import quickstart_page, quickstart_plots
from scripts.quickstart.wording import (
    COMPARED_HEADINGS,
    HEADINGS,
    cells,
    compared,
    compared_cells,
    measured,
    title,
)
from tfprune.reports.pages import page_style


def write(results: dict[str, Any], folder: Path) -> None:
    """Write the plots, report.html and results.json."""
    quickstart_plots.write(results, folder)
    page_style.write_page(folder / "report.html", quickstart_page.page(results))
    content = {**results, "measures": compared(results)}
    (folder / "results.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def show(results: dict[str, Any], folder: Path) -> None:
    """Print the tables and where the files are."""
    console = Console(width=None if Console().is_terminal else 110)
    console.print(terminal_table(HEADINGS, cells(results), name=title(results)))
    console.print(terminal_table(COMPARED_HEADINGS, compared_cells(results)))
    console.print(measured(results), highlight=False)
    console.print(f"Report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def terminal_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, name: str | None = None
) -> Table:
    table = Table(title=name)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    return table
