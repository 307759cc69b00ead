"""The page of a report on a model: cards, weights, pictures of some of them, training, reasons."""

from collections.abc import Mapping, Sequence

from tfprune.reports.measures import NOTE
from tfprune.reports.pages import drawings, page_style
from tfprune.reports.parts import SkippedLayer, WeightReport
from tfprune.reports.tables import asked_cell, totals_rows
from tfprune.reports.totals import FORMULAS, Totals

_CHARTS = 4  # of quantities over the epochs
_STORAGE = (
    "Masked values count as zeros, and a weight that layers share counts once. CSR with zero "
    "counts is the storage described by Zhu & Gupta (arXiv 1710.01878)."
)


def page(
    model: str,
    weights: Sequence[WeightReport],
    skipped: Sequence[SkippedLayer],
    prunable: Totals,
    parameters: Totals,
    *,
    remarks: Sequence[str] = (),
    drawn: Sequence[WeightReport] = (),
    history: Mapping[str, Sequence[float]] = {},
) -> str:
    """Return the page as text.

    Args:
        model: name of the model.
        weights: its prunable weights.
        skipped: layers that have weights, but none to prune.
        prunable: totals over the prunable weights.
        parameters: totals over all weights.
        remarks: sentences on the whole.
        drawn: weights whose values and masks are shown.
        history: name of a metric -> its value after each epoch.
    """
    parts = [_cards(prunable, parameters)]
    parts += [page_style.bullets(remarks)] if remarks else []
    parts += [f"<h2>Prunable weights</h2>\n{_weights(weights)}"]
    parts += [_pictures(drawn)] if drawn else []
    parts += [_training(history)] if history else []
    totals = totals_rows(prunable, parameters)
    headings = ("", prunable.counted, parameters.counted)
    parts += ["<h2>Totals</h2>", page_style.html_table(headings, totals)]
    parts += [_skipped(skipped)] if skipped else []
    formulas = [(name.replace("_", " "), formula) for name, formula in FORMULAS.items()]
    parts += [
        "<h2>How it is counted</h2>",
        page_style.html_table(("", "formula"), formulas, texts=9),
        page_style.note(f"{_STORAGE} {NOTE}"),
    ]
    return page_style.document(f"Pruning report of {model}", parts)


def _cards(total: Totals, every: Totals) -> str:
    return page_style.cards(
        [
            (
                "sparsity of the prunable weights",
                f"{total.sparsity:.2%}",
                f"{total.size:,} values \u2192 {total.nonzeros:,} nonzero",
            ),
            (
                "compression rate: all over nonzero parameters",
                f"{every.compression_rate:.2f}\u00d7",
                f"{every.size:,} \u2192 {every.nonzeros:,}",
            ),
            (
                "space saving: bytes as bit mask + values",
                f"{every.space_saving:.1%}",
                f"{every.dense_bytes:,} \u2192 {every.bitmask_bytes:,}",
            ),
        ]
    )


def _weights(weights: Sequence[WeightReport]) -> str:
    if not weights:
        return "<p>There are none.</p>"
    asked = ("asked",) if any(weight.masked for weight in weights) else ()
    headings = (
        *("weight", "shape", "type", "parameters", "nonzeros"),
        *asked,
        *("sparsity", "kept", "bytes dense", "bit mask", "CSR"),
    )
    rows = [
        (
            weight.path,
            " \u00d7 ".join(map(str, weight.shape)),
            weight.dtype,
            f"{weight.size:,}",
            f"{weight.nonzeros:,}",
            *asked_cell(weight, weights),
            f"{weight.sparsity:.2%}",
            page_style.bar(1 - weight.sparsity),
            f"{weight.dense_bytes:,}",
            f"{weight.bitmask_bytes:,}",
            f"{weight.csr_bytes:,}",
        )
        for weight in weights
    ]
    said = page_style.note("A click on a heading sorts by it.")
    return page_style.html_table(headings, rows, texts=3, sortable=True) + said


def _pictures(weights: Sequence[WeightReport]) -> str:
    made = []
    for weight in weights:
        shown = weight.picture
        if shown is not None:
            mask = page_style.image(shown.png(), f"mask of {weight.path}", "mask")
            drawn = drawings.histogram(shown.kept, shown.removed, shown.limit, shown.threshold)
            made.append(page_style.figure(drawn + mask, weight.path))
    said = page_style.note(
        "Above, how many values are where (heights are square roots of counts): kept ones, those "
        "that are removed but still stored, and the smallest magnitude kept, the threshold where "
        "weights were chosen by magnitude. Below, the mask as a matrix of inputs by outputs with "
        "its longer side across: the darker on white, or brighter on black, the more is kept."
    )
    return "<h2>Values and masks</h2>\n" + page_style.tiles(made) + said


def _training(history: Mapping[str, Sequence[float]]) -> str:
    shown = {name for name in history if name.removeprefix("val_") not in ("", "learning_rate")}
    plain = [name for name in history if name in shown and name.removeprefix("val_") == name]
    plain += [name.removeprefix("val_") for name in shown if name.removeprefix("val_") not in plain]
    charts = []
    for name in sorted(plain, key=lambda name: name != "sparsity")[:_CHARTS]:
        series = {
            each: list(enumerate(map(float, history[each]), start=1))
            for each in (name, f"val_{name}")
            if each in shown
        }
        share = all(0 <= y <= 1 for line in series.values() for _, y in line) and name != "loss"
        chart = drawings.line_chart(series, below="epoch", percent=share)
        charts.append(page_style.figure(chart, f"{name} over training"))
    return "<h2>Training</h2>\n" + page_style.tiles(charts)


def _skipped(skipped: Sequence[SkippedLayer]) -> str:
    rows = [
        (
            skip.layer,
            skip.kind,
            f"{skip.parameters:,}",
            "could not be pruned" if skip.failed else "on purpose",
            skip.reason,
        )
        for skip in sorted(skipped, key=lambda skip: not skip.failed)
    ]
    headings = ("layer", "class", "parameters", "dense", "reason")
    made = page_style.html_table(headings, rows, texts=9, sortable=True)
    return "<h2>Layers with nothing to prune</h2>\n" + made
