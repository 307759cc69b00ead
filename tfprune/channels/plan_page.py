"""The page of a channel plan: the width of every group before and after."""

import dataclasses
import html
import pathlib
from collections.abc import Sequence

from tfprune.support.files import replacing

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color: #1d2433; background: #fff; }
h1 { font-size: 1.4rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #ddd; }
td { vertical-align: top; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.bar { background: #d7dce5; height: .8rem; min-width: 1px; border-radius: 2px; }
.bar div { background: #2f6fb3; height: 100%; border-radius: 2px; }
.note { color: #5b6475; }
@media (prefers-color-scheme: dark) {
  body { color: #dfe4ee; background: #14171d; }
  th, td { border-color: #333a47; }
  .bar { background: #3a4150; } .bar div { background: #6ea8e0; } .note { color: #9aa4b5; }
}
"""


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


def write(path: str | pathlib.Path, model: str, totals: str, rows: Sequence[Row]) -> None:
    """Write the page of a plan.

    Raises:
        ValueError: if the file cannot be written.
    """
    widest = max((row.size for row in rows), default=1)
    lines = "\n".join(_line(row, widest) for row in rows)
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Channels of {html.escape(model)}</title>
<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>
<h1>Channels of {html.escape(model)}</h1>
<p>{html.escape(totals)}</p>
<table><thead><tr><th>made by</th><th>kept / of</th><th>width</th><th>notes</th></tr></thead>
<tbody>
{lines}
</tbody></table>
<p class="note">Light: before. Dark: after. The channels of a row are coupled and go together.</p>
</body></html>
"""
    with replacing(path) as new:
        pathlib.Path(new).write_text(text, encoding="utf-8")


def _line(row: Row, widest: int) -> str:
    share, inner = 100 * row.size / widest, 100 * row.kept / max(1, row.size)
    return (
        f'<tr><td>{html.escape(row.layers)}</td><td class="number">{row.kept:,} / {row.size:,}</td>'
        f'<td style="width:40%"><div class="bar" style="width:{share:.1f}%">'
        f'<div style="width:{inner:.1f}%"></div></div></td>'
        f'<td class="note">{html.escape(row.notes)}</td></tr>'
    )
