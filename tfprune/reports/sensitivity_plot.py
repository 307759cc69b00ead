"""The picture of a sensitivity analysis: the increase of the loss for every weight pruned alone."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Increases = Mapping[str, Sequence[float]]

_DPI = 144
_INK, _GRID = "#222831", "#d5d9e0"
_LONG = 15  # weights above which the axis is labelled at the top as well
_WIDEST = 60  # characters of a path, in pictures whose width can follow
# Okabe & Ito's colours, told apart by colour-blind readers; the markers do without colour.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
_MARKERS = "os^Dv<>P"
_DARK_CELL = 0.55  # of the colour scale, from which white text is the easier to read


def draw(
    title: str, increases: Increases, sparsities: Sequence[float], ranking: Sequence[str]
) -> bytes:
    """Draw the increase of the loss against sparsity.

    Up to eight weights are lines, the most sensitive first in the legend; more are a heat map with
    one row a weight, in the model's order.

    Args:
        title: above the picture.
        increases: path of a weight -> loss - dense loss at each sparsity.
        sparsities: fractions in [0, 1), ascending.
        ranking: the paths, the most sensitive first.

    Returns:
        A PNG file, on white.
    """
    figure = (
        _lines(increases, sparsities, ranking)
        if len(increases) <= len(_COLOURS)
        else _heat_map(increases, sparsities)
    )
    figure.suptitle(title, color=_INK, fontsize=10)
    return _png(figure)


def _lines(increases: Increases, sparsities: Sequence[float], ranking: Sequence[str]) -> "Figure":
    from matplotlib.figure import Figure  # takes most of a second
    from matplotlib.ticker import PercentFormatter

    ink, grid = _INK, _GRID
    height = 4.2 + 0.22 * len(increases)
    figure = Figure(figsize=(8, height), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for path, colour, marker in zip(ranking, _COLOURS, _MARKERS):
        axes.plot(
            sparsities,
            increases[path],
            color=colour,
            marker=marker,
            label=_shortened(path),
        )
    axes.axhline(0, color=ink, linewidth=0.8)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("sparsity of the weight", color=ink)
    axes.set_ylabel("loss - dense loss", color=ink)
    axes.grid(color=grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=ink, labelsize=9, length=0)
    axes.spines[:].set_visible(False)
    figure.legend(loc="outside lower left", frameon=False, fontsize=9, labelcolor=ink)
    return figure


def _heat_map(increases: Increases, sparsities: Sequence[float]) -> "Figure":
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure  # takes most of a second

    ink = _INK
    paths = list(increases)
    rows = [increases[path] for path in paths]
    highest = max(max(row) for row in rows)
    names = [_shortened(path) for path in paths]
    width = 2 + 0.075 * max(20, *map(len, names)) + 0.8 * len(sparsities)
    figure = Figure(figsize=(width, 1.6 + 0.3 * len(paths)), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    # The square root shows the small increases too, of the many weights that matter little.
    norm = PowerNorm(0.5, vmin=0, vmax=highest if highest > 0 else 1, clip=True)
    image = axes.imshow(rows, cmap="Blues", norm=norm, aspect="auto")
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            colour = "white" if norm(value) > _DARK_CELL else ink
            axes.text(x, y, f"{value:.2g}", ha="center", va="center", fontsize=8, color=colour)
    labels = [f"{100 * sparsity:.4g}%" for sparsity in sparsities]
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(paths)), names)
    axes.set_xlabel("sparsity of the weight", color=ink)
    axes.tick_params(colors=ink, labelsize=9, length=0, labeltop=len(paths) > _LONG)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.05, aspect=30)
    bar.set_label("loss - dense loss", color=ink)
    bar.ax.tick_params(colors=ink, labelsize=9)
    bar.outline.set_visible(False)
    return figure


def _png(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _shortened(path: str) -> str:
    """The path with its middle left out where it is too long for a label."""
    if len(path) <= _WIDEST:
        return path
    start = (_WIDEST - 3) // 2  # both ends tell weights apart: "block_7/" and "/kernel"
    return f"{path[:start]}...{path[start + 3 - _WIDEST :]}"
