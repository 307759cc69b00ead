"""The table that helps to choose a scorer: what each gained in three studies, and its cost."""

import statistics
from typing import Any

from scripts.lab.tables import Table, percent, with_deviation

_AT_ONCE, _TRAINING, _LONGEST_TRAINING = (0.7, 0.8), 0.98, "10 epochs"
_ROWS = (  # scorer, method of the two pruning studies, score of the study of correlations
    ("`magnitude`", "magnitude", "magnitude", "magnitude"),
    ("`fisher`", "fisher", None, "Fisher"),
    ("`woodfisher`", "woodfisher", "woodfisher", None),
    ("`woodfisher`, in stages", "woodfisher_steps", None, None),
    ("`woodfisher`, joint update, in stages", "woodfisher_joint_steps", None, None),
    ("`reconstruction`, global", "reconstruction_global", None, None),
    ("`taylor`", None, "taylor", "weights, first order, micro-batch 32"),
    ("`taylor` on gates", None, None, "gates, first order, micro-batch 32"),
    ("`taylor` on gates, second order", None, None, "gates, second order, micro-batch 32"),
    ("`obd`", None, None, "OBD"),
    ("`snip`", None, None, "SNIP"),
)


def scorers(
    at_once: dict[str, Any], training: dict[str, Any], correlation: dict[str, Any]
) -> Table:
    """The table from the results of the one-shot, the gradual and the correlation study."""
    filters = correlation["trainings"][_LONGEST_TRAINING]["correlation"]["filters"]
    rows = [
        [
            label,
            *(_cell(at_once, method, sparsity, "accuracy_after") for sparsity in _AT_ONCE),
            _seconds(at_once, method),
            _cell(training, gradual, _TRAINING, "accuracy"),
            "" if score is None else f"{filters[score]['mean']:.2f} ± {filters[score]['std']:.2f}",
        ]
        for label, method, gradual, score in _ROWS
    ]
    dense = {row["method"]: row for row in at_once["rows"]}["dense"]
    about = (
        f"At once: ResNet-20 on CIFAR-10 (dense {with_deviation(dense['accuracy_after'])} %), "
        f"{at_once['settings']['examples']:,} images, no training, batch normalization estimated "
        "again. Seconds of the processor for a whole run, of which the evaluation of "
        f"{at_once['settings']['images']:,} images is most of that of magnitude. While training: "
        f"a CNN on Fashion-MNIST, {training['settings']['steps']:,} steps, global. Agreement: rank "
        "correlation with the squared change of the loss when a filter of a small residual CNN on "
        "digits is removed; scores of weights are summed over the filter. Mean ± standard "
        f"deviation over {len(correlation['seeds'])} seeds; the whole tables are in "
        "[scripts/results](../scripts/results/README.md)."
    )
    headings = [
        "scorer",
        *(f"at once, {percent(sparsity, 0)} %" for sparsity in _AT_ONCE),
        "processor s",
        f"while training, {percent(_TRAINING, 0)} %",
        "agreement",
    ]
    return headings, rows, about


def _cell(run: dict[str, Any], method: str | None, sparsity: float, measure: str) -> str:
    found = [r for r in run["rows"] if (r["method"], r["sparsity"]) == (method, sparsity)]
    return with_deviation(found[0][measure]) if found else ""


def _seconds(run: dict[str, Any], method: str | None) -> str:
    """Median over the seeds, at the highest sparsity, where stages are counted in full."""
    found = [record for record in run["records"] if record["method"] == method]
    if not found:
        return ""
    highest = max(record["sparsity"] for record in found)
    seconds = [r["cpu_seconds"] for r in found if r["sparsity"] == highest]
    return f"{statistics.median(seconds):.0f}"
