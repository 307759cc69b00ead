"""Accuracy (or perplexity) against bytes, one panel a network."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter

from scripts.studies.survey.survey_table import DENSE, is_accuracy
from tfprune.support.files import replacing

Place = tuple[float, float, str]  # of a point, and its name
_PAIR = "+"
_LETTER, _LINE = 5.5, 11.0  # pixels of a letter's width, and of a line
_COLOURS = {"dense": "#404040", "alone": "#1f4e86", "in pairs": "#d1603d"}


def write(run: dict[str, Any], file: Path) -> None:
    """Write the plot as a PNG file.

    Args:
        run: a results file of `python -m scripts.studies.survey`.
        file: to write, in a folder that exists.

    Raises:
        ValueError: if the file cannot be written.
    """
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for row in run["rows"]:
        network, recipe = row["method"].split()
        groups.setdefault(network, {})[recipe] = row
    shown = [name for name, rows in groups.items() if len(rows) > 2]
    count = max(1, len(shown))
    columns = min(2, count)
    lines = -(-count // columns)
    figure = Figure(figsize=(7.2 * columns, 5.4 * lines), dpi=110, layout="constrained")
    places = figure.subplots(lines, columns, squeeze=False).ravel()
    for spare in places[len(shown) :]:
        spare.set_axis_off()
    panels = []
    for axes, name in zip(places, shown):
        panels.append((axes, _panel(axes, groups[name], run["labels"])))
        axes.set_title(run["networks"][name])
    figure.draw_without_rendering()  # now axes and points have their places
    for axes, points in panels:
        _label(axes, points)
    with replacing(file, name="--out") as new:
        figure.savefig(new, metadata={"Software": None})


def _panel(axes: Axes, rows: dict[str, dict[str, Any]], labels: dict[str, str]) -> list[Place]:
    """Points of one network: the smaller of its files against how good it is; with their names."""
    dense = rows.get(DENSE)
    places: list[Place] = []
    for recipe, row in rows.items():
        kind = DENSE if recipe == DENSE else "in pairs" if _PAIR in recipe else "alone"
        stored = min(row[m]["mean"] for m in ("bytes", "micro_bytes") if m in row)
        x, y = stored / 1000, row["after"]["mean"]
        axes.plot(x, y, marker="o", color=_COLOURS[kind], markersize=5)
        places.append((x, y, labels[recipe]))
    for kind, colour in _COLOURS.items():
        axes.plot([], [], marker="o", linestyle="", color=colour, label=kind)
    better_above = is_accuracy(next(iter(rows.values())))  # the dense one is there, to the right
    axes.legend(frameon=False, fontsize=8, loc="lower right" if better_above else "upper right")
    if dense is not None:
        axes.axhline(dense["after"]["mean"], color="black", linewidth=0.8, linestyle=":")
        axes.axvline(dense["bytes"]["mean"] / 10_000, color="#9a9a9a", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("kB of the file (line: a tenth of the dense one)")
    if better_above:
        axes.set_ylabel("test accuracy")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    else:
        axes.set_ylabel("perplexity")
    axes.grid(axis="y", color="#e2e2e2", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(0.06, 0.08)
    return places


def _label(axes: Axes, places: list[Place]) -> None:
    """Write names beside points, the highest first, each below those that it would cover."""
    taken: list[tuple[float, float, float]] = []  # left, right, y of a text in pixels
    for x, y, text in sorted(places, key=lambda place: -place[1]):
        left, height = axes.transData.transform((x, y))
        right, lowest = left + 6 + _LETTER * len(text), height + 3
        for begin, end, other in sorted(taken, key=lambda place: -place[2]):
            if begin < right and left < end and abs(other - lowest) < _LINE:
                lowest = other - _LINE
        taken.append((left, right, lowest))
        shift = (5, (lowest - height) * 72 / axes.figure.dpi)
        axes.annotate(text, (x, y), xytext=shift, textcoords="offset points", fontsize=7)
