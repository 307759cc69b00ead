"""`tfprune export`: a Keras model as a .tflite file."""

import argparse
import os

import numpy as np

from tfprune.cli.commands import models
from tfprune.cli.data import sources
from tfprune.cli.terminal import Outcome, written
from tfprune.export.file import c_array, flatbuffer
from tfprune.export.predict.micro import operators
from tfprune.export.report import ExportReport
from tfprune.export.tflite import to_tflite
from tfprune.pruning.strip import strip_pruning
from tfprune.support.files import replacing
from tfprune.support.long_work import progress
from tfprune.support.tensors import Nest
from tfprune.wrapping.pruned_layer import pruned_layers
from tfprune.wrapping.ranges.ranged_layer import ranges_in

_CALIBRATED = 500  # examples; calibration takes their extremes, which a few hundred show


def run(args: argparse.Namespace) -> Outcome:
    """Export `args.model` to `args.output`."""
    examples: Nest = None
    if args.representative_data is not None:
        examples = _array(args.representative_data)
    model = models.load(args.model, args.modules, args.allow_lambda)
    if args.data is not None:
        examples = sources.of_command(args, model, labels=False).sample(_CALIBRATED).x
    wrapped = bool(pruned_layers(model)) and not ranges_in(model)  # which the export reads
    if wrapped:
        model = strip_pruning(model, compile=False)
    with progress(f"Exporting {args.model}", quiet=args.json):
        found = to_tflite(
            model,
            args.output,
            target=args.target,
            quantize=None if args.quantize == "none" else args.quantize,
            representative_data=examples,
            lower_conv3x3=args.lower_conv3x3,
            unroll=args.unroll,
            sparse=not args.dense,
            arena_bytes=args.arena_bytes,
        )
    if args.c_array is not None:
        _write_array(args.c_array, found)
    note = ("The model was stripped of its masks first.\n",) if wrapped else ()
    data = {**found.to_dict(), "stripped": wrapped, "replaced": args.replaces}
    array = () if args.c_array is None else (f"Written: {args.c_array}",)
    shown = found.table() if args.all else str(found)
    return Outcome(data, (*note, shown, f"\n{written(args)}", *array))


def _write_array(path: str, found: ExportReport) -> None:
    """Write the exported file as an array for firmware."""
    model, content = flatbuffer.read(found.path)
    comments = [f"{os.path.basename(found.path)} for tflite-micro, written by tfprune."]
    comments.append(f"Operators to register: {', '.join(operators(model))}.")
    if found.micro is not None:
        comments.append(f"Arena with 64-bit pointers: {found.micro.arena_bytes} bytes.")
    text = c_array.source(content, name=os.path.basename(found.path), comments=comments)
    with replacing(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        file.write(text)


def _array(path: str) -> np.ndarray:
    """The array in a .npy file."""
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path!r} is no .npy file, or a truncated one: {error}") from error
