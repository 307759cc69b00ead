"""Quality against footprint, a line for each kind of models."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from scripts.comparison.families import Family
from tfprune.support.files import replacing

_STYLES = {
    "dense": {"color": "#7a7a7a", "marker": "o", "label": "small dense"},
    "pruned": {"color": "#1f4e86", "marker": "^", "label": "large sparse"},
    "taught": {"color": "#b4532a", "marker": "s", "label": "large sparse, taught by the dense"},
}
TRAINED = {
    "nonzeros": "nonzero parameters",
    "stored_bytes": "bytes: float32 values, of pruned models with a bit mask",
}
FILES = {
    "bytes": "bytes of the .tflite file, target size",
    "native_ms": "ms, LiteRT on this machine, batch 1",
    "wasm_ms": "ms, WebAssembly, batch 1",
}


def require_other_ending(out: Path) -> None:
    """Require a results file to leave its plot, which lies beside it, a name.

    Raises:
        ValueError: if it ends as the plot does.
    """
    if out.suffix == ".png":
        raise ValueError(f"`--out` must not end in .png, the plot's ending. Received: {out}")


def write(
    family: Family, content: dict[str, Any], file: Path, panels: dict[str, str] = TRAINED
) -> None:
    """Write the plot as a PNG file.

    Args:
        family: the models' family.
        content: "rows" of a results file.
        file: to write, in a folder that exists.
        panels: measure of size -> what its axis is called; those that no row has are left out.

    Raises:
        ValueError: if the file cannot be written.
    """
    panels = {size: title for size, title in panels.items() if size in content["rows"][0]}
    figure = Figure(figsize=(5 * len(panels), 4.4), dpi=120, layout="constrained")
    plots = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (size, title) in zip(plots, panels.items()):
        for kind, style in _STYLES.items():
            rows = [row for row in content["rows"] if row["method"].startswith(f"{kind}-")]
            if not rows:
                continue
            rows.sort(key=lambda row: _mean(row[size]))
            axes.errorbar(
                [_mean(row[size]) for row in rows],
                [family.scale * row[family.measure]["mean"] for row in rows],
                [family.scale * (row[family.measure]["sd"] or 0.0) for row in rows],
                capsize=2,
                markersize=5,
                linewidth=1.4,
                **style,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(title)
        axes.grid(color="#e2e2e2", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel(family.label)
    figure.axes[0].legend(frameon=False)
    figure.suptitle(f"Large sparse against small dense: {family.title}")
    with replacing(file, name="--out") as new:
        figure.savefig(new, format="png", metadata={"Software": None})


def _mean(value: Any) -> float:
    return float(value["mean"] if isinstance(value, dict) else value)
