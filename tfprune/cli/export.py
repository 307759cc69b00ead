"""`tfprune export`: a .keras file as a .tflite file."""

import argparse
from typing import Any

import numpy as np

from tfprune.cli import arguments, models
from tfprune.cli.terminal import Outcome
from tfprune.pruning.strip import strip_pruning
from tfprune.support.files import require_writable
from tfprune.support.progress_bar import progress
from tfprune.targets.target import QUANTIZE, TARGETS
from tfprune.wrapping.pruned_layer import pruned_layers

_DESCRIPTION = """\
A pruned model that has not been stripped is stripped first. Weights are encoded and the
graph is rewritten as it pays on the target, without changing what it computes. The file
appears at OUT only after it was run, in another process, and gave Keras's predictions.
Printed are its bytes beside those of the dense float32 file, with compression rate and
space saving, what became of each weight, which layers run on sparse kernels or why not,
and the largest difference to Keras. Speed is measured by `tfprune bench`.

TARGET is where the file will run: arm64 (phones), wasm (browsers), x86, auto (any of
them), or size for the fewest bytes whatever the speed.
QUANTIZE is how weights are stored and multiplied: none (float32); float16 or int8_weights
(fewer bits a weight, float32 arithmetic); dynamic (int8 weights and products); int8 (int8
throughout, with --representative-data)."""

_EXAMPLE = """\
tfprune export model.keras -o model.tflite
  tfprune export model.keras -o model.tflite --target wasm --quantize int8_weights
  tfprune export model.keras -o model.tflite --quantize int8 --representative-data x.npy"""

_QUANTIZE = tuple(kind or "none" for kind in QUANTIZE)


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command's parser to `commands`."""
    parser = arguments.add_command(
        commands,
        common,
        name="export",
        run=run,
        summary="Write a .keras file as a .tflite file whose zeros take no space.",
        description=_DESCRIPTION,
        example=_EXAMPLE,
    )
    parser.add_argument("model", metavar="MODEL.keras", help="plain or pruned model")
    parser.add_argument("-o", "--output", metavar="OUT.tflite", required=True, help="file to write")
    parser.add_argument(
        "--target",
        choices=tuple(TARGETS),
        default="auto",
        help="see above; default: %(default)s",
    )
    parser.add_argument(
        "--quantize",
        choices=_QUANTIZE,
        default="none",
        help="see above; default: %(default)s",
    )
    parser.add_argument(
        "--representative-data",
        metavar="FILE.npy",
        help="examples that calibrate --quantize int8, along the first axis; a few hundred are "
        "usual. For models with one input",
    )
    parser.add_argument(
        "--lower-conv3x3",
        action="store_true",
        help="turn larger sparse convolutions, strided ones and max-pooling into 1x1 convolutions "
        "and shifts, which have sparse kernels on arm64 and wasm; float32 arithmetic only",
    )
    parser.add_argument(
        "--unroll",
        action="store_true",
        help="unroll the time steps of recurrent layers: faster where their weights run on sparse "
        "kernels, slower where they do not",
    )
    parser.add_argument(
        "--dense",
        action="store_true",
        help="write what the converter gives, to compare the sparse file with (see `tfprune "
        "bench`)",
    )


def run(args: argparse.Namespace) -> Outcome:
    """Export `args.model` to `args.output`."""
    if not args.output.endswith(".tflite"):
        raise ValueError(f"`--output` must end in .tflite. Received: {args.output!r}")
    require_writable(args.output, name="--output")
    examples = None if args.representative_data is None else _array(args.representative_data)
    model = models.load(args.model)
    wrapped = bool(pruned_layers(model))
    if wrapped:
        model = strip_pruning(model)
    from tfprune.export import to_tflite

    with progress(f"Exporting {args.model}", quiet=args.json):
        written = to_tflite(
            model,
            args.output,
            target=args.target,
            quantize=None if args.quantize == "none" else args.quantize,
            representative_data=examples,
            lower_conv3x3=args.lower_conv3x3,
            unroll=args.unroll,
            sparse=not args.dense,
        )
    note = ("The model was stripped of its masks first.\n",) if wrapped else ()
    return Outcome({**written.to_dict(), "stripped": wrapped}, (*note, str(written)))


def _array(path: str) -> np.ndarray:
    """The array in a .npy file."""
    models.require_file(path, ".npy")
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path!r} is no .npy file, or a truncated one: {error}") from error
