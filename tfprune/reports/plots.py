"""Plots as PNG bytes, drawn without a display and without touching matplotlib's global state."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tfprune.pruning.sensitivity_analysis import Sensitivity
    from tfprune.reports.model_report import Report

_DPI = 144
_LIGHT, _DARK = ("#222831", "#2f6db5", "#d5d9e0"), ("#d8dee9", "#3f7fc4", "#4a5160")
_WIDEST = 60  # characters of a path, in pictures whose width can follow
_LONG = 15  # weights above which the axis is labelled at the top as well
_LABEL_OUTSIDE_BELOW = 0.5  # sparsity under which a bar has no room for its label
# Okabe & Ito's colours, told apart by colour-blind readers; the markers do without colour.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
_MARKERS = "os^Dv<>P"
_DARK_CELL = 0.55  # of the colour scale, from which white text is the easier to read


def layer_sparsity(report: "Report", *, dark: bool = False) -> bytes:
    """Draw one bar a prunable weight: the fraction of its entries that are zero.

    Args:
        report: from `tfprune.report`.
        dark: whether the picture will stand on a dark background; its own is transparent.

    Returns:
        A PNG file.
    """
    from matplotlib.figure import Figure  # takes most of a second
    from matplotlib.ticker import PercentFormatter

    ink, bar, grid = _DARK if dark else _LIGHT
    weights = report.weights
    figure = Figure(figsize=(8, 1.1 + 0.32 * max(1, len(weights))), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    sparsities = [weight.sparsity for weight in weights]
    axes.barh(range(len(weights)), sparsities, color=bar, height=0.7)
    for place, weight in enumerate(weights):
        inside = weight.sparsity >= _LABEL_OUTSIDE_BELOW
        axes.annotate(
            f"{weight.nonzeros:,} of {weight.size:,} nonzero",
            (weight.sparsity, place),
            xytext=(-6 if inside else 6, 0),
            textcoords="offset points",
            ha="right" if inside else "left",
            va="center",
            fontsize=8,
            color="white" if inside else ink,
        )
    axes.set_yticks(range(len(weights)), [_shortened(weight.path) for weight in weights])
    axes.set_ylim(len(weights) - 0.5, -0.5)  # the first weight on top
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("sparsity", color=ink)
    axes.grid(axis="x", color=grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=ink, labelsize=9, length=0, labeltop=len(weights) > _LONG)
    axes.spines[:].set_visible(False)
    return _png(figure, transparent=True)


def sensitivity(found: "Sensitivity") -> bytes:
    """Draw the increase of the loss against sparsity, for every weight pruned alone.

    Up to eight weights are lines, the most sensitive first in the legend; more are a heat map with
    one row a weight, in the model's order.

    Args:
        found: from `tfprune.sensitivity`.

    Returns:
        A PNG file, on white.
    """
    draw = _sensitivity_lines if len(found.losses) <= len(_COLOURS) else _sensitivity_map
    figure = draw(found)
    figure.suptitle(
        f"{found.model}: one weight alone pruned by {found.scorer}\n"
        f"dense loss {found.dense_loss:.4g}, {found.examples:,} examples",
        color=_LIGHT[0],
        fontsize=10,
    )
    return _png(figure, transparent=False)


def _sensitivity_lines(found: "Sensitivity") -> "Figure":
    from matplotlib.figure import Figure  # takes most of a second
    from matplotlib.ticker import PercentFormatter

    ink, _, grid = _LIGHT
    height = 4.2 + 0.22 * len(found.losses)
    figure = Figure(figsize=(8, height), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for path, colour, marker in zip(found.ranking(), _COLOURS, _MARKERS):
        axes.plot(
            found.sparsities,
            found.increases(path),
            color=colour,
            marker=marker,
            label=_shortened(path, _WIDEST),
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


def _sensitivity_map(found: "Sensitivity") -> "Figure":
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure  # takes most of a second

    ink = _LIGHT[0]
    paths = list(found.losses)
    rows = [found.increases(path) for path in paths]
    highest = max(max(row) for row in rows)
    names = [_shortened(path, _WIDEST) for path in paths]
    width = 2 + 0.075 * max(20, *map(len, names)) + 0.8 * len(found.sparsities)
    figure = Figure(figsize=(width, 1.6 + 0.3 * len(paths)), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    # The square root shows the small increases too, of the many weights that matter little.
    norm = PowerNorm(0.5, vmin=0, vmax=highest if highest > 0 else 1, clip=True)
    image = axes.imshow(rows, cmap="Blues", norm=norm, aspect="auto")
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            colour = "white" if norm(value) > _DARK_CELL else ink
            axes.text(x, y, f"{value:.2g}", ha="center", va="center", fontsize=8, color=colour)
    labels = [f"{100 * sparsity:.4g}%" for sparsity in found.sparsities]
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


def _png(figure: "Figure", *, transparent: bool) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", transparent=transparent, metadata={"Software": None})
    return file.getvalue()


def _shortened(path: str, longest: int = 44) -> str:
    if len(path) <= longest:
        return path
    start = (longest - 3) // 2  # both ends tell weights apart: "block_7/" and "/kernel"
    return f"{path[:start]}...{path[start + 3 - longest :]}"
