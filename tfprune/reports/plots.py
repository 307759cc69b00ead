"""Plots as PNG bytes, drawn without a display and without touching matplotlib's global state."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfprune.reports.parts import WeightReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure
DPI = 144
LIGHT, DARK = ("#222831", "#2f6db5", "#d5d9e0"), ("#d8dee9", "#3f7fc4", "#4a5160")
LONG = 15  # weights above which the axis is labelled at the top as well
_LABEL_OUTSIDE_BELOW = 0.5  # sparsity under which a bar has no room for its label


def layer_sparsity(weights: Sequence[WeightReport], *, dark: bool = False) -> bytes:
    """Draw one bar a prunable weight: the fraction of its entries that are zero.

    Args:
        weights: of a report.
        dark: whether the picture will stand on a dark background; its own is transparent.

    Returns:
        A PNG file.
    """
    from matplotlib.figure import Figure  # takes most of a second
    from matplotlib.ticker import PercentFormatter

    ink, bar, grid = DARK if dark else LIGHT
    figure = Figure(figsize=(8, 1.1 + 0.32 * max(1, len(weights))), dpi=DPI, layout="constrained")
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
    axes.set_yticks(range(len(weights)), [shortened(weight.path) for weight in weights])
    axes.set_ylim(len(weights) - 0.5, -0.5)  # the first weight on top
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("sparsity", color=ink)
    axes.grid(axis="x", color=grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=ink, labelsize=9, length=0, labeltop=len(weights) > LONG)
    axes.spines[:].set_visible(False)
    return png(figure, transparent=True)


def png(figure: "Figure", *, transparent: bool) -> bytes:
    """Return the figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", transparent=transparent, metadata={"Software": None})
    return file.getvalue()


def shortened(path: str, longest: int = 44) -> str:
    """Return the path with its middle left out where it is too long for a label."""
    if len(path) <= longest:
        return path
    start = (longest - 3) // 2  # both ends tell weights apart: "block_7/" and "/kernel"
    return f"{path[:start]}...{path[start + 3 - longest :]}"
