"""Time of one fully connected layer in float32 and integers, and the functions that take it: JSON.

Files of one layer, dense and with zeros in blocks, take turns at batch 1 on one thread. Where
Linux's `perf` is, it tells which functions of LiteRT the time of each goes to.

    python -m scripts.bench.integer_kernels
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.bench.fully_connected.files import Case, content_of
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS
from scripts.lab.options import OneLineParser, add_out
from tfprune.export import benchmark

PROGRAM = "integer_kernels"
OUT = RESULTS / "integer_kernels.json"
UNITS, SPARSITIES = 1024, (0.0, 0.9, 0.95, 0.98)
KERNELS = {"float32": "float32 1x4", "dynamic": "dynamic 1x16", "int8": "int8 1x16"}
_LEAST = 3.0  # per cent of the time of a process
_LINE = re.compile(r"^ *([\d.]+)% .*?(\S+\.so\S*) +\[\.\] (.*?) *$", re.M)
_INVOKE = """
import sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
given = interpreter.get_input_details()[0]
interpreter.set_tensor(given["index"], np.random.normal(size=given["shape"]).astype("float32"))
end = time.monotonic() + 4
while time.monotonic() < end:
    interpreter.invoke()
"""


def measure(folder: Path, runs: int) -> list[dict[str, Any]]:
    """Return one record a file: what it holds, its time, and what that goes to.

    Args:
        folder: an empty one, for the files.
        runs: turns of each file.
    """
    records: dict[str, dict[str, Any]] = {}
    for kind, kernel in KERNELS.items():
        for sparsity in SPARSITIES:
            content, stored = content_of(Case(kernel, UNITS, UNITS, sparsity))
            name = f"{kind}-{sparsity:g}"
            (folder / f"{name}.tflite").write_bytes(content)
            records[name] = {"quantize": kind, "zeros": sparsity, "stored": stored}
    paths = {name: folder / f"{name}.tflite" for name in records}
    for timing in benchmark(paths, runs=runs):
        records[timing.name]["microseconds"] = round(1000 * timing.median_ms, 2)
        records[timing.name]["speed_up"] = round(timing.speed_up, 3)
        records[timing.name]["functions"] = _functions(paths[timing.name])
    return [*records.values()]


def _functions(path: Path) -> dict[str, float]:
    """Function of LiteRT -> its share of the time of a process that runs a file, in per cent."""
    if shutil.which("perf") is None:
        return {}
    told = path.with_suffix(".perf")
    record = ["perf", "record", "-q", "-e", "cpu-clock", "-o", told, sys.executable, "-c", _INVOKE]
    subprocess.run([*record, path], check=True, capture_output=True)
    report = ["perf", "report", "-q", "-i", told, "--no-children", "--stdio"]
    text = subprocess.run(report, check=True, capture_output=True, text=True).stdout
    return shares(text)


def shares(text: str) -> dict[str, float]:
    """Return the functions of LiteRT in a report of perf, with their shares in per cent.

    Example:
        >>> shares("  77.12%  python  libpywrap_litert_common.so  [.] xnn_gemm\\n")
        {'xnn_gemm': 77.12}
    """
    return {
        function: float(share)
        for share, library, function in _LINE.findall(text)
        if "litert" in library and float(share) >= _LEAST
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--runs", type=int, default=100, help="turns of 10 ms; default: 100")
    add_out(parser, OUT)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            found = {
                "command": f"python -m scripts.bench.{PROGRAM}",
                "versions": measuring.versions() | measuring.runtime_versions(),
                "units": UNITS,
                "records": measure(Path(folder), args.runs),
            }
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        for each in found["records"]:
            experiments.say(json.dumps(each))

    return experiments.exit_status(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
