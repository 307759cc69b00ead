"""The one style of all pages: for light and dark screens and paper, with tables that sort."""

import base64
import html
import os
from collections.abc import Sequence

from tfprune.support.files import replacing

_STYLE = """
:root { --ink: #222831; --soft: #5c6470; --line: #d5d9e0; --paper: #fff; --card: #f4f6f9;
  --kept: #2f6fb3; --gone: #d3d9e3; --mark: #c2502c; }
@media (prefers-color-scheme: dark) { :root { --ink: #d8dee9; --soft: #98a1b0; --line: #3a404c;
  --paper: #16191f; --card: #20242c; --kept: #6ea8e0; --gone: #39404d; --mark: #f08a62; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: .8rem; }
.card { background: var(--card); border-radius: .5rem; padding: .7rem 1rem; flex: 1 1 12rem; }
.card b { display: block; font-size: 1.5rem; line-height: 1.3; }
.card span, .note, figcaption { color: var(--soft); font-size: .875rem; }
.wide { overflow-x: auto; }
.wide + .wide { margin-top: 1rem; }
ul { padding-left: 1.2rem; }
table { border-collapse: collapse; width: 100%; font-size: .86rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .45rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; vertical-align: top; }
th { font-weight: 600; }
.text-1 tr > :first-child, .text-2 tr > :nth-child(-n+2), .text-3 tr > :nth-child(-n+3),
  .text-9 tr > * { text-align: left; }
.text-1 tr > :first-child, .text-9 td, .end tr > :last-child { white-space: normal; }
.end tr > :last-child { text-align: left; }
td:has(> .bar) { min-width: 4rem; }
td:has(> div > .bar) { min-width: 14rem; }
.sortable th { cursor: pointer; }
th[aria-sort=ascending]::after { content: " \\25B4"; }
th[aria-sort=descending]::after { content: " \\25BE"; }
.bar { background: var(--gone); height: .8rem; margin-top: .3rem; min-width: 2px;
  border-radius: 2px; overflow: hidden; }
.bar div { background: var(--kept); height: 100%; }
.swatch { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; }
figure { margin: 0; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font-size: 11px; }
.mask { width: 100%; height: 7rem; image-rendering: pixelated; filter: invert(1);
  border: 1px solid var(--line); }
@media (prefers-color-scheme: dark) { .mask { filter: none; } }
@media print {
  :root { --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --card: #fff; --kept: #2f6fb3;
    --gone: #d3d9e3; --mark: #c2502c; }
  body { max-width: none; margin: 0; font-size: 11px; print-color-adjust: exact; }
  table { font-size: 9px; }
  .card { border: 1px solid var(--line); }
  .wide { overflow: visible; }
  .mask { filter: invert(1); }
  figure, tr, .card { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""

# A click on a heading sorts by that column, a second one the other way round.
_SCRIPT = """
const numeric = /^-?[\\d.,]+ ?%?$/;
const value = (row, at) => {
  const text = row.cells[at].textContent.trim();
  return numeric.test(text) ? parseFloat(text.replace(/[,%]/g, "")) : text;
};
for (const head of document.querySelectorAll(".sortable th")) {
  const sort = () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = head.closest("table").tBodies[0], at = head.cellIndex;
    const order = (a, b) => typeof a === "number" && typeof b === "number"
      ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
    const rows = [...body.rows].sort((a, b) => order(value(a, at), value(b, at)));
    body.append(...(down ? rows.reverse() : rows));
  };
  head.tabIndex = 0;
  head.addEventListener("click", sort);
  head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}
"""


def document(title: str, parts: Sequence[str]) -> str:
    """Return a whole page, which needs no other file.

    Args:
        title: as text.
        parts: of its body, as HTML.

    Example:
        >>> document("a < b", ["<p>c</p>"]).startswith("<!DOCTYPE html>")
        True
    """
    body = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
{body}
<script>{_SCRIPT}</script>
</body>
</html>
"""


def write_page(path: str | os.PathLike[str], page: str) -> None:
    """Write a page, whole or not at all.

    Args:
        path: file to write, in a directory that exists.
        page: as `document` returns it.

    Raises:
        ValueError: if the file cannot be written; an older one is left as it was.
    """
    with replacing(path) as new, open(new, "w", encoding="utf-8") as file:
        file.write(page)


def cards(figures: Sequence[tuple[str, str, str]]) -> str:
    """Return figures that stand out.

    Args:
        figures: triples of what it is, the figure, and what belongs to it, such as "9 -> 3".

    Example:
        >>> cards([("bytes left", "33%", "9 -> 3")]).count("<b>33%</b>")
        1
    """
    made = (
        f'<div class="card"><span>{html.escape(name)}</span><b>{html.escape(figure)}</b>'
        f"<span>{html.escape(detail)}</span></div>"
        for name, figure, detail in figures
    )
    return '<div class="cards">\n' + "\n".join(made) + "\n</div>"


def html_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    texts: int = 1,
    sortable: bool = False,
    end: bool = False,
) -> str:
    """Return a table.

    Args:
        headings: one a column.
        rows: cells as text, or as HTML in `Markup`.
        texts: number of left-aligned columns: 1, 2, 3, or 9 for all.
        sortable: whether a click on a heading sorts.
        end: whether the last column is text, too.

    Example:
        >>> print(html_table(("a",), [("<b>",)]))
        <div class="wide"><table class="text-1">
        <thead><tr><th>a</th></tr></thead>
        <tbody>
        <tr><td>&lt;b&gt;</td></tr>
        </tbody></table></div>
    """
    kind = f"text-{texts}{' sortable' * sortable}{' end' * end}"
    return (
        f'<div class="wide"><table class="{kind}">\n<thead>{_line("th", headings)}</thead>\n'
        "<tbody>\n" + "\n".join(_line("td", row) for row in rows) + "\n</tbody></table></div>"
    )


class Markup(str):
    """Text that is HTML already, and is not escaped again."""


def bar(share: float) -> Markup:
    """Return a cell with a bar.

    Args:
        share: of the cell's width, in [0, 1].
    """
    return Markup(f'<div class="bar"><div style="width: {100 * share:.1f}%"></div></div>')


def figure(picture: str, caption: str) -> str:
    """Return a picture with a caption.

    Args:
        picture: as HTML.
        caption: as text.
    """
    return f"<figure>{picture}<figcaption>{html.escape(caption)}</figcaption></figure>"


def tiles(figures: Sequence[str]) -> str:
    """Return pictures side by side, as far as the page is wide."""
    return '<div class="tiles">\n' + "\n".join(figures) + "\n</div>"


def note(text: str) -> str:
    """Return a paragraph in small print."""
    return f'<p class="note">{html.escape(text)}</p>'


def bullets(sentences: Sequence[str]) -> str:
    """Return sentences as a list in small print."""
    items = "\n".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="note">\n{items}\n</ul>'


def image(png: bytes, text: str, kind: str = "") -> str:
    """Return a PNG picture that is part of the page.

    Args:
        png: the file.
        text: what it shows, for those who do not see it.
        kind: its class in the style.
    """
    data = base64.b64encode(png).decode()
    return f'<img class="{kind}" alt="{html.escape(text)}" src="data:image/png;base64,{data}">'


def fragment(
    title: str,
    verdict: Sequence[tuple[str, str]],
    headings: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
    remarks: Sequence[str] = (),
) -> str:
    """Return what a notebook shows of a report, in the notebook's own style.

    Args:
        title: first line.
        verdict: lines, each a word and what there is to say about it.
        headings: of a table; none for no table.
        rows: of the table.
        remarks: sentences below.

    Example:
        >>> fragment("m", [("size", "1 < 2")]).count("1 &lt; 2")
        1
    """
    parts = [f"<b>{html.escape(title)}</b>"]
    said = "".join(
        f"<dt>{html.escape(word)}</dt><dd>{html.escape(text)}</dd>" for word, text in verdict
    )
    parts += [f"<dl>{said}</dl>"] if said else []
    parts += [html_table(headings, rows)] if headings else []
    parts += [f"<div>{html.escape(remark)}</div>" for remark in remarks]
    return "<div>" + "\n".join(parts) + "</div>"


def _line(tag: str, cells: Sequence[str]) -> str:
    made = (cell if isinstance(cell, Markup) else html.escape(cell) for cell in cells)
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in made) + "</tr>"
