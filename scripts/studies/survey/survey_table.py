"""The table of the comparison, ours and what was published."""

from typing import Any

from scripts.lab.tables import Table, machines, percent, spread, versions
from scripts.studies.survey.published import PUBLISHED

DENSE = "dense"
_RANGED = ("int8", "int4")  # ranges are learnt in training: before it, there are none
# Network -> recipe -> most points below the dense network: what was aimed at.
GOALS = {"resnet20": {"ternary": 1.5, "binary": 3.0}, "lenet_300_100": {"structured": 0.5}}


def survey(run: dict[str, Any]) -> Table:
    """One row a method of each network, in the order of the networks."""
    found = {tuple(row["method"].split()): row for row in run["rows"]}
    rows = []
    for name, label in run["networks"].items():
        if (name, DENSE) in found:
            original = found[name, DENSE]
            rows += [
                [label, *_cells(found[name, recipe], original, text)]
                for recipe, text in run["labels"].items()
                if (name, recipe) in found
            ]
    headings = ["network", "method", "nonzeros / parameters", "space saving, %", "bytes"]
    headings += ["times smaller", "gzip", "microcontroller", "times as fast, native", "WebAssembly"]
    return [*headings, "at once", "trained", "steps", "lines"], rows, _about(run)


def published() -> Table:
    """What others published, one row a result."""
    rows = [
        [
            figure.network,
            figure.method,
            figure.source,
            f"{figure.rate:g}",
            f"{figure.before:.2f}",
            f"{figure.after:.2f}",
            "" if figure.speed_up is None else f"{figure.speed_up:g}",
        ]
        for figure in PUBLISHED
    ]
    headings = ["network", "published", "source", "compression rate", "dense, %", "compressed, %"]
    about = (
        "Published, of other networks, data and trainings than ours: accuracy in per cent. "
        "Compression rate is that of parameters; of Deep Compression, of bytes; of TTQ, 2 bits for "
        "32."
    )
    return [*headings, "speed-up"], rows, about


def space_saving(original: float, left: float) -> float:
    """(a - a*) / a of the values a before and a* after.

    Example:
        >>> space_saving(200, 50)
        0.75
    """
    return (original - left) / original


def _cells(row: dict[str, Any], original: dict[str, Any], label: str) -> list[str]:
    nonzeros, size, stored = (row[name]["mean"] for name in ("nonzeros", "parameters", "bytes"))
    ranged = row["method"].split()[1] in _RANGED
    saving = space_saving(original["nonzeros"]["mean"], nonzeros)
    return [
        label,
        f"{nonzeros:,.0f} / {size:,.0f}",
        percent(saving, 1),
        f"{stored:,.0f}",
        f"{original['bytes']['mean'] / stored:.1f}",
        f"{row['gzip_bytes']['mean']:,.0f}",
        f"{row['micro_bytes']['mean']:,.0f}" if "micro_bytes" in row else "",
        *(
            f"{row[name]['mean']:.2f}" if name in row else ""
            for name in ("native_ratio", "wasm_ratio")
        ),
        quality(row, "before") if "before" in row and not ranged else "",
        quality(row, "after"),
        f"{row['steps']:,}",
        f"{row['lines']}",
    ]


def is_accuracy(row: dict[str, Any]) -> bool:
    """Whether a row is measured by accuracy, and not by perplexity."""
    return not row["method"].startswith("lstm")


def quality(row: dict[str, Any], measure: str) -> str:
    """Accuracy in per cent, or perplexity, with its deviation over seeds."""
    return spread(row[measure], 2, times=100 if is_accuracy(row) else 1)


def goals(run: dict[str, Any]) -> list[str]:
    """Say of every goal whether it is reached, missed, or not measured yet."""
    found = {tuple(row["method"].split()): row for row in run["rows"]}
    told = []
    for name, aims in ((n, aims) for n, aims in GOALS.items() if n in run["networks"]):
        for recipe, points in aims.items():
            what = f"{run['networks'][name]}, {run['labels'][recipe]}: "
            aim = f"at most {points:g} points below dense aimed at"
            if (name, recipe) not in found or (name, DENSE) not in found:
                told.append(f"{what}{aim}, **not measured**")
                continue
            row, dense = found[name, recipe], found[name, DENSE]
            lost = 100 * (dense["after"]["mean"] - row["after"]["mean"])
            smallest = min(row[m]["mean"] for m in ("bytes", "micro_bytes") if m in row)
            fewer = dense["parameters"]["mean"] / row["parameters"]["mean"]
            times = f"file {dense['bytes']['mean'] / smallest:.1f} times smaller"
            what += f"{lost:.2f} points, {times}, {fewer:.1f} times fewer parameters; {aim}"
            told.append(what if lost <= points else f"{what}, **missed**")
    return told


def _about(run: dict[str, Any]) -> str:
    missing = [label for name, label in run["networks"].items() if not _has(run, name)]
    agreement = min(
        row[name]["mean"]
        for row in run["rows"]
        for name in ("agreement", "micro_agreement")
        if name in row
    )
    lacking = f" Not measured: {', '.join(missing)}." if missing else ""
    return (
        "Fashion-MNIST for LeNets, CIFAR-10 for ResNet-20 and VGG-16 (accuracy in per cent), Penn "
        "Treebank for the LSTM (perplexity of sequences of 20 words from a state of zero). At once "
        "(of gradual pruning: the same zeros at once), and trained on for these steps. "
        "Microcontroller: bytes of the file with coded weights and integers, of methods that leave "
        "few values. Times as fast: latency of the dense file / that of this one, in turns, one "
        "thread, in LiteRT and in WebAssembly; of files that are packed for size, not for speed, "
        "too. Lines: of the function in `scripts/studies/survey/recipes.py`, a training being one. "
        "Space saving is (a − a*) / a of the values that are not zero, as in `tfprune.report`; the "
        "survey prints it as (a − a*) / a*, which is the compression rate less 1. Files say the "
        f"same as their models of at least {percent(agreement, 1)} % of the examples they were run "
        f"on. {'; '.join(goals(run)) or 'No goals'}.{lacking} `{run['command']}`, {_seeds(run)}, "
        f"on {machines(run)}; {versions(run)}."
    )


def _has(run: dict[str, Any], name: str) -> bool:
    return any(row["method"].split()[0] == name for row in run["rows"])


def _seeds(run: dict[str, Any]) -> str:
    counts = [len(row["seeds"]) for row in run["rows"]]
    return "one seed" if max(counts) == 1 else f"1 to {max(counts)} seeds"
