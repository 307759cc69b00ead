"""A report as one HTML file: style and pictures inside, for light and dark screens."""

import base64
import html
import os
from collections.abc import Sequence
from string import Template

from tfprune.reports import plots
from tfprune.reports.parts import SkippedLayer, WeightReport
from tfprune.reports.tables import totals_rows
from tfprune.reports.totals import FORMULAS, Totals
from tfprune.support.files import replacing

_WEIGHT_HEADINGS = (
    "weight",
    "shape",
    "type",
    "parameters",
    "nonzeros",
    "sparsity",
    "bytes dense",
    "bit mask",
    "CSR",
)

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { --ink: #222831; --soft: #5c6470; --line: #d5d9e0; --paper: #fff; --card: #f4f6f9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #d8dee9; --soft: #98a1b0; --line: #3a404c; --paper: #16191f; --card: #20242c; }
}
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; }
.card { background: var(--card); border-radius: .5rem; padding: .7rem 1rem; flex: 1 1 10rem; }
.card b { display: block; font-size: 1.5rem; line-height: 1.3; }
.card span, .note { color: var(--soft); font-size: .875rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem;
        font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
         white-space: nowrap; }
th { font-weight: 600; }
.text-1 tr > :first-child, .text-3 tr > :nth-child(-n+3), .text-4 tr > * { text-align: left; }
.text-1 tr > *, .text-4 td:last-child { white-space: normal; }
.text-1 tr > :first-child { white-space: pre-wrap; }
img { max-width: 100%; height: auto; display: block; }
</style>
</head>
<body>
<h1>$title</h1>
<div class="cards">
$cards
</div>
<h2>Sparsity of each prunable weight</h2>
$picture
<h2>Prunable weights</h2>
$weights
<h2>Totals</h2>
$totals
$skipped
<h2>How it is counted</h2>
$formulas
<p class="note">Masked values count as zeros, and a weight that layers share counts once.
CSR with zero counts is the storage described by Zhu &amp; Gupta (arXiv 1710.01878); compression
rate, space saving and speed-up are the measures of Cheng et al. (arXiv 1710.09282).</p>
</body>
</html>
""")


def write(
    path: str | os.PathLike[str],
    model: str,
    weights: Sequence[WeightReport],
    skipped: Sequence[SkippedLayer],
    prunable: Totals,
    parameters: Totals,
) -> None:
    """Write the page; `Report.to_html` calls this.

    Args:
        path: file to write, in a directory that exists.
        model, weights, skipped, prunable, parameters: as for `page`.

    Raises:
        ValueError: if the file cannot be written; an older one is left as it was.
    """
    with replacing(path) as new, open(new, "w", encoding="utf-8") as file:
        file.write(page(model, weights, skipped, prunable, parameters))


def page(
    model: str,
    weights: Sequence[WeightReport],
    skipped: Sequence[SkippedLayer],
    prunable: Totals,
    parameters: Totals,
) -> str:
    """Return the page as text.

    Args:
        model: name of the model.
        weights: its prunable weights.
        skipped: layers that have weights, but none to prune.
        prunable: totals over the prunable weights.
        parameters: totals over all weights.
    """
    return _PAGE.substitute(
        title=html.escape(f"Pruning report of {model}"),
        cards=_cards(prunable, parameters),
        picture=_picture(weights) if weights else "<p>There are none.</p>",
        weights=_table(
            _WEIGHT_HEADINGS,
            [
                (
                    weight.path,
                    " \u00d7 ".join(map(str, weight.shape)),
                    weight.dtype,
                    f"{weight.size:,}",
                    f"{weight.nonzeros:,}",
                    f"{weight.sparsity:.2%}",
                    f"{weight.dense_bytes:,}",
                    f"{weight.bitmask_bytes:,}",
                    f"{weight.csr_bytes:,}",
                )
                for weight in weights
            ],
            texts=3,
        ),
        totals=_table(
            ("", prunable.counted, parameters.counted), totals_rows(prunable, parameters)
        ),
        skipped=_skipped(skipped),
        formulas=_formulas(),
    )


def _cards(total: Totals, every: Totals) -> str:
    figures = (
        (f"{total.sparsity:.2%}", "sparsity of the prunable weights"),
        (f"{every.nonzeros:,}", f"nonzeros of {every.size:,} parameters"),
        (
            f"{every.compression_rate:.2f}\u00d7",
            "compression rate: all over nonzero parameters",
        ),
        (
            f"{every.space_saving:.1%}",
            "space saving: bytes as bit mask + values",
        ),
    )
    return "\n".join(
        f'<div class="card"><b>{html.escape(value)}</b><span>{html.escape(text)}</span></div>'
        for value, text in figures
    )


def _picture(weights: Sequence[WeightReport]) -> str:
    light, dark = (
        f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        for picture in (plots.layer_sparsity(weights), plots.layer_sparsity(weights, dark=True))
    )
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img alt="Bar chart of the sparsity of each prunable weight" src="{light}"></picture>'
    )


def _skipped(skipped: Sequence[SkippedLayer]) -> str:
    rows = [(skip.layer, skip.kind, f"{skip.parameters:,}", skip.reason) for skip in skipped]
    if not rows:
        return ""
    headings = ("layer", "class", "parameters", "reason")
    return "<h2>Layers with nothing to prune</h2>\n" + _table(headings, rows, texts=4)


def _formulas() -> str:
    rows = [(name.replace("_", " "), formula) for name, formula in FORMULAS.items()]
    return _table(("", "formula"), rows, texts=4)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "\n".join(line("td", row) for row in rows)
    return (
        f'<div class="wide"><table class="text-{texts}">\n'
        f"{line('th', headings)}\n{body}\n</table></div>"
    )
