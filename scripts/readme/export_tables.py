"""Tables of the README on exported files: speed, bytes, and MobileNetV1 on real images."""

from typing import Any

from scripts.lab.tables import (
    Table,
    accuracies,
    columns,
    environment,
    heading,
    machines,
    percent,
    reference,
    versions,
    with_deviation,
)

_RUNTIMES = {"native": "native", "wasm": "WebAssembly"}
_DENSE = "dense"
_MISSED = ", **missed**"
_LARGEST_DIFFERENCE = 1e-5  # aimed at in float32
_STORED = ("float32", "float16", "int8_weights")
_LARGEST_BYTES = {  # aimed at: (case, file) -> bytes
    ("mobilenet_v1", "float32"): 2_750_000,
    ("mobilenet_v1", "float16"): 1_830_000,
    ("mobilenet_v1", "int8_weights"): 1_650_000,
}
_PANELS = (
    ("top1", "top-1"),
    ("top5", "top-5"),
    ("top1_before_refresh", "top-1, batch normalization as before pruning"),
)


def speed(run: dict[str, Any]) -> Table:
    """The table of `bench_export.py`: how much faster than dense, with the goals beside it."""
    rows, missed, goals = [], [], 0
    for record in run["records"]:
        dense, *files = record["files"]
        for file in files:
            goal, difference = file["goal"], f"{file['difference']:.1e}"
            slow = goal is not None and file["ratio"] < goal
            far = file["name"] == "float32" and file["difference"] > _LARGEST_DIFFERENCE
            goals += (goal is not None) + (file["name"] == "float32")
            if slow:
                found = f"{file['ratio']:.4g} of {goal:g}"
                missed.append(f"{_case(run, record)}, {file['name']} ({found})")
            if far:
                missed.append(f"{_case(run, record)}, {file['name']} (difference {difference})")
            rows.append(
                [
                    run["labels"][record["method"]],
                    _RUNTIMES[file["runtime"]],
                    heading(record["sparsity"]),
                    file["name"],
                    f"{file['sparse_layers']} of {file['layers']}",
                    f"{file['sparse_multiply_adds']:.1%}",
                    _milliseconds(dense),
                    _milliseconds(file),
                    "" if goal is None else f"at least {goal:g}",
                    f"{file['ratio']:.2f}{_MISSED if slow else ''}",
                    f"{file['cpu_ratio']:.2f}" if "cpu_ratio" in file else "",
                    f"{difference}{_MISSED if far else ''}",
                ]
            )
    about = (
        f"Random weights, batch 1, {run['settings']['threads']} thread. The files of a network "
        "and its dense float32 file run in turns. Milliseconds an inference are medians of "
        f"{run['settings']['runs']} turns, in brackets the 10th and 90th percentile. Dense / this "
        "is the median of the rounds' ratios: of latency, which the goals are for, and of "
        "processor time. The difference is the largest to Keras's outputs, as a fraction of the "
        "largest of them; in "
        f"float32 at most {_LARGEST_DIFFERENCE:g} is aimed at. {_verdict(goals, missed)}"
        f"{_left_out(run)} {_origin(run)}"
    )
    headings = [
        "network",
        "where",
        "zeros",
        "file",
        "layers on sparse kernels",
        "multiply-adds on them",
        "dense, ms",
        "this, ms",
        "goal",
        "dense / this",
        "processor time",
        "difference",
    ]
    return headings, rows, about


def sizes(run: dict[str, Any]) -> Table:
    """The bytes of the files that compute in float32, beside goals and theory."""
    rows, missed, goals = [], [], 0
    for record in run["records"]:
        dense, *files = record["files"]
        for file in files:
            if file["name"] not in _STORED:
                continue
            goal = _LARGEST_BYTES.get((record["method"], file["name"]))
            large = goal is not None and file["bytes"] > goal
            goals += goal is not None
            if large:
                missed.append(f"{_case(run, record)}, {file['name']} ({file['bytes']:,} bytes)")
            rows.append(
                [
                    run["labels"][record["method"]],
                    heading(record["sparsity"]),
                    file["name"],
                    _mb(dense["bytes"]),
                    "" if goal is None else f"at most {goal / 1e6:g}",
                    f"{_mb(file['bytes'])}{_MISSED if large else ''}",
                    f"{dense['bytes'] / file['bytes']:.1f}",
                    _mb(file["gzip_bytes"]),
                    _mb(file["encoded_bytes"]),
                    _mb(file["theory_bytes"]),
                ]
            )
    about = (
        "MB are 10^6 bytes. Encoded are the weights that are stored sparsely, with their indices; "
        "theory is what their nonzero values and one bit a weight would take, which blocks and "
        "indices of one byte can be below at many zeros. "
        f"{_verdict(goals, missed)}{_left_out(run)} {_origin(run)}"
    )
    headings = [
        "network",
        "zeros",
        "file",
        "dense, MB",
        "goal",
        "this, MB",
        "dense / this",
        "gzip, MB",
        "encoded, MB",
        "theory, MB",
    ]
    return headings, rows, about


def mobilenet_accuracy(run: dict[str, Any]) -> Table:
    """The accuracies of `mobilenet_imagenet.py`, the best mean of each column in bold."""
    sparsities = columns(run)
    rows = []
    for measure, title in _PANELS:
        rows.append([f"*{title}*", *[""] * len(sparsities)])
        rows += accuracies(run, measure, sparsities)
    dense, settings = reference(run, _DENSE), run["settings"]
    about = (
        f"Accuracy in per cent with the weights in {settings['weights']} on the images of "
        f"{settings['images']} that did not calibrate. {settings['calibration']} of them, which "
        "the seed chooses, calibrate scores and batch normalization; nothing is trained. Dense: "
        f"top-1 {with_deviation(dense['top1'])}, top-5 "
        f"{with_deviation(dense['top5'])}. `{run['command']}`; {environment(run)}."
    )
    return ["method", *map(heading, sparsities)], rows, about


def mobilenet_files(run: dict[str, Any]) -> Table:
    """The files of `mobilenet_imagenet.py`: accuracy, bytes, and speed in both runtimes."""
    measured = [record for record in run["records"] if "files" in record]
    rows = [
        [
            heading(record["sparsity"]),
            file["name"],
            percent(file["top1"]),
            f"{100 * (file['top1'] - record['top1']):+.2f}",
            _mb(file["bytes"]),
            _mb(file["gzip_bytes"]),
            f"{file['sparse_multiply_adds']:.1%}",
            f"{file['native']['median_ms']:.3g}",
            f"{file['native']['ratio']:.2f}",
            f"{file['wasm']['median_ms']:.3g}",
            f"{file['wasm']['ratio']:.2f}",
        ]
        for record in measured
        for file in record["files"]
    ]
    methods = " and ".join(dict.fromkeys(run["labels"][r["method"]] for r in measured))
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(r["seed"] for r in measured))
    about = (
        f"Files of the networks pruned by {methods}, seed {seeds}: top-1 accuracy of the file, and "
        "by how much it differs from Keras's, in percentage points; 10^6 bytes; the share of the "
        "multiply-adds on sparse kernels on the file's target; milliseconds an inference on one "
        f"thread, medians of {run['settings']['runs']} turns, with dense / this as above. dynamic "
        "and int8 are made for x86, the others for WebAssembly; each was timed in both."
    )
    headings = [
        "zeros",
        "file",
        "top-1",
        "to Keras",
        "MB",
        "gzip, MB",
        "multiply-adds",
        "native, ms",
        "dense / this",
        "WebAssembly, ms",
        "dense / this",
    ]
    return headings, rows, about


def _case(run: dict[str, Any], record: dict[str, Any]) -> str:
    return f"{run['labels'][record['method']]} at {heading(record['sparsity'])}"


def _verdict(goals: int, missed: list[str]) -> str:
    if not goals:
        return "No goal is set for what was measured."
    if missed:
        return f"Missed of {goals} goals: {'; '.join(missed)}."
    return f"All {goals} goals are met."


def _left_out(run: dict[str, Any]) -> str:
    """Name the networks of the benchmark that the file has no record of."""
    done = {record["method"] for record in run["records"]}
    names = [f"`{name}`" for name in run["labels"] if name not in done]
    return f" Not measured: {', '.join(names)}." if names else ""


def _origin(run: dict[str, Any]) -> str:
    return f"`{run['command']}`, on {machines(run)}; {versions(run)}."


def _milliseconds(file: dict[str, Any]) -> str:
    return f"{file['median_ms']:.3g} ({file['p10_ms']:.3g} to {file['p90_ms']:.3g})"


def _mb(size: int) -> str:
    return f"{size / 1e6:.3f}"
