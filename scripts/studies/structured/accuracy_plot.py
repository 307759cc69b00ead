"""Accuracy against multiply-adds, drawn from the results of the study of channels."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from scripts.studies.structured.presets import BUDGETS, in_words, stage_of
from tfprune.support.files import replacing

PANELS = {
    "accuracy_before": "At once",
    "accuracy_after": "Batch normalization estimated again",
}
COLOURS = {
    "l1": "#7a7a7a",
    "l1_streams": "#3d3d3d",
    "taylor_streams": "#0f6b4b",
    "random": "#c9c9c9",
    "bn_scale": "#b08fd0",
    "taylor": "#1f4e86",
    "taylor_normalized": "#2f9e77",
    "fisher": "#d1603d",
    "taylor_2": "#4c8bc9",
}


def write(results: dict[str, Any], file: Path) -> None:
    """Write the plot as a PNG file.

    Args:
        results: "rows", "trained" and "labels" of a results file.
        file: to write, in a folder that exists.

    Raises:
        ValueError: if the file cannot be written.
    """
    dense, *trained = results["trained"]
    lengths = sorted({stage_of(row["method"]).epochs for row in trained})
    count = len(PANELS) + len(lengths)
    figure = Figure(figsize=(3.9 * count, 4.4), dpi=120, layout="constrained")
    panels = figure.subplots(1, count, sharex=True)
    for axes, (measure, title) in zip(panels, PANELS.items()):
        for name, label in results["labels"].items():
            rows = [row for row in results["rows"] if row["method"] == name]
            _line(axes, dense, rows, measure, label=label, color=COLOURS[name], marker="o")
        axes.set_title(title)
        axes.set_ylim(0, 1)
    for axes, epochs in zip(panels[len(PANELS) :], lengths):
        rows = [row for row in trained if stage_of(row["method"]).epochs == epochs]
        _trained(axes, dense, rows)
        axes.set_title(f"Trained on for {in_words(epochs)}")
    if trained:
        lowest = min(row["accuracy"]["mean"] for row in trained)
        for axes in panels[len(PANELS) :]:
            axes.set_ylim(lowest - 0.02, dense["accuracy"]["mean"] + 0.01)
        how = {"-": "the dense network teaches", "--": "no teacher"}
        lines = [Line2D([], [], color="black", linestyle=style) for style in how]
        panels[-1].legend(lines, how.values(), frameon=False, fontsize=8, loc="lower right")
    for axes in panels:
        _finish(axes, dense)
    panels[0].set_ylabel("test accuracy")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, frameon=False, fontsize=8, loc="outside lower center", ncols=5)
    with replacing(file, name="--out") as new:
        figure.savefig(new, metadata={"Software": None})


def _trained(axes: Axes, dense: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    for name in dict.fromkeys(row["method"] for row in rows):
        stage = stage_of(name)
        _line(
            axes,
            dense,
            [row for row in rows if row["method"] == name],
            "accuracy",
            color=COLOURS[stage.choice],
            marker="o",
            linestyle="-" if stage.distilled else "--",
        )


def _line(
    axes: Axes, dense: dict[str, Any], rows: list[dict[str, Any]], measure: str, **style: Any
) -> None:
    whole = dense["multiply_adds"]["mean"]
    rows = sorted(rows, key=lambda row: row["sparsity"])
    if rows:
        axes.errorbar(
            [row["multiply_adds"]["mean"] / whole for row in rows],
            [row[measure]["mean"] for row in rows],
            [row[measure]["sd"] or 0.0 for row in rows],
            capsize=2,
            markersize=4,
            linewidth=1.4,
            **style,
        )


def _finish(axes: Axes, dense: dict[str, Any]) -> None:
    axes.axhline(dense["accuracy"]["mean"], color="black", linewidth=0.8, linestyle=":")
    axes.set_xlabel("multiply-adds (dotted: dense)")
    axes.set_xticks(BUDGETS)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    axes.grid(axis="y", color="#e2e2e2", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
