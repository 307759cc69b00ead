"""The page of a channel plan: the width of every group before and after, for light and dark."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence

from tfprune.reports.pages import page_style

_LEGEND = """<p class="note"><span class="swatch" style="background: var(--kept)"></span> kept
<span class="swatch" style="background: var(--gone)"></span> removed. The channels of a row are
coupled, and go together in all its layers. Bars are as long as the square root of the width, so
that narrow layers can be seen. A click on a heading sorts by it.</p>"""


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
    cells = [
        (row.layers, f"{row.kept:,}", f"{row.size:,}", _bar(row, widest), row.notes) for row in rows
    ]
    figures = [
        (card.name, f"{card.share:.0%}", f"{card.before} \u2192 {card.after}") for card in cards
    ]
    headings = ("made by", "kept", "of", "width", "kept whole because, or not exact")
    parts = [
        page_style.cards(figures),
        page_style.bullets(remarks),
        _LEGEND,
        page_style.html_table(headings, cells, sortable=True, end=True),
    ]
    page_style.write_page(path, page_style.document(f"Channels of {model}", parts))


def _bar(row: Row, widest: int) -> page_style.Markup:
    share, inner = 100 * math.sqrt(row.size / widest), row.kept / max(1, row.size)
    return page_style.Markup(
        f'<div style="width: {share:.1f}%">{page_style.bar(inner)}</div>'
    )
