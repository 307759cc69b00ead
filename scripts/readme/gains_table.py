"""The table at the top of README.md: one measured gain of every kind."""

from collections.abc import Callable
from typing import Any

from scripts.comparison import comparison_table
from scripts.comparison.families import FAMILIES
from scripts.lab.tables import Table, heading, percent, with_deviation
from scripts.readme.quickstart_table import DATA

_AT_ONCE, _ONE_SHOT = 0.7, "reconstruction_global"
_NETWORK, _NETWORK_FILE = "mobilenet_v1", "float32"
_PERCEPTRON, _PERCEPTRON_FILE = "mlp_2048_int8", "dynamic"


def gains(read: Callable[[str], dict[str, Any]]) -> Table:
    """The table of gains.

    Args:
        read: name of a results file, without its ending -> its content.
    """
    rows = [
        _trained(read("quickstart-fashion_mnist/results")),
        _at_once(read("one_shot_table")),
        *_smaller_and_better(read("lstm_paper")),
        *_files(read("bench_export")),
        _cost(read("bench_core")),
    ]
    about = (
        "Mean ± standard deviation over 3 seeds where there are any. Dense files are float32. "
        "Speed is that of random weights: it does not depend on their values. Every figure stands "
        "with its command, seeds and machine in [scripts/results](scripts/results/README.md), "
        "misses included."
    )
    return ["what was done", "dense", "with tfprune", "gain"], rows, about


def _trained(run: dict[str, Any]) -> list[str]:
    """Gradual pruning while training, from the quickstart."""
    dense, sparse = run["table"]
    zeros = heading(run["schedule"]["final_sparsity"])
    return [
        f"CNN on {DATA[run['data']['name']]}, {zeros} of its weights removed while training",
        f"{dense['accuracy']:.2%}, {dense['bytes']:,} bytes",
        f"{sparse['accuracy']:.2%}, {sparse['bytes']:,} bytes",
        f"file {dense['bytes'] / sparse['bytes']:.1f} times smaller",
    ]


def _at_once(run: dict[str, Any]) -> list[str]:
    """One-shot pruning, beside magnitude."""
    measure = "accuracy_after"
    found = {(row["method"], row["sparsity"]): row[measure] for row in run["rows"]}
    ours, magnitude = found[_ONE_SHOT, _AT_ONCE], found["magnitude", _AT_ONCE]
    return [
        f"ResNet-20 on CIFAR-10, {heading(_AT_ONCE)} removed at once, from "
        f"{run['settings']['examples']:,} images, without training",
        f"{percent(found['dense', 0.0]['mean'])}%",
        f"{with_deviation(ours)}%",
        f"{percent(ours['mean'] - magnitude['mean'], 1)} points more than by magnitude",
    ]


def _smaller_and_better(run: dict[str, Any]) -> list[list[str]]:
    """The pruned language model that beats the dense one with the most times its nonzeros."""
    family = FAMILIES["lstm"]
    pairs = [
        (dense["nonzeros"]["mean"] / pruned["nonzeros"]["mean"], pruned, dense)
        for pruned in run["rows"]
        for dense in comparison_table.beaten(family, pruned, run["rows"])
    ]
    if not pairs:
        return []
    times, pruned, dense = max(pairs, key=lambda pair: pair[0])
    shown = (
        f"{family.label} {_with_deviation(row[family.measure])}, "
        f"{row['nonzeros']['mean']:,.0f} weights"
        for row in (dense, pruned)
    )
    return [
        [
            f"LSTM language model on Penn Treebank, {heading(pruned['sparsity'])} removed while "
            "training",
            *shown,
            f"better than a dense model with {times:.1f} times its weights",
        ]
    ]


def _with_deviation(value: dict[str, Any]) -> str:
    deviation = "" if value["sd"] is None else f" ± {value['sd']:.1f}"
    return f"{value['mean']:.1f}{deviation}"


def _files(run: dict[str, Any]) -> list[list[str]]:
    """What two exported files take, in time and bytes."""
    cases = (
        (_NETWORK, _NETWORK_FILE, "in WebAssembly"),
        (_PERCEPTRON, _PERCEPTRON_FILE, "with int8 weights on x86"),
    )
    rows = []
    for case, name, where in cases:
        (record,) = [r for r in run["records"] if r["method"] == case]
        files = {file["name"]: file for file in record["files"]}
        dense, file = files["dense"], files[name]
        shown = (f"{f['median_ms']:.3g} ms, {f['bytes'] / 1e6:.1f} MB" for f in (dense, file))
        rows.append(
            [
                f"{run['labels'][case]}, {heading(record['sparsity'])} zeros, file run {where}",
                *shown,
                f"{file['ratio']:.1f} times as fast, {dense['bytes'] / file['bytes']:.1f} times "
                "smaller",
            ]
        )
    return rows


def _cost(run: dict[str, Any]) -> list[str]:
    """What pruning costs while training."""
    step = run["mobilenet_0.25_96"]["tfprune_step_to_unpruned"]["ratio_of_medians"]
    return [
        "training step of a MobileNet, beside one that is not pruned",
        "1",
        f"{step:g}",
        f"{100 * (step - 1):.1f} % longer",
    ]
