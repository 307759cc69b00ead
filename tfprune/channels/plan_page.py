"""The page of a channel plan: the width of every group before and after, for light and dark."""

import dataclasses
import html
import math
import pathlib
from collections.abc import Sequence

from tfprune.support.files import replacing

_STYLE = """
:root { --ink: #222831; --soft: #5c6470; --line: #d5d9e0; --paper: #fff; --card: #f4f6f9;
  --kept: #2f6fb3; --gone: #d3d9e3; }
@media (prefers-color-scheme: dark) { :root { --ink: #d8dee9; --soft: #98a1b0; --line: #3a404c;
  --paper: #16191f; --card: #20242c; --kept: #6ea8e0; --gone: #39404d; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; }
.card { background: var(--card); border-radius: .5rem; padding: .7rem 1rem; flex: 1 1 12rem; }
.card b { display: block; font-size: 1.5rem; line-height: 1.3; }
.card span, .note { color: var(--soft); font-size: .875rem; }
ul { padding-left: 1.2rem; }
table { border-collapse: collapse; width: 100%; margin-top: 1rem; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; }
th, tr:not(.noted) > td { border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
th:first-child, td:first-child { width: 42%; overflow-wrap: anywhere; padding-left: 0; }
.number { text-align: right; white-space: nowrap; width: 1%; }
.why td { padding-top: 0; }
.bar { background: var(--gone); height: .8rem; margin-top: .3rem; min-width: 2px;
  border-radius: 2px; overflow: hidden; }
.bar div { background: var(--kept); height: 100%; min-width: 1px; }
.swatch { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; }
"""


@dataclasses.dataclass(frozen=True)
class Card:
    """One figure before and after.

    Attributes:
        name: of the figure.
        before: value, as text.
        after: value, as text.
        share: after / before.
    """

    name: str
    before: str
    after: str
    share: float


@dataclasses.dataclass(frozen=True)
class Row:
    """One group of channels.

    Attributes:
        layers: that make them.
        size: width before.
        kept: width after.
        notes: why channels stay, or why their removal is not exact.
    """

    layers: str
    size: int
    kept: int
    notes: str


def write(
    path: str | pathlib.Path,
    model: str,
    cards: Sequence[Card],
    remarks: Sequence[str],
    rows: Sequence[Row],
) -> None:
    """Write the page of a plan.

    Args:
        path: file to write, in a directory that exists.
        model: name of the model.
        cards: what it costs.
        remarks: sentences on the plan as a whole.
        rows: its groups.

    Raises:
        ValueError: if the file cannot be written.
    """
    widest = max((row.size for row in rows), default=1)
    lines = "\n".join(_line(row, widest) for row in rows)
    title = f"Channels of {html.escape(model)}"
    listed = "\n".join(f"<li>{html.escape(remark)}</li>" for remark in remarks)
    text = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<div class="cards">
{"".join(map(_card, cards))}</div>
<ul class="note">
{listed}
</ul>
<p class="note"><span class="swatch" style="background: var(--kept)"></span> kept
<span class="swatch" style="background: var(--gone)"></span> removed. The channels of a row are
coupled, and go together in all its layers. Bars are as long as the square root of the width, so
that narrow layers can be seen.</p>
<table>
<thead><tr><th>made by</th><th class="number">kept</th><th class="number">of</th>
<th>width</th></tr></thead>
<tbody>
{lines}
</tbody>
</table>
</body>
</html>
"""
    with replacing(path) as new:
        pathlib.Path(new).write_text(text, encoding="utf-8")


def _card(card: Card) -> str:
    values = f"{html.escape(card.before)} → {html.escape(card.after)}"
    return (
        f'<div class="card"><span>{html.escape(card.name)}</span><b>{card.share:.0%}</b>'
        f"<span>{values}</span></div>\n"
    )


def _line(row: Row, widest: int) -> str:
    share, inner = 100 * math.sqrt(row.size / widest), 100 * row.kept / max(1, row.size)
    noted = ' class="noted"' if row.notes else ""
    line = (
        f'<tr{noted}><td>{html.escape(row.layers)}</td><td class="number">{row.kept:,}</td>'
        f'<td class="number">{row.size:,}</td>'
        f'<td><div class="bar" style="width: {share:.1f}%">'
        f'<div style="width: {inner:.1f}%"></div></div></td></tr>'
    )
    if row.notes:
        line += f'\n<tr class="why"><td colspan="4" class="note">{html.escape(row.notes)}</td></tr>'
    return line
