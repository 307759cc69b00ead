"""Writes the tables of README.md from the files in scripts/results.

    python -m scripts.readme            write them
    python -m scripts.readme --check    exit with status 1 where they differ from the files

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; what is there is replaced.
"""

import argparse
import functools
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scripts.comparison import comparison_table
from scripts.comparison.families import FAMILIES
from scripts.lab import tables
from scripts.lab.folders import ROOT
from scripts.readme import export_tables, fashion_table, saliency_tables

REGION = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

DATA = {"digits": "digits", "fashion_mnist": "Fashion-MNIST"}
QUICKSTART_HEADINGS = (
    "data",
    "model",
    "accuracy",
    "nonzero weights",
    "bytes",
    "bytes, gzip",
    "latency, dense / this",
)

MODELS = {
    "mobilenet_0.25_96": "MobileNet 0.25, 96 x 96, batch 32",
    "lstm_2x650": "LSTM 2 x 650, 20 tokens, batch 20, vocabulary 10,000",
}
TARGETS = (  # measure, key without the package's name, largest value aimed at
    ("training step / unpruned", "step_to_unpruned", 1.05),
    ("the same with an update every 100 steps, beyond that", "amortised_every_100_steps", 1.03),
    ("first `fit`, tracing included / unpruned", "first_fit_to_unpruned", 2.0),
    ("bytes of all variables / unpruned", "variable_bytes_to_unpruned", 1.3),
)
CORE_HEADINGS = ("measure", "target", "tfprune", "tensorflow-model-optimization")


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, compare only")
    check = parser.parse_args(arguments).check
    readme = root / "README.md"
    try:
        old = readme.read_text(encoding="utf-8")
        new = fill(old, root / "scripts" / "results")
    except (OSError, ValueError) as error:
        print(f"readme_tables: error: {error}", file=sys.stderr)
        return 1
    if check and new != old:
        print(
            "readme_tables: the tables in README.md differ from scripts/results; "
            "run python -m scripts.readme",
            file=sys.stderr,
        )
        return 1
    if not check:
        readme.write_text(new, encoding="utf-8")
    return 0


def fill(text: str, results: Path) -> str:
    """Return the text with every table made anew.

    Args:
        text: Markdown with the markers of every table in `TABLES`, once each.
        results: folder with the results files.

    Raises:
        OSError: if a results file is missing.
        ValueError: if a marker is missing or unknown, or a file is no JSON or lacks a figure.
    """
    found = [match[1] for match in REGION.findall(text)]
    if sorted(found) != sorted(TABLES):
        raise ValueError(f"README.md must have the tables {sorted(TABLES)} once. Received: {found}")
    try:
        return REGION.sub(lambda match: match[1] + TABLES[match[2]](results) + match[3], text)
    except KeyError as error:
        raise ValueError(f"A results file in {results} lacks {error}.") from error


def quickstart(results: Path) -> str:
    """The table of both quickstart runs."""
    runs = [read(results / f"quickstart-{name}" / "results.json") for name in DATA]
    rows = [
        (
            DATA[run["data"]["name"]],
            model_name(row, run),
            f"{row['accuracy']:.2%}",
            f"{row['nonzero']:,} of {row['weights']:,}",
            f"{row['bytes']:,}",
            f"{row['gzip_bytes']:,}",
            f"{row['latency_ratio']:.2f}",
        )
        for run in runs
        for row in run["table"]
    ]
    return table(QUICKSTART_HEADINGS, rows) + "".join(f"\n{about_run(run)}\n" for run in runs)


def model_name(row: dict[str, Any], run: dict[str, Any]) -> str:
    sparsity = run["schedule"]["final_sparsity"]
    return row["model"] if row["model"] == "dense" else f"{100 * sparsity:.6g} % {row['model']}"


def about_run(run: dict[str, Any]) -> str:
    epochs = {name: len(log) for name, log in run["accuracy_log"].items()}
    versions = run["versions"]
    return (
        f"`{run['command']}`: {run['data']['test']:,} test images; {epochs['dense']} epochs of "
        f"dense training, {epochs['pruned']} more with pruning; {run['seconds']:.0f} s in all on "
        f"{machine(run)}; Keras {versions['keras']}, TensorFlow {versions['tensorflow']}, LiteRT "
        f"{versions['ai-edge-litert']}."
    )


def core(results: Path) -> str:
    """The table of the core benchmark, with the targets beside the figures."""
    run = read(results / "bench_core.json")
    update = run["mask_update_10m"]
    extra = "peak_extra_bytes_a_weight"
    rows = [
        figures("mask update, 10 million weights / `np.partition`", update, "to_partition", 1.0),
        figures("the same, extra bytes a weight at its peak", update, extra, 4),
        ("the same, mask exact", "yes", "yes" if update["tfprune_exact"] else "no, **missed**", ""),
    ]
    for key, model in MODELS.items():
        rows.append((f"**{model}**", "", "", ""))
        rows += [figures(measure, run[key], name, limit) for measure, name, limit in TARGETS]
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return table(CORE_HEADINGS, rows) + f"\n`{run['command']}`, on {machine(run)}; {versions}.\n"


def figures(
    measure: str, values: dict[str, Any], name: str, limit: float
) -> tuple[str, str, str, str]:
    """One row; the other package's figure is empty where it was not measured."""
    ours, theirs = values[f"tfprune_{name}"], values.get(f"tfmot_{name}")
    number = ours["ratio_of_medians"] if isinstance(ours, dict) else ours
    missed = "" if number <= limit else ", **missed**"
    return measure, f"at most {limit:g}", spread(ours) + missed, spread(theirs)


def spread(value: Any) -> str:
    """A figure as it is in the file, with the 10th and 90th percentile where they are known."""
    if isinstance(value, dict):
        return f"{value['ratio_of_medians']:g} ({value['p10']:g} to {value['p90']:g})"
    return "" if value is None else f"{value:g}"


def one_shot(results: Path) -> str:
    """The table of the one-shot experiment."""
    return experiment(tables.one_shot(read(results / "one_shot_table.json")))


def gradual(results: Path) -> str:
    """The table of the gradual experiment."""
    return experiment(tables.gradual(read(results / "gradual_comparison.json")))


def schedules(results: Path) -> str:
    """The table of schedules compared."""
    return experiment(tables.gradual(read(results / "ablate_schedule.json")))


def family(name: str, results: Path) -> str:
    """The table of large-sparse against small-dense models of one family."""
    run = read(results / f"{name}_cpu.json")
    return experiment(comparison_table.readme(FAMILIES[name], run))


def oracle(results: Path) -> str:
    """The table of the correlations with an oracle."""
    return experiment(saliency_tables.oracle(read(results / "oracle_correlation.json")), left=2)


def fisher(results: Path) -> str:
    """The table of the inverse-Fisher benchmark."""
    return experiment(saliency_tables.fisher(read(results / "bench_fisher.json")))


def gradients(results: Path) -> str:
    """The table of the benchmark of per-example gradients."""
    return experiment(saliency_tables.gradients(read(results / "bench_gradients.json")))


def bench_export(results: Path) -> str:
    """The table of the benchmark of exported files."""
    return experiment(export_tables.speed(read(results / "bench_export.json")), left=4)


def export_sizes(results: Path) -> str:
    """The table of the bytes of exported files."""
    return experiment(export_tables.sizes(read(results / "bench_export.json")), left=3)


def mobilenet(results: Path) -> str:
    """The tables of MobileNetV1 on ImageNet images: accuracies, then files."""
    run = read(results / "mobilenet_imagenet.json")
    accuracy = experiment(export_tables.mobilenet_accuracy(run))
    return f"{accuracy}\n{experiment(export_tables.mobilenet_files(run), left=2)}"


def fashion_export(results: Path) -> str:
    """The table of the files of a Fashion-MNIST model."""
    run = read(results / "fashion_export.json")
    return experiment(fashion_table.fashion_export(run), left=3)


def experiment(parts: tables.Table, *, left: int = 1) -> str:
    headings, rows, about = parts
    return table(headings, rows, left=left) + f"\n{about}\n"


def machine(run: dict[str, Any]) -> str:
    return f"{run['machine']['cores']} {run['machine']['processor']} cores"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 2) -> str:
    """A Markdown table; all columns but the first `left` ones are aligned to the right."""
    rule = [*["---"] * left, *["---:"] * (len(headings) - left)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (headings, rule, *rows))


def read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} must be JSON ({error}).") from error


TABLES: dict[str, Callable[[Path], str]] = {
    "quickstart": quickstart,
    "core": core,
    "one_shot": one_shot,
    "gradual": gradual,
    "schedules": schedules,
    **{name: functools.partial(family, name) for name in FAMILIES},
    "oracle": oracle,
    "fisher": fisher,
    "gradients": gradients,
    "bench_export": bench_export,
    "export_sizes": export_sizes,
    "mobilenet": mobilenet,
    "fashion_export": fashion_export,
}
