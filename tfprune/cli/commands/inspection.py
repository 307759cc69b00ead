"""`tfprune inspect`: what is in a Keras or .tflite file."""

import argparse
import dataclasses
import os
from typing import Any

import keras
import numpy as np

from tfprune.cli.commands import models, patterns
from tfprune.cli.terminal import Outcome
from tfprune.reports.model_report import report
from tfprune.support.arrays import host_array
from tfprune.wrapping.added_state import NOT_BEGUN
from tfprune.wrapping.pruned_layer import pruned_layers


def run(args: argparse.Namespace) -> Outcome:
    """Inspect `args.file`."""
    if args.file.endswith(".tflite"):
        from tfprune.export.file.contents import inspect_tflite

        contents = inspect_tflite(args.file)
        shown = Outcome({"format": "tflite", **contents.to_dict()}, (str(contents),))
        found = patterns.of_file(args.file, args.nofm) if args.nofm else None
    else:
        model = models.load(args.file, args.modules, args.allow_lambda)
        shown = _inspect_keras(args.file, model)
        found = patterns.of_model(model, args.nofm) if args.nofm else None
    return shown if found is None else _with_pattern(shown, args.nofm, list(found))


def _with_pattern(shown: Outcome, pattern: tuple[int, int], found: list[patterns.Held]) -> Outcome:
    """The same, and whether each weight holds a pattern."""
    kept, size = pattern
    data = {"kept": kept, "m": size, "weights": [dataclasses.asdict(each) for each in found]}
    lines = [f"\nAt most {kept} of every {size} inputs are nonzero:", *(f"  {e}" for e in found)]
    return Outcome(shown.data | {"nofm": data}, (*shown.shown, "\n".join(lines)))


def _inspect_keras(path: str, model: keras.Model) -> Outcome:
    found = report(model, verbose=False)
    pruning = _pruning(model)
    size = os.path.getsize(path)
    step = _step(model)
    nans = _nans(model)
    data = {
        "format": "keras",
        "path": path,
        "bytes": size,
        "pruned": bool(pruning),
        "step": step,
        "pruning": pruning,
        "nans": nans,
        **found.to_dict(),
    }
    state = "plain"
    if pruning:
        state = "pruned, before the first step" if step is None else f"pruned, at step {step:,}"
    lines = [f"{path}: {size:,} bytes, {state}"]
    for entry in pruning:
        how = ", ".join(entry[key] for key in ("schedule", "scorer", "structure", "distribution"))
        lines.append(f"  {how}: {', '.join(entry['weights'])}")
    lines += [
        f"  warning: {count:,} NaN in {name!r}, which count as nonzeros"
        for name, count in nans.items()
    ]
    return Outcome(data, ("\n".join(lines) + "\n", found))


def _nans(model: keras.Model) -> dict[str, int]:
    """Path of a weight -> how many of its values are NaN, where any is."""
    found = {}
    for weight in model.weights:
        values = host_array(weight.value)
        if np.issubdtype(values.dtype, np.floating) and np.isnan(values).any():
            found[weight.path] = int(np.count_nonzero(np.isnan(values)))
    return found


def _step(model: keras.Model) -> int | None:
    """The pruning step of the model; None for a plain one, or before training."""
    steps = [layer.pruning_step for layer in pruned_layers(model)]
    latest = max((int(step.value) for step in steps if step is not None), default=NOT_BEGUN)
    return None if latest == NOT_BEGUN else latest


def _pruning(model: keras.Model) -> list[dict[str, Any]]:
    """How weights are pruned, one entry for all that are pruned alike."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for layer in pruned_layers(model):
        for own in layer.pruned:
            how = own.schedule, layer.scorer, own.structure, layer.distribution
            names = groups.setdefault(tuple(map(str, how)), [])
            names.append(f"{layer.name}/{own.weight.name}")
    keys = ("schedule", "scorer", "structure", "distribution")
    return [dict(zip(keys, how)) | {"weights": names} for how, names in groups.items()]
