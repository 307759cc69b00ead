"""The table of `fashion_export.py`, as headings, rows and a line about the run."""

from typing import Any

from scripts.lab.tables import Table, environment, heading, percent, with_deviation

RUNTIMES = {"native": "native", "wasm": "WebAssembly"}
HEADINGS = [
    "model",
    "`quantize`",
    "`target`",
    "in Keras",
    "of the file",
    "bytes",
    "bytes, gzip",
    "sparse kernels",
    *RUNTIMES.values(),
]


def fashion_export(run: dict[str, Any]) -> Table:
    """One row a file that was measured, those of a model together, under its name."""
    timings = {(t["name"], t["sparsity"], t["runtime"]): t["ratio"] for t in run["latencies"]}
    timed = max((sparsity for _, sparsity, _ in timings), default=0.0)
    rows: list[list[str]] = []
    last = None
    for name, row in measured(run):
        file, sparsity = run["files"][name], row["sparsity"]
        model = file["label"] if sparsity == 0 else f"{heading(sparsity)}, {file['label']}"
        # The dense files are timed beside those of each sparsity, and shown with the highest.
        ratios = [timings.get((name, sparsity or timed, runtime)) for runtime in RUNTIMES]
        rows.append(
            [
                "" if model == last else model,
                file["quantize"] or "None",
                file["target"] or "",
                "" if model == last else with_deviation(row["keras_accuracy"]),
                with_deviation(row["accuracy"]),
                f"{row['bytes']['mean']:,.0f}",
                f"{row['gzip_bytes']['mean']:,.0f}",
                f"{percent(row['sparse_multiply_adds']['mean'], 0)} %",
                *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
            ]
        )
        last = model
    return HEADINGS, rows, about(run)


def measured(run: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The rows of the run with the names of their files: sparsity after sparsity, as listed."""
    found = {(row["method"], row["sparsity"]): row for row in run["rows"]}
    sparsities = sorted({sparsity for _, sparsity in found})
    return [
        (name, found[name, sparsity])
        for sparsity in sparsities
        for name in run["files"]
        if (name, sparsity) in found
    ]


def about(run: dict[str, Any]) -> str:
    settings = run["settings"]
    return (
        f"Fashion-MNIST, the quickstart's CNN with {settings['weights']:,} weights that can be "
        f"pruned; accuracy in per cent on {settings['images']:,} test images, of the model in "
        f"Keras and of the .tflite file; bytes are means. A dense model is trained for "
        f"{settings['epochs']} epochs, then for {2 * settings['epochs']} more, as it is or with "
        f"gradual pruning; the fine-tuned ones go on from blocks of 16 for "
        f"{settings['tuning_epochs']} epochs at a learning rate of {settings['tuning_rate']:g}. "
        f"int8 is calibrated on {settings['calibration']} training images. Sparse kernels: their "
        f"share of the multiply-adds. The last two columns are latencies, first file / this one, "
        f"of the first seed's files at batch 1 on one thread. `{run['command']}`; "
        f"{environment(run)}."
    )
