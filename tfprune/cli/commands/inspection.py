"""`tfprune inspect`: what is in a Keras or .tflite file; Keras is imported for the former alone."""

import argparse
import dataclasses

from tfprune.cli.commands import patterns
from tfprune.cli.terminal import Outcome
from tfprune.export.file.contents import inspect_tflite


def run(args: argparse.Namespace) -> Outcome:
    """Inspect `args.file`."""
    if args.file.endswith(".tflite"):
        contents = inspect_tflite(args.file)
        shown = Outcome({"format": "tflite", **contents.to_dict()}, (str(contents),))
        found = patterns.of_file(args.file, args.nofm) if args.nofm else None
    else:
        from tfprune.cli.commands import keras_contents, models

        model = models.load(args.file, args.modules, args.allow_lambda)
        shown = keras_contents.shown(args.file, model)
        found = keras_contents.with_pattern(model, args.nofm) if args.nofm else None
    return shown if found is None else _with_pattern(shown, args.nofm, list(found))


def _with_pattern(shown: Outcome, pattern: tuple[int, int], found: list[patterns.Held]) -> Outcome:
    """The same, and whether each weight holds a pattern."""
    kept, size = pattern
    data = {"kept": kept, "m": size, "weights": [dataclasses.asdict(each) for each in found]}
    lines = [f"\nAt most {kept} of every {size} inputs are nonzero:", *(f"  {e}" for e in found)]
    return Outcome(shown.data | {"nofm": data}, (*shown.shown, "\n".join(lines)))
