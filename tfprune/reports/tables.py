"""A report as tables on the terminal."""

import io
from collections.abc import Sequence
from typing import TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tfprune.reports import measures
from tfprune.reports.parts import SkippedLayer, WeightReport
from tfprune.reports.totals import Totals

_WIDE = 10_000  # columns: where no terminal limits the width, nothing is wrapped or cut


def report_tables(
    model: str,
    weights: Sequence[WeightReport],
    skipped: Sequence[SkippedLayer],
    prunable: Totals,
    parameters: Totals,
) -> Group:
    """Return the tables of a report: weights, totals and what was not timed, skipped layers.

    Args:
        model: name of the model.
        weights: its prunable weights.
        skipped: layers that have weights, but none to prune.
        prunable: totals over the prunable weights.
        parameters: totals over all weights.
    """
    parts: list[RenderableType] = [
        Text(f"Model '{model}'\n", style="bold"),
        weight_table(weights),
        Text(),
        totals_table(prunable, parameters),
        Text(f"\nSpeed-up {measures.SPEED_UP}: {measures.NOT_TIMED}."),
    ]
    lines = skipped_lines(skipped)
    return Group(*parts, *([Text(), *lines] if lines else []))


def weight_table(weights: Sequence[WeightReport]) -> Table:
    """Return a table with one row a prunable weight.

    Args:
        weights: what to show.
    """
    rows = [
        (
            weight.path,
            " x ".join(map(str, weight.shape)),
            f"{weight.size:,}",
            f"{weight.nonzeros:,}",
            f"{weight.sparsity:.2%}",
        )
        for weight in weights
    ]
    return table(("prunable weight", "shape", "parameters", "nonzeros", "sparsity"), rows)


def totals_rows(*totals: Totals) -> list[tuple[str, ...]]:
    """Return rows of text, first what is measured, then its value for each of the totals.

    Args:
        *totals: columns.
    """
    rate, saving = f"compression rate {measures.COMPRESSION_RATE}", measures.SPACE_SAVING
    rows = (
        ("parameters a", lambda t: f"{t.size:,}"),
        ("nonzero parameters a*", lambda t: f"{t.nonzeros:,}"),
        (f"  {rate}", lambda t: f"{t.compression_rate:.2f}"),
        (f"  space saving {saving} = sparsity", lambda t: f"{t.sparsity:.2%}"),
        ("bytes a, dense", lambda t: f"{t.dense_bytes:,}"),
        ("bytes a*, bit mask + values", lambda t: f"{t.bitmask_bytes:,}"),
        (f"  {rate}", lambda t: f"{t.bitmask_compression_rate:.2f}"),
        (f"  space saving {saving}", lambda t: f"{t.space_saving:.2%}"),
        ("bytes a*, CSR with zero counts", lambda t: f"{t.csr_bytes:,}"),
        (f"  {rate}", lambda t: f"{t.csr_compression_rate:.2f}"),
        (f"  space saving {saving}", lambda t: f"{t.csr_space_saving:.2%}"),
    )
    return [(name, *(show(total) for total in totals)) for name, show in rows]


def totals_table(*totals: Totals) -> Table:
    """Return a table with one column for each of the totals.

    Args:
        *totals: columns.
    """
    return table(("total", *(total.counted for total in totals)), totals_rows(*totals))


def skipped_lines(skipped: Sequence[SkippedLayer]) -> list[Text]:
    """Return one line a reason, with the layers that were skipped for it.

    Args:
        skipped: layers to list.
    """
    by_reason: dict[str, list[str]] = {}
    for skip in skipped:
        by_reason.setdefault(skip.reason, []).append(skip.layer)
    return [
        Text(f"Skipped: {', '.join(layers)} ({reason})") for reason, layers in by_reason.items()
    ]


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> Table:
    """Return a table whose first columns are text and whose others are numbers.

    Args:
        headings: one a column.
        rows: cells; markup in them is not interpreted.
        texts: number of left-aligned columns.
    """
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, heading in enumerate(headings):
        made.add_column(heading, justify="left" if index < texts else "right", overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def plain_text(renderable: RenderableType) -> str:
    """Return what would be printed, without colours or line ends at the right.

    Args:
        renderable: anything that rich can print.
    """
    file = io.StringIO()
    console = Console(file=file, width=_WIDE, color_system=None, force_terminal=False)
    console.print(renderable, highlight=False, soft_wrap=False)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def show(renderable: RenderableType, file: TextIO) -> None:
    """Print to a terminal in its width and colours, to anything else as plain text.

    Args:
        renderable: anything that rich can print.
        file: where to print.
    """
    terminal = Console(file=file)
    if terminal.is_terminal or terminal.is_jupyter:
        terminal.print(renderable, highlight=False)
        return
    text = plain_text(renderable)
    try:
        text.encode(file.encoding or "utf-8")
    except UnicodeEncodeError:
        text = text.replace("\u2500", "-").encode(file.encoding, "replace").decode(file.encoding)
    print(text, file=file)
