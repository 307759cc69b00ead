"""The table of `scripts.comparison.exported`: quality beside bytes and latency of files."""

from typing import Any

from scripts.comparison.families import Family
from scripts.lab.tables import Table

_RUNTIMES = {"native": "LiteRT here", "wasm": "WebAssembly"}


def exported(family: Family, run: dict[str, Any]) -> Table:
    """Return headings, rows and a line about the run."""
    runtimes = [name for name in _RUNTIMES if f"{name}_ms" in run["rows"][0]]
    headings = ["model", "sparsity", family.label, "bytes", "gzip"]
    for name in runtimes:
        headings += [f"{_RUNTIMES[name]}, ms", "times as fast"]
    rows = []
    for row in run["rows"]:
        quality = row[family.measure]
        deviation = "" if quality["sd"] is None else f" ± {family.scale * quality['sd']:.2f}"
        cells = [row["method"], f"{row['sparsity']:g}"]
        cells += [f"{family.scale * quality['mean']:.2f}{deviation}"]
        cells += [f"{row['bytes']:,}", f"{row['gzip_bytes']:,}"]
        for name in runtimes:
            cells += [f"{row[f'{name}_ms']:.3g}", f"{row[f'{name}_speed_up']:.2f}"]
        rows.append(cells)
    machine = run["machine"] if "machine" in run else {}
    where = f", on {machine['cores']} {machine['processor']} cores" if machine else ""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    about = (
        f"The first seed's models as .tflite files, {family.label} of all seeds. Bytes with the "
        'target "size"; latencies of files made for each runtime, float32, batch 1, one thread, '
        f"in turns, medians of {run['settings']['runs']}; times as fast as the first file. "
        f"`{run['command']}`{where}; {versions}."
    )
    return headings, rows, about
