"""Nanoseconds fitted to what fully connected kernels took."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import nnls

from tfprune.targets.costs import CACHE_BYTES

_BYTES = {"float32": 4}
_TERMS = ("first", "further", "output")


def fitted(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return "runtime, kind" -> kernel -> nanoseconds, as `KernelCosts` names them.

    What an inference takes besides is the same for all kernels of a runtime and a kind. Relative
    errors count, so that small layers do; no cost is below zero.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        options = record["options"]
        size = options["inputs"] * options["outputs"] * _BYTES.get(options["kind"], 1)
        if size <= CACHE_BYTES:
            group = groups.setdefault(f"{options['runtime']}, {options['kind']}", [])
            group.extend({**options, **file} for file in record["files"])
    return {name: _fit(files) for name, files in groups.items()}


def _fit(files: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    kernels = list(dict.fromkeys(file["kernel"] for file in files))
    width = 1 + len(_TERMS)  # what a call takes, and what is counted
    counts = np.zeros((len(files), width * len(kernels)))
    took = np.array([file["nanoseconds"] for file in files], float)
    for row, file in zip(counts, files):
        begin = width * kernels.index(file["kernel"])
        stored, rows = file["stored"], file["rows"]
        row[begin : begin + width] = 1, stored, stored * (rows - 1), file["outputs"] * rows
    found, _ = nnls(counts / took[:, None], np.ones(len(took)))
    return {
        kernel: {
            term: float(f"{value:.3g}")
            for term, value in zip(("call", *_TERMS), found[width * number :])
        }
        for number, kernel in enumerate(kernels)
    }
