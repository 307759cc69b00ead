"""The table of the study of integer files."""

from typing import Any

from scripts.lab.tables import Table, environment, heading, spread, with_deviation

MEASURES = {"accuracy": "accuracy, %", "perplexity": "perplexity"}


def quantized(run: dict[str, Any]) -> Table:
    """The table of a results file of `python -m scripts.studies.quantization`."""
    measure = run["settings"]["measure"]
    rows = [
        [
            heading(row["sparsity"]),
            run["labels"][row["method"]],
            _value(row["keras"], measure),
            _value(row["file"], measure),
            f"{row['bytes']['mean']:,.0f}",
            f"{row['gzip_bytes']['mean']:,.0f}",
        ]
        for row in sorted(run["rows"], key=lambda row: row["sparsity"])
    ]
    steps = run["records"][0]["options"]
    about = (
        f"{run['settings']['network']}: {MEASURES[measure]} of the Keras model that trained and of "
        f"the file in LiteRT, and bytes. Sparse networks are pruned over {steps['pruning_steps']} "
        f"steps; all train for {steps['steps']} more, in float32 or rounded. `{run['command']}`; "
        f"{environment(run)}."
    )
    headings = ["zeros", "file", "in Keras", "of the file", "bytes", "bytes, gzip"]
    return headings, rows, about


def _value(value: dict[str, Any], measure: str) -> str:
    if measure == "accuracy":
        return with_deviation(value)
    return spread(value, 2)
