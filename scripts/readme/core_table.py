"""The table of what pruning itself costs, with the targets beside the figures."""

from typing import Any

from scripts.lab.tables import versions
from scripts.readme.markdown import machine, table

_MODELS = {
    "mobilenet_0.25_96": "MobileNet 0.25, 96 x 96, batch 32",
    "lstm_2x650": "LSTM 2 x 650, 20 tokens, batch 20, vocabulary 10,000",
}
_TARGETS = (  # measure, key without the package's name, largest value aimed at
    ("training step / unpruned", "step_to_unpruned", 1.05),
    ("the same with an update every 100 steps, beyond that", "amortised_every_100_steps", 1.03),
    ("first `fit`, tracing included / unpruned", "first_fit_to_unpruned", 2.0),
    ("bytes of all variables / unpruned", "variable_bytes_to_unpruned", 1.3),
)
_STRUCTURE_TARGETS = {"Unstructured()": 1.0, "Block(4, 1)": 1.0}  # update / np.partition
_LAYERS_TARGETS = {"fit": 1.3, "load": 1.3}  # first fit and load, pruned / plain
_HEADINGS = ("measure", "target", "tfprune", "tensorflow-model-optimization")


def core(run: dict[str, Any]) -> str:
    """The table of the core benchmark, and a line about it."""
    update = run["mask_update_10m"]
    extra = "peak_extra_bytes_a_weight"
    rows = [
        _figures("mask update, 10 million weights / `np.partition`", update, "to_partition", 1.0),
        _figures("the same, extra bytes a weight at its peak", update, extra, 4),
        ("the same, mask exact", "yes", "yes" if update["tfprune_exact"] else "no, **missed**", ""),
    ]
    for key, model in _MODELS.items():
        rows.append((f"**{model}**", "", "", ""))
        rows += [_figures(measure, run[key], name, limit) for measure, name, limit in _TARGETS]
    return table(_HEADINGS, rows) + f"\n`{run['command']}`, on {machine(run)}; {versions(run)}.\n"


def embedding(run: dict[str, Any]) -> str:
    """The table of a step with a large embedding, and a line about it."""
    seconds, ratio = run["cpu_seconds_a_step"], run["pruned_to_plain"]
    rows = [(name, f"{1000 * value:.1f}") for name, value in seconds.items()]
    about = (
        f"Pruned / plain {_deciles(ratio)}, of SGD steps in turns. "
        f"`{run['command']}`, on {machine(run)}."
    )
    return table(("embedding", "processor ms a step"), rows, left=1) + f"\n{about}\n"


def distilled(run: dict[str, Any]) -> str:
    """The table of a training step with a teacher, and a line about it."""
    names = {
        "plain": "the student's own",
        "teacher": "the teacher's forward pass alone",
        "distilled": "`distill(student, teacher)`",
        "distilled_inside": "the same with a hint and an attention map",
    }
    rows = []
    for key, name in names.items():
        cpu, ratio = run["ms_a_step"][key]["cpu"], run.get(f"{key}_to_plain")
        missed = ", **missed**" if ratio and ratio["cpu"]["median"] > run["goal"] else ""
        rows.append((name, f"{cpu:g}", _deciles(ratio["cpu"]) + missed if ratio else ""))
    headings = ("step", "processor ms", "beyond the teacher / the student's own")
    goal = f"Goal: at most {run['goal']:g}, steps in turns."
    return table(headings, rows, left=1) + f"\n{goal} `{run['command']}`, on {machine(run)}.\n"


def structures(run: dict[str, Any]) -> str:
    """The table of mask updates by structure, and a line about it."""
    rows = []
    for name, case in run["cases"].items():
        limits = (_STRUCTURE_TARGETS.get(name, 2.0), 4.0)
        figures = (case["to_partition"]["ratio_of_medians"], case["peak_extra_bytes_a_weight"])
        texts = (_spread(case["to_partition"]), f"{figures[1]:g}")
        missed = [", **missed**" * (figure > limit) for figure, limit in zip(figures, limits)]
        cells = (f"at most {limits[0]:g}", texts[0] + missed[0], texts[1] + missed[1])
        rows.append((f"`{name}`, {case['sparsity']:.0%}", *cells))
    headings = ("structure, sparsity", "target", "update / `np.partition`", "extra bytes a weight")
    about = f"`{run['command']}`, on {machine(run)}."
    return table(headings, rows) + f"\n{about}\n"


def layers(run: dict[str, Any]) -> str:
    """The table of models of many layers, and a line about it."""
    rows = []
    for key in (key for key in run if key.endswith("_layers")):
        for measure in ("fit", "save", "load"):
            figures = run[key][measure]
            seconds = [f"{figures[which]['wall']:.2f}" for which in ("plain", "pruned")]
            ratio, limit = figures["pruned_to_plain"]["wall"], _LAYERS_TARGETS.get(measure)
            missed = ", **missed**" if limit is not None and ratio > limit else ""
            aim = "" if limit is None else f"at most {limit:g}"
            rows.append(
                (f"{key.split('_')[0]} layers, {measure}", aim, f"{ratio:g}{missed}", *seconds)
            )
        made = [f"{run[key][measure]['wall']:.2f}" for measure in ("prune", "strip")]
        rows.append((f"{key.split('_')[0]} layers, prune and strip", "", "", "", " + ".join(made)))
    headings = ("model", "target", "pruned / plain", "plain, seconds", "pruned, seconds")
    return table(headings, rows) + f"\n`{run['command']}`, on {machine(run)}.\n"


def reconstruction(run: dict[str, Any]) -> str:
    """The table of layer-wise reconstruction beside SparseGPT, and a line about it."""
    rows = []
    for size, layer in run["layers"].items():
        spent = layer["milliseconds_an_output"]
        for name, title in (("greedy", "tfprune, greedy"), ("sparsegpt", "SparseGPT")):
            lost = [f"{100 * errors[name]:.2f}" for errors in layer["lost"].values()]
            rows.append((f"{size} inputs, {title}", f"{spent[name]:g}", *lost))
    sparsities = [f"lost at {float(s):.0%}, %" for s in next(iter(run["layers"].values()))["lost"]]
    headings = ("layer", "ms an output", *sparsities)
    return table(headings, rows) + f"\n`{run['command']}`, on {machine(run)}.\n"


def _figures(
    measure: str, values: dict[str, Any], name: str, limit: float
) -> tuple[str, str, str, str]:
    """One row; the other package's figure is empty where it was not measured."""
    ours, theirs = values[f"tfprune_{name}"], values.get(f"tfmot_{name}")
    number = ours["ratio_of_medians"] if isinstance(ours, dict) else ours
    missed = "" if number <= limit else ", **missed**"
    return measure, f"at most {limit:g}", _spread(ours) + missed, _spread(theirs)


def _deciles(ratio: dict[str, Any]) -> str:
    """A median, with the 10th and 90th percentile."""
    low, *_, high = ratio["deciles"]
    return f"{ratio['median']:g} ({low:g} to {high:g})"


def _spread(value: Any) -> str:
    """A figure as it is in the file, with the 10th and 90th percentile where they are known."""
    if isinstance(value, dict):
        return f"{value['ratio_of_medians']:g} ({value['p10']:g} to {value['p90']:g})"
    return "" if value is None else f"{value:g}"
