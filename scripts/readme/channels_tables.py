"""Tables about removed channels: seconds, files, accuracy, and what each step of recovery gains."""

from typing import Any

from scripts.lab.tables import (
    Table,
    environment,
    heading,
    machines,
    percent,
    versions,
    with_deviation,
)
from scripts.studies.structured.command import best_choice
from scripts.studies.structured.presets import DENSE, L1, stage_of

Row = dict[str, Any]

_MISSED = ", **missed**"
_STEPS = {
    "accuracy_before": "channels removed",
    "accuracy_after": "batch normalization estimated again",
}


def seconds(run: Row) -> Table:
    """The table of `scripts.bench.channels`: plan and surgery, with the goals beside."""
    rows = []
    for record in run["records"]:
        name = record["method"]
        goal, elsewhere = run["goals"].get(name), run["elsewhere"].get(name)
        total = record["plan_cpu_seconds"] + record["prune_cpu_seconds"]
        wall = record["plan_seconds"] + record["prune_seconds"]
        late = goal is not None and total > goal
        rows.append(
            [
                name,
                f"{record['layers']:,}",
                f"{record['build_cpu_seconds']:.2f}",
                f"{record['plan_cpu_seconds']:.2f}",
                f"{record['prune_cpu_seconds']:.2f}",
                "" if goal is None else f"at most {goal:g}",
                f"{total:.2f}{_MISSED * late}",
                f"{wall:.2f}",
                "" if elsewhere is None else f"{elsewhere:g}",
                f"{record['difference']:.1e}" if "difference" in record else "",
            ]
        )
    headings = ["network", "layers", "Keras builds it, s", "plan, s", "surgery, s", "goal"]
    headings += ["both, s", "both, wall s", "Torch-Pruning, s", "difference"]
    about = (
        "Half of the channels of every layer, random weights. Seconds of the processor, medians of "
        f"{run['settings']['rounds']} rounds; wall seconds are those of a machine with other work "
        "beside. Torch-Pruning's were measured elsewhere. The difference is the largest of any "
        "output from the original with these channels at zero, as a fraction of the largest "
        f"output. `{run['command']}`, on {machines(run)}; {versions(run)}."
    )
    return headings, rows, about


def files(run: Row) -> Table:
    """The table of `scripts.bench.channel_files`: channels x zeros x int8."""
    rows = []
    for record in run["records"]:
        by_runtime: dict[str, list[Row]] = {}
        for file in record["files"]:
            by_runtime.setdefault(file["runtime"], []).append(file)
        goal = run["goals"][record["method"]]
        for native, browser in zip(by_runtime["native"], by_runtime["wasm"], strict=True):
            half, zeros, int8 = native["combination"]
            alone = half and not zeros and not int8
            cells = [record["method"], *("yes" if on else "" for on in (half, zeros, int8))]
            for file in (native, browser):
                slow = alone and file["ratio"] < goal
                cells += [
                    f"{file['bytes'] / 1e6:.2f}",
                    f"{file['gzip_bytes'] / 1e6:.2f}",
                    f"{file['median_ms']:.3g}",
                    f"{file['ratio']:.2f}{_MISSED * slow}",
                ]
            rows.append(cells)
    settings = run["settings"]
    headings = ["network", f"{heading(settings['channels'])} of channels"]
    headings += [f"{heading(settings['zeros'])} zeros", "int8"]
    for where in ("native", "WebAssembly"):
        headings += [f"{where}, MB", "gzip, MB", "ms", "dense / this"]
    in_keras = "; ".join(
        f"{record['method']} {record['keras']['median_ms'][0]:.3g} ms and "
        f"{record['keras']['median_ms'][1]:.3g} ms ({record['keras']['ratio']:.2f} times faster)"
        for record in run["records"]
    )
    goals = ", ".join(f"{name} {goal:g}" for name, goal in run["goals"].items())
    about = (
        "Random weights, 224 x 224 pixels, batch 1, one thread; the files of a network and runtime "
        f"in turns, {settings['runs']} of each; dense / this is the median of the rounds' ratios. "
        f"Channels alone are to be this many times faster at least: {goals}. In Keras, with all "
        f"and with half of the channels: {in_keras}. `{run['command']}`, on {machines(run)}; "
        f"{versions(run)}."
    )
    return headings, rows, about


def accuracy(run: Row) -> Table:
    """The table of the study of channels: every choice at once, then what was trained on."""
    left = sorted({row["sparsity"] for row in run["rows"]})
    parts = [(title, run["rows"], measure) for measure, title in _STEPS.items()]
    parts += [(f"then {label}", found, "accuracy") for label, found in _stages(run)]
    rows = []
    for title, measured, measure in parts:
        rows.append([f"*{title}*", *[""] * len(left)])
        for name, label in run["labels"].items():
            found = {row["sparsity"]: row for row in measured if _choice(row) == name}
            if found:
                cells = [_marked(found.get(s), measure, measured) for s in left]
                rows.append([label, *cells])
    published = run["published"]
    rows.append([f"*{published['network']}, as Torch-Pruning publishes it*", *[""] * len(left)])
    rows.append(["dense", f"{percent(published['base'])}", *[""] * (len(left) - 1)])
    for other in published["rows"]:
        nearest = min(left, key=lambda s: abs(1 / (1 - s) - other["times_fewer"]))
        cell = f"{percent(other['accuracy'])} at {other['times_fewer']:g} times fewer"
        rows.append([other["label"], *(cell if s == nearest else "" for s in left)])
    dense = next(row for row in run["trained"] if row["method"] == DENSE)
    about = (
        f"CIFAR-10, {run['settings']['preset']}, test accuracy in per cent on 10,000 images, by "
        f"the multiply-adds that are left. Dense {with_deviation(dense['accuracy'])} with "
        f"{dense['multiply_adds']['mean']:,.0f} multiply-adds. {_recipe(run)}The published "
        f"figures are of {published['network']}, trained far longer. {_trained_on(run)} "
        f"`{run['command']}`; {_environment(run)}."
    )
    return ["channels chosen by", *(heading(1 - s) for s in left)], rows, about


def _stages(run: Row) -> list[tuple[str, list[Row]]]:
    """Return what every length of training, without and with a teacher, brought."""
    found: dict[str, list[Row]] = {}
    trained = [(stage_of(row["method"]), row) for row in run["trained"] if row["method"] != DENSE]
    for stage, row in sorted(trained, key=lambda each: (each[0].epochs, each[0].distilled)):
        found.setdefault(stage.label, []).append(row)
    return [*found.items()]


def _choice(row: Row) -> str:
    method = row["method"]
    return stage_of(method).choice if "-" in method else method


def _recipe(run: Row) -> str:
    """How what is left was trained; nothing where it was not."""
    used = [r["options"] for r in run["records"] if "distilled" in r["options"]]
    if not used:
        return ""
    rate, size = used[0]["learning_rate"], used[0]["batch_size"]
    return (
        f"Trained with SGD, momentum 0.9, from a learning rate of {rate:g} to 0 on a cosine, "
        f"batches of {size}, cropped and mirrored. "
    )


def recovery(run: Row) -> Table:
    """What each step brings back: the best choice, which is trained on, beside L1."""
    left = sorted({row["sparsity"] for row in run["rows"]})
    columns = [(name, s) for s in left for name in (best_choice(run["records"]), L1)]
    rows = []
    for measure, title in _STEPS.items():
        found = {(row["method"], row["sparsity"]): row[measure] for row in run["rows"]}
        rows.append([title, *(with_deviation(found[column]) for column in columns)])
    for label, trained in _stages(run):
        found = {(_choice(row), row["sparsity"]): row["accuracy"] for row in trained}
        cells = [with_deviation(found[c]) if c in found else "" for c in columns]
        rows.append([f"then {label}", *cells])
    dense = next(row for row in run["trained"] if row["method"] == DENSE)
    headings = [f"{run['labels'][name]}, {heading(1 - s)} left" for name, s in columns]
    about = (
        "ResNet-20 on CIFAR-10, test accuracy in per cent, of the multiply-adds that are left; "
        f"dense {with_deviation(dense['accuracy'])}. What was not measured is empty. Other choices "
        "stand in [the results](../../scripts/results/README.md#removed-channels)."
    )
    return ["step", *headings], rows, about


def mobilenet(run: Row) -> Table:
    """The table of `scripts.studies.mobilenet_channels`."""
    rows = []
    after = {row["method"]: row for row in run["rows"]}
    for cut in run["cuts"]:
        name = cut["method"].split("-")[0]
        steps = [("channels removed", cut, "_before_refresh")]
        for what, label in (
            ("cut", "batch normalization estimated again"),
            ("distilled", "trained on the original's outputs"),
            ("hinted", "the same, and on what three of its layers make"),
        ):
            if f"{name}-{what}" in after:
                steps.append((label, after[f"{name}-{what}"], ""))
        for label, row, suffix in steps:
            cells = [with_deviation(row[f"{m}{suffix}"]) for m in ("agreement", "top1")]
            rows.append([run["labels"][name], label, *cells])
    settings, dense = run["settings"], after[DENSE]
    about = (
        "MobileNetV1 0.75 with ImageNet weights, 75 % of its multiply-adds left. "
        f"{settings['calibration']} images without labels are all that choice and training see; "
        "the others measure, in per cent: how often the first choice is the original's, and how "
        f"often it is right (the original: {with_deviation(dense['top1'])}). `{run['command']}`; "
        f"{_environment(run)}."
    )
    return ["channels chosen by", "step", "as the original", "top-1"], rows, about


def _marked(row: Row | None, measure: str, others: list[Row]) -> str:
    """The cell of a row, in bold where it is the best of several with as much left."""
    if row is None:
        return ""
    rivals = [other[measure]["mean"] for other in others if other["sparsity"] == row["sparsity"]]
    mark = "**" if len(rivals) > 1 and row[measure]["mean"] == max(rivals) else ""
    return f"{mark}{with_deviation(row[measure])}{mark}"


def _environment(run: Row) -> str:
    trained = [row for row in run.get("trained", []) if row["method"] != DENSE]
    return environment({**run, "rows": [*run["rows"], *trained]})


def _trained_on(run: Row) -> str:
    places = dict.fromkeys(record["on"] for record in run["records"])
    return f"Trained and measured by {' and by '.join(places)}."
