"""The table of the quickstart: a dense model beside the pruned one, on both data sets."""

from typing import Any

from scripts.readme.markdown import machine, table

DATA = {"digits": "digits", "fashion_mnist": "Fashion-MNIST"}
_HEADINGS = (
    "data",
    "model",
    "accuracy",
    "nonzero weights",
    "bytes",
    "bytes, gzip",
    "latency, dense / this",
)


def quickstart(runs: list[dict[str, Any]]) -> str:
    """The table of the quickstart's runs, and a line about each."""
    rows = [
        (
            DATA[run["data"]["name"]],
            _model_name(row, run),
            f"{row['accuracy']:.2%}",
            f"{row['nonzero']:,} of {row['weights']:,}",
            f"{row['bytes']:,}",
            f"{row['gzip_bytes']:,}",
            f"{row['latency_ratio']:.2f}",
        )
        for run in runs
        for row in run["table"]
    ]
    return table(_HEADINGS, rows) + "".join(f"\n{_about(run)}\n" for run in runs)


def _model_name(row: dict[str, Any], run: dict[str, Any]) -> str:
    sparsity = run["schedule"]["final_sparsity"]
    return row["model"] if row["model"] == "dense" else f"{100 * sparsity:.6g} % {row['model']}"


def _about(run: dict[str, Any]) -> str:
    epochs = {name: len(log) for name, log in run["accuracy_log"].items()}
    versions = run["versions"]
    return (
        f"`{run['command']}`: {run['data']['test']:,} test images; {epochs['dense']} epochs of "
        f"dense training, {epochs['pruned']} more with pruning; {run['seconds']:.0f} s in all on "
        f"{machine(run)}; Keras {versions['keras']}, TensorFlow {versions['tensorflow']}, LiteRT "
        f"{versions['ai-edge-litert']}."
    )
