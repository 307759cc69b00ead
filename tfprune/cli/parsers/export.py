"""Options of `tfprune export`."""

import argparse
import os
from typing import TYPE_CHECKING

from tfprune.cli import arguments, data_arguments, files
from tfprune.cli.choices import DEVICES, QUANTIZE, TARGETS
from tfprune.cli.data_arguments import SOURCES
from tfprune.support.files import require_writable
from tfprune.support.typed_text import number

if TYPE_CHECKING:
    from tfprune.cli.terminal import Outcome

_RANGES = "ActivationRange"  # in a model that has learned what is calibrated otherwise
_SOURCES = (".cc", ".cpp")
_DESCRIPTION = f"""\
A pruned model that has not been stripped is stripped first. Weights are encoded and the
graph is rewritten as it pays on the target, without changing what it computes. The file
appears at OUT only after it was run, in another process, and gave Keras's predictions.
Printed are its bytes beside those of the dense float32 file, which of the ten largest
layers run on sparse kernels or why not, the largest difference to Keras, and what to do
next; everything with --all. Speed is measured by `tfprune bench`.

TARGET is where the file will run: arm64 (phones), wasm (browsers), x86, auto (any of
them), size for the fewest bytes whatever the speed, or microcontroller (tflite-micro).
QUANTIZE is how weights are stored and multiplied: none (float32); float16 or int8_weights
(fewer bits a weight, float32 arithmetic); dynamic (int8 weights and products); int8 (int8
throughout, with --data, unless training has learned its ranges).

{SOURCES}"""

_EXAMPLE = """\
tfprune export model.keras
  tfprune export model.keras --target wasm --quantize int8_weights
  tfprune export model.keras --quantize int8 --data photos/"""


def add_parser(commands: arguments.Commands, common: argparse.ArgumentParser) -> None:
    """Add the command's parser to `commands`."""
    parser = arguments.add_command(
        commands,
        common,
        name="export",
        check=check,
        run=run,
        summary="Write a Keras model as a .tflite file whose zeros take no space.",
        description=_DESCRIPTION,
        example=_EXAMPLE,
    )
    parser.add_argument("model", metavar="MODEL", help="plain or pruned model, .keras or .h5")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="file to write, replaced if it exists, or a folder for it; default: MODEL.tflite "
        "beside the model",
    )
    parser.add_argument(
        "--target",
        choices=(*TARGETS, *DEVICES),
        default="auto",
        metavar="TARGET",
        help=f"see above; also {', '.join(DEVICES)}; default: %(default)s",
    )
    parser.add_argument(
        "--quantize",
        choices=("none", *QUANTIZE),
        default="none",
        help="see above; default: %(default)s",
    )
    parser.add_argument(
        "--representative-data",
        metavar="FILE.npy",
        help="examples that calibrate --quantize int8, along the first axis; a few hundred are "
        "usual. For models with one input",
    )
    data_arguments.add_data(
        parser.add_argument_group("data"),
        "the same as --representative-data, of any kind, see above; at most 500 of its examples, "
        "which need no labels",
        val=False,
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
        help="unroll the time steps of recurrent layers: no faster than loops where their weights "
        "run on sparse kernels, slower where they do not",
    )
    parser.add_argument(
        "--dense",
        action="store_true",
        help="write what the converter gives, to compare the sparse file with (see `tfprune "
        "bench`)",
    )
    parser.add_argument(
        "--c-array",
        metavar="OUT.cc",
        help="write the file as an array for firmware, too; --target microcontroller only",
    )
    parser.add_argument(
        "--arena-bytes",
        type=number(int, "an integer >= 1", 1),
        metavar="N",
        help="the memory that firmware has for the interpreter: a file that asks for more is an "
        "error; --target microcontroller only",
    )
    parser.add_argument("--all", action="store_true", help="show every layer, rewrite and note")
    arguments.add_loading(parser)


def check(args: argparse.Namespace) -> None:
    """Raise ValueError if a file is missing or cannot be written."""
    arguments.settle_files(args, "", ".tflite")
    if args.arena_bytes is not None and args.target != "microcontroller":
        raise ValueError("`--arena-bytes` needs --target microcontroller")
    if args.c_array is not None:
        if args.target != "microcontroller":
            raise ValueError("`--c-array` needs --target microcontroller")
        if os.path.splitext(args.c_array)[1] not in _SOURCES:
            raise ValueError(
                f"`--c-array` must end in {' or '.join(_SOURCES)}. Received: {args.c_array!r}"
            )
        require_writable(args.c_array, name="--c-array")
    data_arguments.settle_data(args)
    arguments.require_apart(args)
    given = [option for option in (args.data, args.representative_data) if option is not None]
    if len(given) > 1:
        raise ValueError("--data and --representative-data exclude each other")
    calibrated = args.quantize in ("int8", "int4")
    if args.data is not None and not calibrated:
        raise ValueError("`--data` needs --quantize int8 or int4: nothing else is calibrated")
    if args.representative_data is not None:
        files.require_file(args.representative_data, ".npy")
    elif calibrated and args.data is None and not files.names_class(args.model, _RANGES):
        raise ValueError(
            f"`--quantize {args.quantize}` needs examples: --data DATA or --representative-data "
            "FILE.npy"
        )


def run(args: argparse.Namespace) -> "Outcome":
    """Export `args.model`."""
    from tfprune.cli.commands import export

    return export.run(args)
