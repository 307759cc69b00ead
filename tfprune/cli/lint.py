"""`tfprune lint`: which layers of a .tflite file run on sparse kernels, and why others do not."""

import argparse
from typing import Any

from tfprune.cli import arguments, models
from tfprune.cli.terminal import Outcome
from tfprune.reports.tables import table
from tfprune.targets.target import MACHINES


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command's parser to `commands`."""
    parser = arguments.add_command(
        commands,
        common,
        name="lint",
        run=run,
        summary="Tell which layers of a .tflite file run on sparse kernels, and why others do not.",
        description=(
            "Reads any .tflite file, without running it. The table has a row for each layer\n"
            "with weights: its sparsity, its multiply-adds and its kernel. After a dense\n"
            "kernel stands what keeps the layer off a sparse one; a broken one would give\n"
            "wrong outputs on the target, or not load.\n\n"
            "Fully connected layers, recurrent ones included, have sparse kernels on every\n"
            "target; 1x1 convolutions have them on arm64 and in wasm only."
        ),
        example="tfprune lint model.tflite --target wasm",
    )
    parser.add_argument("file", metavar="FILE.tflite", help="any TFLite file")
    parser.add_argument(
        "--target",
        choices=tuple(MACHINES),
        default="arm64",
        help="where the file will run; default: %(default)s",
    )


def run(args: argparse.Namespace) -> Outcome:
    """Lint `args.file`."""
    models.require_file(args.file, ".tflite")
    from tfprune.export.predict.linting import lint

    found = lint(args.file, target=args.target)
    rows = [
        (
            layer.name,
            layer.operator,
            f"{layer.kernel}: {layer.blocker}" if layer.blocker else layer.kernel,
            " x ".join(map(str, layer.shape)),
            f"{layer.sparsity:.2%}",
            f"{layer.multiply_adds:,}",
        )
        for layer in found.layers
    ]
    headings = ("layer", "operator", "kernel", "shape", "sparsity", "multiply-adds")
    summary = (
        f"\n{found.sparse_layers} of {len(found.layers)} layers and "
        f"{found.sparse_multiply_adds:.1%} of the multiply-adds run on sparse kernels "
        f"({found.target})."
    )
    remarks = [f"Defect: {text}" for text in found.defects]
    remarks += [f"Note: {text}" for text in found.notes]
    shown = (table(headings, rows, texts=3), "\n".join([summary, *remarks]))
    return Outcome(found.to_dict(), shown)
