"""`tfprune lint`: which layers of a .tflite file run on sparse kernels, and why others do not."""

import argparse

from tfprune.cli.terminal import Outcome
from tfprune.export.predict.linting import lint
from tfprune.reports.tables import table


def run(args: argparse.Namespace) -> Outcome:
    """Lint `args.file`."""
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
        f"{found.sparse_share:.1%} of the multiply-adds run on sparse kernels "
        f"({found.target})."
    )
    remarks = [f"Defect: {text}" for text in found.defects]
    remarks += [f"Note: {text}" for text in found.notes]
    shown = (table(headings, rows, texts=3), "\n".join([summary, *remarks]))
    return Outcome(found.to_dict(), shown)
