"""The tables of the two pruning experiments, as headings, rows and a line about the run."""

from typing import Any

PANELS = (
    ("accuracy_before", "as pruned"),
    ("accuracy_after", "batch normalization estimated again"),
)

# What was measured elsewhere: its label, and the methods here that do the same, the closest first.
COUNTERPARTS = {
    "magnitude": ("magnitude", ("magnitude",)),
    "woodfisher_9": ("WoodFisher, 9 stages", ("woodfisher_9", "woodfisher_steps")),
    "woodfisher_joint_9": (
        "WoodFisher, joint update, 9 stages",
        ("woodfisher_joint_9", "woodfisher_joint_steps"),
    ),
}

Table = tuple[list[str], list[list[str]], str]


def one_shot(run: dict[str, Any]) -> Table:
    """The table of `one_shot_table.py`, the best mean of each column in bold."""
    sparsities = columns(run)
    rows = []
    for measure, title in PANELS:
        rows.append([f"*{title}*", *[""] * len(sparsities)])
        rows += accuracies(run, measure, sparsities)
    elsewhere = run["elsewhere"]
    rows.append([f"*{elsewhere['label']}*", *[""] * len(sparsities)])
    for method, found in elsewhere["rows"].items():
        cells = [found.get(f"{sparsity:g}") for sparsity in sparsities]
        label = COUNTERPARTS[method][0]
        rows.append([label, *("" if c is None else percent(c, 1) for c in cells)])
    settings, dense = run["settings"], reference(run, "dense")
    about = (
        f"CIFAR-10, ResNet-20, test accuracy in per cent on {settings['images']:,} images, "
        f"{settings['examples']:,} training images for each method. "
        f"Dense {with_deviation(dense['accuracy_before'])}, with batch normalization estimated "
        f"again {with_deviation(dense['accuracy_after'])}; elsewhere "
        f"{percent(elsewhere['dense'], 1)} on that subset. {comparison(run)} `{run['command']}`; "
        f"{environment(run)}."
    )
    return ["method", *map(heading, sparsities)], rows, about


def gradual(run: dict[str, Any]) -> Table:
    """The table of `gradual_comparison.py`, the best mean of each column in bold."""
    sparsities = columns(run)
    rows = accuracies(run, "accuracy", sparsities)
    settings = run["settings"]
    start, trained = reference(run, "checkpoint"), reference(run, "dense")
    about = (
        f"Fashion-MNIST, a CNN with {settings['weights']:,} weights that can be pruned, test "
        f"accuracy in per cent. Every method starts from the same checkpoint of its seed "
        f"({with_deviation(start['accuracy'])}) and sees the same {settings['steps']:,} batches of "
        f"{settings['batch_size']}; not pruned, the model gets to "
        f"{with_deviation(trained['accuracy'])} with them. `{run['command']}`; {environment(run)}."
    )
    return ["method", *map(heading, sparsities)], rows, about


def columns(run: dict[str, Any]) -> list[float]:
    return sorted({row["sparsity"] for row in run["rows"] if row["method"] in run["labels"]})


def accuracies(run: dict[str, Any], measure: str, sparsities: list[float]) -> list[list[str]]:
    """One row a method that was run, in the order of the labels."""
    found = {(row["method"], row["sparsity"]): row[measure] for row in run["rows"]}
    best = {
        s: max(found[name, s]["mean"] for name in run["labels"] if (name, s) in found)
        for s in sparsities
    }
    rows = []
    for method, label in run["labels"].items():
        values = [(s, found[method, s]) for s in sparsities if (method, s) in found]
        if values:
            cells = dict.fromkeys(sparsities, "")
            for sparsity, value in values:
                mark = "**" if value["mean"] == best[sparsity] else ""
                cells[sparsity] = f"{mark}{with_deviation(value)}{mark}"
            rows.append([label, *cells.values()])
    return rows


def comparison(run: dict[str, Any]) -> str:
    """Say which of the figures measured elsewhere the same methods, as pruned, fall short of."""
    found = {
        (row["method"], f"{row['sparsity']:g}"): row["accuracy_before"]["mean"]
        for row in run["rows"]
    }
    compared, missed = 0, []
    for name, values in run["elsewhere"]["rows"].items():
        for sparsity, theirs in values.items():
            same = next((m for m in COUNTERPARTS[name][1] if (m, sparsity) in found), None)
            if same is None:
                continue
            compared += 1
            ours = found[same, sparsity]
            if ours < theirs:
                missed.append(
                    f"{run['labels'][same]} at {heading(float(sparsity))} "
                    f"({percent(ours, 1)}, there {percent(theirs, 1)})"
                )
    if not compared:
        return "None of the figures measured elsewhere was measured here."
    if missed:
        return f"As pruned, below the figures measured elsewhere: {'; '.join(missed)}."
    return f"As pruned, none of the figures measured elsewhere is missed, of {compared} compared."


def reference(run: dict[str, Any], method: str) -> dict[str, Any]:
    return {row["method"]: row for row in run["rows"]}[method]


def heading(sparsity: float) -> str:
    return f"{100 * sparsity:g} %"


def percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f}"


def with_deviation(value: dict[str, Any]) -> str:
    """Mean and standard deviation in per cent; the mean alone where there was one seed."""
    deviation = "" if value["sd"] is None else f" ± {percent(value['sd'])}"
    return percent(value["mean"]) + deviation


def spread(value: dict[str, Any], digits: int, *, times: float = 1.0) -> str:
    """Mean and standard deviation of a number; the mean alone where there was one seed.

    Example:
        >>> spread({"mean": 0.25, "sd": 0.01}, 1, times=100)
        '25.0 ± 1.0'
    """
    deviation = "" if value["sd"] is None else f" ± {times * value['sd']:.{digits}f}"
    return f"{times * value['mean']:.{digits}f}{deviation}"


def environment(run: dict[str, Any]) -> str:
    counts = sorted({len(row["seeds"]) for row in run["rows"]})
    seeds = f"{counts[-1]} seed{'s' * (counts[-1] > 1)}"
    if counts[0] != counts[-1]:
        seeds = f"{counts[0]} to {seeds} (one seed where no deviation stands)"
    return f"mean ± standard deviation over {seeds}; on {machines(run)}; {versions(run)}"


def machines(run: dict[str, Any]) -> str:
    """What a run was trained on, or each of its parts: an accelerator, or the cores of a machine.

    Example:
        >>> cores = {"cores": 2, "processor": "x86_64"}
        >>> machines({"machine": [{**cores, "accelerator": "NVIDIA H200"}, cores]})
        'one NVIDIA H200 and 2 x86_64 cores'
    """
    found = (
        f"one {own['accelerator']}"
        if "accelerator" in own
        else f"{own['cores']} {own['processor']} cores"
        for own in _each(run["machine"])
    )
    return " and ".join(dict.fromkeys(found))


def versions(run: dict[str, Any]) -> str:
    """Names and versions of the software of a run, or of each of its parts.

    Example:
        >>> versions({"versions": [{"keras": "3", "jax": "1"}, {"keras": "3", "jax": "2"}]})
        'keras 3, jax 1 and 2'
    """
    found: dict[str, dict[str, None]] = {}
    for own in _each(run["versions"]):
        for name, version in own.items():
            found.setdefault(name, {})[version] = None
    return ", ".join(f"{name} {' and '.join(every)}" for name, every in found.items())


def _each(origin: Any) -> list[dict[str, Any]]:
    """Machines or versions of a results file, which is one entry where all records share it."""
    return origin if isinstance(origin, list) else [origin]
