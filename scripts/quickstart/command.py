"""Trains a small CNN, prunes it while training on, and compares both models as TFLite files.

Writes results.json, report.html, three plots and the two .tflite files to the output folder.
"""

import argparse
import math
import os
import sys
import tempfile
import time
from pathlib import Path

from scripts.lab.folders import ROOT
from scripts.lab.options import OneLineParser, add_data
from tfprune.support.typed_text import number

DATA = ("digits", "fashion_mnist")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = OneLineParser(prog="quickstart", description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", choices=DATA, default=DATA[0], help="default: %(default)s")
    add_data(parser)
    parser.add_argument(
        "--sparsity",
        type=number(float, "a fraction in [0, 1)", 0, 1),
        default=0.9,
        metavar="S",
        help="final fraction of zeros in each pruned weight, in [0, 1); default: %(default)s",
    )
    parser.add_argument(
        "--epochs",
        type=number(int, "an integer >= 1", 1, math.inf),
        metavar="N",
        help="epochs of the dense training; the pruning takes twice as many; default: 15 for "
        "digits, 3 for fashion_mnist",
    )
    parser.add_argument(
        "--seed",
        type=number(int, "an integer in [0, 2^32)", 0, 2**32),
        default=0,
        metavar="N",
        help="of every random number; default: %(default)s",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="output folder; default: results/quickstart-<data>",
    )
    args = parser.parse_args(arguments)
    if args.out is None:
        args.out = ROOT / "results" / f"quickstart-{args.data}"
    return args


def make_folder(folder: Path) -> None:
    """Make the output folder, or raise a ValueError where nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"`--out` must be a writable folder. Received: {folder} ({error.strerror})"
        ) from error


def import_quietly() -> None:
    """Import TensorFlow without the lines that its native part prints while it loads."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "w") as sink:
        os.dup2(sink.fileno(), 2)
    try:
        import tensorflow

        tensorflow.config.list_physical_devices()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def main(arguments: list[str]) -> int:
    started = time.monotonic()
    args = parse(arguments)
    import_quietly()

    from models.data import arrays
    from scripts.quickstart import report, steps

    try:
        dataset = arrays.load(args.data, args.data_dir)
        make_folder(args.out)
    except ValueError as error:
        print(f"quickstart: error: {error}", file=sys.stderr)
        return 2
    results = steps.run(
        dataset, sparsity=args.sparsity, epochs=args.epochs, seed=args.seed, out=args.out
    )
    results["seconds"] = round(time.monotonic() - started, 1)
    report.write(results, args.out)
    report.show(results, args.out)
    return 0
