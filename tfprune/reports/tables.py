"""A report as tables on the terminal."""

import io
from collections.abc import Sequence
from typing import TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tfprune.reports.measures import NOT_TIMED, NOTE
from tfprune.reports.parts import SkippedLayer, WeightReport
from tfprune.reports.totals import Totals

_WIDE = 10_000  # columns: where no terminal limits the width, nothing is wrapped or cut


def short_table(
    title: str,
    verdict: Sequence[tuple[str, str]],
    rows: Table,
    remarks: Sequence[str],
    left_out: str = "",
) -> Group:
    """Return what is printed of a report: the verdict, what matters most, and the remarks.

    Args:
        title: first line.
        verdict: lines, each a word and what there is to say about it.
        rows: what matters most.
        remarks: sentences.
        left_out: a sentence on what the rows are without, empty if nothing.
    """
    parts: list[RenderableType] = [Text(title, style="bold"), Text(verdict_text(verdict)), Text()]
    lines = [Text(line) for line in (*remarks, f"{left_out}All of it: .table(), or --all.")]
    return Group(*parts, rows, Text(), *lines)


def verdict_text(verdict: Sequence[tuple[str, str]]) -> str:
    """Return a verdict as lines of text.

    Args:
        verdict: lines, each a word and what there is to say about it.

    Example:
        >>> print(verdict_text([("size", "small"), ("speed", "unknown")]))
          size   small
          speed  unknown
    """
    width = max(len(word) for word, _ in verdict)
    return "\n".join(f"  {word:<{width}}  {text}" for word, text in verdict)


def full_tables(
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
        Text(f"\nSpeed-up: {NOT_TIMED}."),
        Text(NOTE),
    ]
    if skipped:
        parts += [Text(), skipped_table(skipped)]
    return Group(*parts)


def weight_table(weights: Sequence[WeightReport]) -> Table:
    """Return a table with one row a prunable weight.

    Args:
        weights: what to show.
    """
    return table(*weight_rows(weights))


def weight_rows(
    weights: Sequence[WeightReport],
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headings, and the cells of one row a prunable weight.

    Args:
        weights: what to show.
    """
    rows: list[tuple[str, ...]] = [
        (
            weight.path,
            " x ".join(map(str, weight.shape)),
            f"{weight.size:,}",
            f"{weight.nonzeros:,}",
            *asked_cell(weight, weights),
            f"{weight.sparsity:.2%}",
        )
        for weight in weights
    ]
    asked = ("asked",) if any(weight.masked for weight in weights) else ()
    return ("prunable weight", "shape", "parameters", "nonzeros", *asked, "sparsity"), rows


def asked_cell(weight: WeightReport, weights: Sequence[WeightReport]) -> tuple[str, ...]:
    """Return the sparsity asked of a weight as text, no cell where no weight has a mask.

    Args:
        weight: one of the weights.
        weights: all of the table.
    """
    if not any(other.masked for other in weights):
        return ()
    if weight.asked is None:
        return ("shared" if weight.masked else "dense",)
    return (f"{weight.asked:.2%}",)


def totals_rows(*totals: Totals) -> list[tuple[str, ...]]:
    """Return rows of text, first what is measured, then its value for each of the totals.

    Args:
        *totals: columns.
    """
    rate, saving = "  compression rate", "  space saving"
    rows = (
        ("parameters", lambda t: f"{t.size:,}"),
        ("nonzero parameters", lambda t: f"{t.nonzeros:,}"),
        (rate, lambda t: f"{t.compression_rate:.2f}"),
        (f"{saving} = sparsity", lambda t: f"{t.sparsity:.2%}"),
        ("bytes, dense", lambda t: f"{t.dense_bytes:,}"),
        ("bytes, bit mask + values", lambda t: f"{t.bitmask_bytes:,}"),
        (rate, lambda t: f"{t.bitmask_compression_rate:.2f}"),
        (saving, lambda t: f"{t.space_saving:.2%}"),
        ("bytes, CSR with zero counts", lambda t: f"{t.csr_bytes:,}"),
        (rate, lambda t: f"{t.csr_compression_rate:.2f}"),
        (saving, lambda t: f"{t.csr_space_saving:.2%}"),
    )
    return [(name, *(show(total) for total in totals)) for name, show in rows]


def totals_table(*totals: Totals) -> Table:
    """Return a table with one column for each of the totals.

    Args:
        *totals: columns.
    """
    return table(("total", *(total.counted for total in totals)), totals_rows(*totals))


def skipped_table(skipped: Sequence[SkippedLayer]) -> Table:
    """Return a table with one row a layer that has nothing to prune.

    Args:
        skipped: layers to list.
    """
    rows = [(skip.layer, skip.kind, skip.reason, f"{skip.parameters:,}") for skip in skipped]
    return table(("nothing to prune in", "class", "reason", "parameters"), rows, texts=3)


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
