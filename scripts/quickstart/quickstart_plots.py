"""The quickstart's three plots, drawn from its results."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

DENSE, SPARSE, PALE, NEUTRAL = "#4c6a92", "#d1603d", "#e8a78f", "#9a9a9a"


def schedule(axes: Axes, results: dict[str, Any]) -> None:
    log = results["sparsity_log"]
    steps = [point["step"] for point in log]
    axes.plot(steps, [p["scheduled"] for p in log], color=NEUTRAL, lw=5, label="scheduled")
    axes.plot(
        steps, [p["achieved"] for p in log], ".", ms=4, color=SPARSE, label="achieved by the masks"
    )
    axes.set_title("Sparsity during the pruning")
    axes.set_xlabel("optimizer step")
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower right")


def layers(axes: Axes, results: dict[str, Any]) -> None:
    names = [layer["weight"] for layer in results["layers"]]
    sparsities = [1 - layer["nonzero"] / layer["size"] for layer in results["layers"]]
    axes.barh(names, sparsities, color=PALE)
    for row, layer in enumerate(results["layers"]):
        text = f"{layer['nonzero']:,} of {layer['size']:,} nonzero"
        axes.text(0.02, row, text, verticalalignment="center")
    axes.invert_yaxis()
    axes.set_title("Sparsity of each pruned weight")
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))


def accuracy(axes: Axes, results: dict[str, Any]) -> None:
    log = results["accuracy_log"]
    split = len(log["dense"])
    axes.plot(range(1, split + 1), log["dense"], "o-", ms=4, color=DENSE, label="dense")
    axes.plot(
        range(split, split + len(log["pruned"]) + 1),
        [log["dense"][-1], *log["pruned"]],
        "o-",
        ms=4,
        color=SPARSE,
        label="pruned",
    )
    final = split + results["recipe"]["rising_part"] * len(log["pruned"])
    axes.axvline(final, color=NEUTRAL, ls="--", lw=1, label="final sparsity reached")
    axes.set_title("Test accuracy after each epoch")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.legend(loc="lower right")


PLOTS: dict[str, Callable[[Axes, dict[str, Any]], None]] = {
    "schedule": schedule,
    "layers": layers,
    "accuracy": accuracy,
}


def write(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write one PNG for each of `PLOTS`; return the files."""
    files = []
    for name, draw in PLOTS.items():
        figure = Figure(figsize=(6.4, 3.6), dpi=120, layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes, results)
        files.append(folder / f"{name}.png")
        figure.savefig(files[-1], metadata={"Software": None})
    return files
