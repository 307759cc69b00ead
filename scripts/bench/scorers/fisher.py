"""Time and memory of the inverse-Fisher diagonal, beside two published algorithms.

    python -m scripts.bench.scorers.fisher --out scripts/results/bench_fisher.json
    python -m scripts.bench.scorers.fisher --resnet50 --out scripts/results/bench_fisher.json

Random float32 gradients in the shape of a ResNet-20 (d = 268,336), lambda = 1e-5. Processor seconds
on one thread, rounds interleaved, medians. Ours computes in float64, the references (written from
their formulas in `fisher_references.py`) in float32. Where a reference computes only some of
the blocks (`--blocks`), its seconds are extrapolated in proportion, and the results say so.
Figures measured elsewhere, on another machine, stand beside them under that name.

Results are written after each measurement; an interrupted run goes on where it stopped when it is
started again with the same arguments and file.

`--resnet50` streams 25.5 million columns of N = 400 random gradients, 41 GB, from disk: the file of
one layer is written, read through a memory map and deleted before the next.
"""

import argparse
import ctypes
import functools
import json
import os
import platform
import resource
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import threadpoolctl

import tfprune
from scripts.bench.scorers.fisher_references import dynamic, recursion
from tfprune.scorers.woodfisher.scorer import inverse_fisher_diagonal

THREADS = 1
DAMPING = 1e-5
# Kernels of ResNet-20 for CIFAR-10, in order.
RESNET20 = [432] + [2304] * 6 + [4608] + [9216] * 5 + [18432] + [36864] * 5 + [640]
CASES: dict[str, tuple[int, int | str]] = {
    "N=1000 B=2000": (1000, 2000),
    "N=1000 B=1000": (1000, 1000),
    "N=1000 B=50": (1000, 50),
    "N=160 B=2000": (160, 2000),
    "N=1000 layer": (1000, "layer"),
    "N=1000 model": (1000, "model"),
}
REFERENCES = {"recursion": recursion, "mfac_dynamic": dynamic}
ELSEWHERE = {
    "note": "CPU-seconds measured elsewhere, on another machine",
    "cases": list(CASES)[:4],
    "published WoodFisher code": [458, 102, 119, 61.7],
    "published M-FAC code": [198, 208, 210, 5.3],
    "sparseml": [780, 410, 17, 121],
    "closed form, float64": [14.9, 13.3, 1.6, 0.57],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("scripts/results/bench_fisher.json"))
    parser.add_argument("--rounds", type=int, default=3, help="rounds of ours (default 3)")
    parser.add_argument(
        "--reference-rounds", type=int, default=1, help="rounds of the references (default 1)"
    )
    parser.add_argument(
        "--blocks", type=int, default=500, help="most blocks a reference computes (default 500)"
    )
    parser.add_argument("--resnet50", action="store_true", help="only the run from disk")
    parser.add_argument("--scratch", type=Path, help="folder for the gradients of --resnet50")
    arguments = parser.parse_args()
    results = Results(arguments.out)
    results.head(
        versions={
            "tfprune": tfprune.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        machine={"processor": platform.machine(), "cores": os.cpu_count()},
        threads=THREADS,
        damping=DAMPING,
        gradients="standard normal, float32",
        elsewhere=ELSEWHERE,
    )
    if arguments.resnet50:
        results.once("resnet50", lambda: resnet50(arguments.scratch))
        return
    results.head(
        command=f"python -m scripts.bench.scorers.fisher --rounds {arguments.rounds} "
        f"--reference-rounds {arguments.reference_rounds} --blocks {arguments.blocks}",
        d=sum(RESNET20),
    )
    gradients = normal((1000, sum(RESNET20)))
    for turn in range(max(arguments.rounds, arguments.reference_rounds)):
        for case, (examples, size) in CASES.items():
            part = gradients[:examples]
            if turn < arguments.rounds:
                results.time(case, "tfprune", turn, lambda: ours(part, size))
            if turn < arguments.reference_rounds and not isinstance(size, str):
                for name in REFERENCES:
                    run = functools.partial(reference, name, part, size, arguments.blocks)
                    results.add(case, name, turn, run)
    for case, (examples, size) in CASES.items():
        results.once(f"memory {case}", lambda: memory(gradients[:examples], size))
    results.summarise()


class Results:
    """A JSON file of results that knows what has been measured already."""

    def __init__(self, path: Path):
        self.path = path
        self.values: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def head(self, **values: Any) -> None:
        self.values.update(values)
        self._write()

    def once(self, key: str, measure: Callable[[], Any]) -> None:
        if key not in self.values:
            self.values[key] = measure()
            print(key, self.values[key], flush=True)
            self._write()

    def time(self, case: str, side: str, turn: int, run: Callable[[], Any]) -> None:
        self.add(case, side, turn, lambda: {"cpu_s": cpu_seconds(run)})

    def add(self, case: str, side: str, turn: int, measure: Callable[[], dict[str, Any]]) -> None:
        """Append what `measure` returns unless round `turn` of that side is there already."""
        runs = self.values.setdefault("runs", {}).setdefault(case, {}).setdefault(side, [])
        if len(runs) <= turn:
            runs.append(measure())
            print(case, side, runs[-1], flush=True)
            self._write()

    def summarise(self) -> None:
        table: dict[str, dict[str, Any]] = {}
        for case, sides in self.values["runs"].items():
            row = {
                side: statistics.median(run["cpu_s"] for run in runs)
                for side, runs in sides.items()
            }
            ratios = {f"{side} / tfprune": row[side] / row["tfprune"] for side in row}
            del ratios["tfprune / tfprune"]
            table[case] = {"median_cpu_s": row, "ratios": ratios, **self.values[f"memory {case}"]}
        self.head(summary=table)

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.values, indent=1) + "\n")


def normal(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def cpu_seconds(run: Callable[[], Any]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def ours(gradients: np.ndarray, size: int | str) -> np.ndarray:
    if size == "layer":
        bounds = np.cumsum([0] + RESNET20)
        parts = [gradients[:, low:high] for low, high in zip(bounds, bounds[1:])]
        return np.concatenate([inverse_fisher_diagonal(part, damping=DAMPING) for part in parts])
    block_size = None if size == "model" else size
    return inverse_fisher_diagonal(gradients, damping=DAMPING, block_size=block_size)


def reference(name: str, gradients: np.ndarray, size: int, most: int) -> dict[str, Any]:
    """Time a reference on at most `most` blocks, and compare its numbers with ours."""
    starts = range(0, gradients.shape[1], size)
    blocks = [(start, min(start + size, gradients.shape[1])) for start in starts]
    blocks = blocks[:most]
    found: list[np.ndarray] = []
    seconds = cpu_seconds(lambda: found.append(REFERENCES[name](gradients, DAMPING, blocks)))
    columns = blocks[-1][1]
    exact = inverse_fisher_diagonal(gradients[:, :columns], damping=DAMPING, block_size=size)
    errors = np.abs(found[0] / exact - 1.0)
    return {
        "cpu_s": seconds * gradients.shape[1] / columns,
        "measured_cpu_s": seconds,
        "share_of_columns": columns / gradients.shape[1],
        "extrapolated": columns < gradients.shape[1],
        "median_relative_difference": float(np.median(errors)),
        "largest_relative_difference": float(errors.max()),
    }


def memory(gradients: np.ndarray, size: int | str) -> dict[str, Any]:
    """Return the peak of the memory beyond the gradients, by allocations and by the process."""
    ours(gradients[:, : 2 * max(RESNET20)], 50)  # lets BLAS take its fixed buffers
    tracemalloc.start()
    ours(gradients, size)
    traced = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # freed memory that is kept would count as there before
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak of the resident set
        before = _status("VmRSS")
        ours(gradients, size)
        resident = (_status("VmHWM") - before) / 1024
    except (OSError, AttributeError):  # not Linux
        resident = float("nan")
    return {"extra_traced_mb": traced / 2**20, "extra_resident_mb": resident}


def _status(field: str) -> int:
    """Return a field of the kernel's account of this process, in kB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise OSError(f"no {field} in /proc/self/status")


def resnet50_kernels() -> list[int]:
    """Return the sizes of the kernels of ResNet-50 v1, 25.5 million weights in 54 kernels."""
    sizes, channels = [7 * 7 * 3 * 64], 64
    for width, repeats in ((64, 3), (128, 4), (256, 6), (512, 3)):
        sizes.append(channels * 4 * width)
        for _ in range(repeats):
            sizes += [channels * width, 9 * width * width, 4 * width * width]
            channels = 4 * width
    return sizes + [2048 * 1000]


def resnet50(scratch: Path | None, examples: int = 400, block_size: int = 2000) -> dict[str, Any]:
    """Return time and peak memory of the run whose gradients come from disk."""
    spent = {"cpu_s": 0.0, "wall_s": 0.0, "writing_wall_s": 0.0}
    sizes = resnet50_kernels()
    for number, size in enumerate(sizes):
        with tempfile.NamedTemporaryFile(dir=scratch) as file:
            start = time.perf_counter()
            random = np.random.default_rng(number)
            for _ in range(examples):
                random.standard_normal(size, np.float32).tofile(file)
            file.flush()
            spent["writing_wall_s"] += time.perf_counter() - start
            rows = np.memmap(file.name, np.float32, "r", shape=(examples, size))
            start, cpu = time.perf_counter(), time.process_time()
            found = inverse_fisher_diagonal(rows, damping=DAMPING, block_size=block_size)
            spent["cpu_s"] += time.process_time() - cpu
            spent["wall_s"] += time.perf_counter() - start
            if not np.isfinite(found).all():
                raise FloatingPointError("a diagonal entry is not finite")
            del rows
        print(f"kernel {number + 1} of {len(sizes)}", spent, flush=True)
    return {
        "N": examples,
        "B": block_size,
        "d": sum(sizes),
        "gradients_gb": examples * sum(sizes) * 4 / 1e9,
        "largest_file_gb": examples * max(sizes) * 4 / 1e9,
        **spent,
        "peak_resident_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "note": "one file a kernel, written, mapped, read and deleted before the next; resident "
        "memory includes the mapped pages of that file",
    }


if __name__ == "__main__":
    with threadpoolctl.threadpool_limits(THREADS):
        main()
