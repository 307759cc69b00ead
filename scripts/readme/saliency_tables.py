"""Tables of the README on scores: agreement with an oracle, cost of gradients and Fisher."""

from typing import Any

Table = tuple[list[str], list[list[str]], str]

_ORACLE_ROWS = {  # name in the results file -> name in the table
    "gates, first order, micro-batch 1": "Taylor on gates, first order, per example",
    "gates, first order, micro-batch 8": "Taylor on gates, first order, micro-batch 8",
    "gates, first order, micro-batch 32": "Taylor on gates, first order, micro-batch 32",
    "gates, first order, micro-batch 128": "Taylor on gates, first order, micro-batch 128",
    "gates, first order, micro-batch 640": "Taylor on gates, first order, micro-batch 640",
    "gates, second order, micro-batch 32": "Taylor on gates, second order, micro-batch 32",
    "weights, first order, micro-batch 32": "Taylor on weights, summed over the filter",
    "Fisher": "Fisher, summed over the filter",
    "OBD": "OBD, summed over the filter",
    "SNIP": "SNIP, summed over the filter",
    "magnitude": "magnitude, summed over the filter",
}
_OURS, _CLOSED_FORM = "tfprune", "closed form, float64"
_REFERENCES = {"recursion": "textbook recursion", "mfac_dynamic": "M-FAC, dynamic form"}


def oracle(run: dict[str, Any]) -> Table:
    """The table of `oracle_correlation.py`: rank correlation over the filters of all layers."""
    trainings = list(run["trainings"])
    rows = []
    for name, label in _ORACLE_ROWS.items():
        target = run["targets"].get(name)
        cells = []
        for training in trainings:
            value = run["trainings"][training]["correlation"]["filters"][name]
            cells.append(f"{value['mean']:.3f} ± {value['std']:.3f}")
        rows.append([label, "" if target is None else f"at least {target:g}", *cells])
    about = (
        "Spearman correlation with the squared change of the loss when a filter is set to zero; "
        f"small residual CNN on digits, {run['examples']:,} examples, mean ± standard deviation "
        f"over {len(run['seeds'])} seeds. The target holds for the first training; the longer one "
        f"shows what vanishing gradients do. `{run['command']}`."
    )
    return ["score", "target", *trainings], rows, about


def fisher(run: dict[str, Any]) -> Table:
    """The table of `bench_fisher.py`: processor seconds of the inverse-Fisher diagonal."""
    elsewhere = run["elsewhere"]
    rows = []
    for case, summary in run["summary"].items():
        found = summary["median_cpu_s"]
        known = elsewhere["cases"].index(case) if case in elsewhere["cases"] else None
        others = ("published WoodFisher code", "published M-FAC code", "sparseml", _CLOSED_FORM)
        rows.append(
            [
                case,
                f"{found[_OURS]:.3g}",
                *(_reference(run, case, name) for name in _REFERENCES),
                f"{summary['extra_traced_mb']:.0f}",
                *("" if known is None else f"{elsewhere[name][known]:g}" for name in others),
            ]
        )
    large = run["resnet50"]
    about = (
        f"Processor seconds on {run['threads']} thread, d = {run['d']:,}; medians of 3 (the second "
        "and third round of the references ran later); MB beyond the gradients. The references are "
        "written here from their formulas and compute in float32 (~: extrapolated from a part of "
        "the blocks); the columns on the right were measured elsewhere, on another machine. "
        f"ResNet-50's shape ({large['d']:,} parameters, N = {large['N']}, B = {large['B']}, "
        f"{large['gradients_gb']:.0f} GB of random gradients from disk): {large['cpu_s']:.0f} "
        f"processor seconds, {large['wall_s'] - large['writing_wall_s']:.0f} s beside the writing "
        f"of the files, {large['peak_resident_gb']:.1f} GB at the peak. `{run['command']}`."
    )
    headings = [
        "examples N, block B",
        "tfprune, float64",
        *_REFERENCES.values(),
        "extra MB",
        "*WoodFisher code*",
        "*M-FAC code*",
        "*sparseml*",
        "*closed form*",
    ]
    return headings, rows, about


def gradients(run: dict[str, Any]) -> Table:
    """The table of `bench_gradients.py`: processor time of one example's gradient."""
    ratios = run["ratio_to_tfprune"]
    rows = [
        [name, f"{milliseconds:.1f}", f"{ratios[name]:.2f}"]
        for name, milliseconds in run["cpu_ms_a_gradient"].items()
    ]
    about = (
        f"Per-example gradients of a ResNet-20 with {run['weights']:,} weights; medians, rounds "
        f"interleaved. Tracing takes {run['trace_cpu_s']:.1f} processor seconds, once. "
        f"`{run['command']}`, on {run['machine']['cores']} {run['machine']['processor']} cores."
    )
    return ["way", "processor ms a gradient", "ratio"], rows, about


def _reference(run: dict[str, Any], case: str, name: str) -> str:
    seconds = run["summary"][case]["median_cpu_s"].get(name)
    if seconds is None:
        return ""
    extrapolated = any(measured["extrapolated"] for measured in run["runs"][case][name])
    return f"{'~' * extrapolated}{seconds:.3g}"
