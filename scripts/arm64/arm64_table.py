"""The table of what exported files do on ARM64."""

from typing import Any

import numpy as np

from scripts.lab.tables import Table, heading, versions
from tfprune.export.run.verify import TOLERANCES

_XNNPACK = "XNNPACK"
_NOT_SPARSE = "dense"


def devices(run: dict[str, Any]) -> Table:
    """One row a network and way of quantizing, with a column for each target.

    Args:
        run: what `scripts/bench/arm64.py` wrote.
    """
    targets = list(
        dict.fromkeys(file["target"] for record in run["records"] for file in record["files"])
    )
    rows, wrong = [], []
    for record in run["records"]:
        label = run["labels"][record["method"]]
        for kind in dict.fromkeys(file["quantize"] for file in record["files"]):
            files = [file for file in record["files"] if file["quantize"] == kind]
            ran = [file for file in files if "error" not in file]
            equal = [file for file in ran if _difference(file) <= _tolerance(kind)]
            wrong += [f"{label}, {kind}, {f['target']}" for f in files if f not in equal]
            cells = {file["target"]: _kernels(file) for file in files}
            rows.append(
                [
                    label,
                    kind,
                    f"{len(ran)} of {len(files)}",
                    f"{len(equal)} of {len(files)}",
                    f"{np.max([*map(_difference, ran), 0.0]):.1e}",
                    *(cells[target] for target in targets),
                ]
            )
            label = ""
    headings = ["network", "file", "run", "equal", "difference", *targets]
    return headings, rows, _about(run, wrong)


def _about(run: dict[str, Any], wrong: list[str]) -> str:
    files = [file for record in run["records"] for file in record["files"]]
    ran = [file for file in files if "error" not in file]
    foretold = [f for f in ran if f["kernels"][_XNNPACK]["sparse"] == f["predicted"]]
    zeros = " and ".join(sorted({heading(record["sparsity"]) for record in run["records"]}))
    verdict = f"Not equal: {'; '.join(wrong)}." if wrong else "All are."
    counted = (
        "In the columns of targets: the sparse kernels that ran with XNNPACK, then how many times "
        "as many instructions the dense file in the same arithmetic takes. "
        f"`export.lint` names just these kernels for {len(foretold)} of {len(ran)} files. "
        "Instructions are counted by the emulator, the same each time; they are no times, which "
        "memory and the processor decide, too. "
        if run["settings"]["counted"]
        else "Instructions were not counted. "
    )
    examples = run["settings"]["examples"]
    return (
        f"Random weights, {zeros} zeros in the structure of the target, emulated ARM64, with "
        "XNNPACK and without: files that ran, and that gave Keras's outputs within the tolerance "
        f"of the export on {examples} examples; the difference is the largest, as a fraction of "
        f"the largest output. {verdict} {counted}`{run['command']}`; {versions(run)}."
    )


def _difference(file: dict[str, Any]) -> float:
    """The largest difference to Keras with either kind of kernels; NaN if one is."""
    return float(np.max([each["difference"] for each in file["kernels"].values()]))


def _tolerance(kind: str) -> float:
    return TOLERANCES[None if kind == "float32" else kind]


def _kernels(file: dict[str, Any]) -> str:
    """The sparse kernels that ran, and by what the instructions became fewer."""
    if "error" in file:
        return "**does not run**"
    found = file["kernels"][_XNNPACK]
    names = " and ".join(name.removeprefix("sparse ") for name in found["sparse"]) or _NOT_SPARSE
    if not found["instructions"] or not found.get("dense_instructions"):
        return names
    return f"{names}, {found['dense_instructions'] / found['instructions']:.2f}"
