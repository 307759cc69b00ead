"""Accuracy against sparsity, one line a method, drawn from the results of one_shot_table.py."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tfprune.support.files import replacing

PANELS = {
    "accuracy_before": "As pruned",
    "accuracy_after": "Batch normalization estimated again",
}
GREY, ORANGE = "#7a7a7a", "#d1603d"
GREENS, BLUES = ("#7fbf94", "#226b3c"), ("#9cc0e4", "#4c8bc9", "#1f4e86")
# Colour says the family, darker means more of it; dashes mean thresholds over all layers, and
# filled markers a run of its own for each sparsity.
STYLES: dict[str, dict[str, Any]] = {
    "magnitude": {"color": GREY, "marker": "o"},
    "fisher": {"color": ORANGE, "marker": "s"},
    "reconstruction": {"color": GREENS[0], "marker": "D"},
    "reconstruction_global": {"color": GREENS[0], "marker": "D", "linestyle": "--"},
    "reconstruction_steps": {"color": GREENS[1], "marker": "D", "fillstyle": "none"},
    "woodfisher": {"color": BLUES[0], "marker": "^"},
    "woodfisher_steps": {"color": BLUES[1], "marker": "^", "fillstyle": "none"},
    "woodfisher_joint": {"color": BLUES[0], "marker": "v"},
    "woodfisher_joint_9": {"color": BLUES[2], "marker": "v"},
    "woodfisher_joint_steps": {"color": BLUES[2], "marker": "v", "fillstyle": "none"},
}


def write(results: dict[str, Any], file: Path) -> None:
    """Write the plot as a PNG file.

    Args:
        results: "rows" and "labels" of a results file.
        file: to write, in a folder that exists.

    Raises:
        ValueError: if the file cannot be written.
    """
    figure = Figure(figsize=(11, 4.8), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (measure, title) in zip(panels, PANELS.items()):
        draw(axes, results, measure)
        axes.set_title(title)
    panels[0].set_ylabel("test accuracy")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
    with replacing(file, name="--out") as new:
        figure.savefig(new, metadata={"Software": None})


def draw(axes: Axes, results: dict[str, Any], measure: str) -> None:
    """Draw one line a method, with a bar of a standard deviation up and down."""
    for method, label in results["labels"].items():
        rows = sorted(
            (row for row in results["rows"] if row["method"] == method),
            key=lambda row: row["sparsity"],
        )
        if rows:
            axes.errorbar(
                [row["sparsity"] for row in rows],
                [row[measure]["mean"] for row in rows],
                [row[measure]["sd"] or 0.0 for row in rows],
                label=label,
                capsize=2,
                markersize=4,
                linewidth=1.4,
                **STYLES.get(method, {}),
            )
    for row in results["rows"]:
        if row["method"] == "dense":
            axes.axhline(row[measure]["mean"], color="black", linewidth=0.8, linestyle=":")
    axes.set_xlabel("sparsity (dotted: dense)")
    axes.set_xticks(sorted({row["sparsity"] for row in results["rows"]} - {0.0}))
    axes.set_ylim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(axis="y", color="#e2e2e2", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
