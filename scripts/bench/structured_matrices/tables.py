"""The table of `scripts.bench.structured_matrices`."""

from typing import Any

from scripts.lab.tables import Table, versions

_RUNTIMES = {"native": "times as fast, native", "wasm": "WebAssembly"}


def structured_matrices(run: dict[str, Any]) -> Table:
    """One row a matrix: what is stored, how far it is from the dense one, how fast its file is."""
    rows = [
        [
            label,
            f"{row['parameters']:,}",
            f"{row['bytes']:,}",
            f"{row['error']:.2f}",
            *(f"{row[name]['speed_up']:.2f}" if name in row else "-" for name in _RUNTIMES),
        ]
        for label, row in run["rows"].items()
    ]
    headings = ["matrix", "numbers", "bytes of the file", "error", *_RUNTIMES.values()]
    about = (
        f"A random kernel of {run['size']} x {run['size']} and the nearest matrices of each kind; "
        f"error is |difference| / |kernel|. Files in turns, {run['threads']} thread. "
        f"`{run['command']}`; {versions(run)}."
    )
    return headings, rows, about
