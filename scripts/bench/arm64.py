"""Whether exported files run right on ARM64, and on which kernels: written to a JSON file.

Every network is pruned for each target, exported in every way of quantizing and run under emulation
with and without XNNPACK. Outputs are compared with Keras's. The kernels that ran and the
instructions of one inference are counted beside those of the dense file in the same arithmetic.
Nothing is timed. `scripts/setup_arm64.sh` sets up what it needs. Networks that are in the
file already are not run again.

    python -m scripts.bench.arm64 --cases mlp mobilenet_v1
"""

import argparse
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from scripts.arm64 import emulator
from scripts.arm64.networks import NETWORKS, Network
from scripts.bench.export_cases import inputs_of, scaled, sparse
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS
from scripts.lab.options import OneLineParser, add_names, add_out
from scripts.lab.results_file import Job, Record, ResultsFile
from tfprune.export import lint, to_tflite
from tfprune.export.run.processes import RunError
from tfprune.export.run.runtime import Run
from tfprune.targets.target import (
    FLOAT_ARITHMETIC,
    IN_INTEGERS_THROUGHOUT,
    INTEGER_ARITHMETIC,
    QUANTIZE,
    TARGETS,
)

PROGRAM = "bench_arm64"
OUT = RESULTS / "bench_arm64.json"
SPARSITY = 0.9
DENSE = "dense"
EXAMPLES, CALIBRATION = 2, 32
# Files for tflite-micro hold an operator that LiteRT lacks.
ON_LITERT = tuple(name for name, target in TARGETS.items() if not target.in_tflite_micro)


def measure(network: Network, folder: Path) -> dict[str, Any]:
    """Return what every file of a network gave.

    Args:
        network: the network.
        folder: an empty one, for the files.
    """
    files: list[dict[str, Any]] = []
    for kind in QUANTIZE:
        models = {target: _pruned(network, target, kind) for target in ON_LITERT}
        paths = {name: folder / f"{kind}-{name}.tflite" for name in (DENSE, *ON_LITERT)}
        runs = {DENSE: _exported(network, models["x86"], "x86", kind, paths[DENSE], False)}
        for target, model in models.items():
            runs[target] = _exported(network, model, target, kind, paths[target], True)
        written = {name: run for name, run in runs.items() if isinstance(run, Run)}
        found = {**runs, **dict(zip(written, _run([*written.values()]), strict=True))}
        for target, model in models.items():
            file = {"target": target, "quantize": kind or "float32"}
            if target in written:
                file["bytes"] = paths[target].stat().st_size
                file["predicted"] = _predicted(paths[target])
            files.append(file | _compared(found[target], found[DENSE], model))
    return {"files": files}


def _pruned(network: Network, target: str, kind: str | None) -> keras.Model:
    keras.utils.set_random_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zeros that save no time are what is looked for here
        return scaled(sparse(network.build(), SPARSITY, target, kind))


def _exported(
    network: Network, model: keras.Model, target: str, kind: str | None, path: Path, encode: bool
) -> Run | str:
    """Write a file, dense ones in the same arithmetic; return what to run it on, or the error."""
    try:
        to_tflite(
            model,
            path,
            target=target,
            quantize=kind if encode or kind in INTEGER_ARITHMETIC else None,
            representative_data=(
                inputs_of(model, CALIBRATION, 1) if kind in IN_INTEGERS_THROUGHOUT else None
            ),
            lower_conv3x3=encode and network.lower and _can_lower(target, kind),
            unroll=network.unroll,
            sparse=encode,
        )
    except ValueError as error:
        return str(error)
    return Run(path, [inputs_of(model, EXAMPLES)])


def _can_lower(target: str, kind: str | None) -> bool:
    return TARGETS[target].sparse_convolutions and kind in FLOAT_ARITHMETIC


def _run(runs: Sequence[Run]) -> list[dict[str, emulator.Measured] | str]:
    """What each file gave; why it does not run where it does not."""
    try:
        return [*emulator.run(runs)]
    except RunError as error:
        return [error.reason] if len(runs) == 1 else [_run([run])[0] for run in runs]


def _predicted(path: Any) -> list[str]:
    """The sparse kernels that `export.lint` expects on ARM64."""
    layers = lint(path, target="arm64").layers
    return sorted({layer.kernel for layer in layers if layer.is_sparse})


def _compared(
    measured: dict[str, emulator.Measured] | str,
    dense: dict[str, emulator.Measured] | str,
    model: keras.Model,
) -> dict[str, Any]:
    """Differences to Keras, kernels and instructions, or why a file is missing or does not run."""
    if isinstance(measured, str):
        return {"error": measured}
    wanted = keras.ops.convert_to_numpy(model(inputs_of(model, EXAMPLES), training=False))
    found: dict[str, Any] = {"kernels": {}}
    for kernels, each in measured.items():
        (output,) = each.outputs
        entry = {
            "difference": float(np.max(np.abs(output - wanted)) / np.max(np.abs(wanted))),
            "sparse": each.sparse_kernels,
            "instructions": each.total,
        }
        if not isinstance(dense, str):
            entry["dense_instructions"] = dense[kernels].total
        found["kernels"][kernels] = entry
    return found


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    names = " ".join(record["method"] for record in records)
    return {
        "command": f"python -m scripts.bench.arm64 --cases {names}",
        "versions": settings["versions"],
        "labels": {name: network.label for name, network in NETWORKS.items()},
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    add_names(parser, "--cases", NETWORKS)
    add_out(parser, OUT)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    jobs = [Job(name, SPARSITY, 0, NETWORKS[name].describe(), 60) for name in args.cases]

    def work() -> None:
        missing = emulator.why_missing()
        if missing:
            raise ValueError(missing)
        settings = {
            "examples": EXAMPLES,
            "counted": emulator.counts_instructions(),
            "versions": measuring.versions() | {"ai_edge_litert": emulator.litert_version()},
        }
        results = ResultsFile(args.out, settings, lambda records: summarize(settings, records))

        def one(job: Job) -> dict[str, Any]:
            with tempfile.TemporaryDirectory() as folder:
                return measure(NETWORKS[job.method], Path(folder))

        experiments.run_all(jobs, results, one)

    return experiments.exit_status(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
