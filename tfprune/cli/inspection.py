"""`tfprune inspect`: what is in a .keras or .tflite file."""

import argparse
import os
from typing import Any

import keras

from tfprune.cli import arguments, models
from tfprune.cli.terminal import Outcome
from tfprune.reports.model_report import report
from tfprune.wrapping.pruned_layer import NOT_BEGUN, pruned_layers


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command's parser to `commands`."""
    parser = arguments.add_command(
        commands,
        common,
        name="inspect",
        run=run,
        summary="Show what is in a .keras or .tflite file.",
        description=(
            "A .keras file: whether it is plain or pruned, at which step and how; every\n"
            "prunable weight with its nonzeros (masked values count as zeros); skipped\n"
            "layers with the reason.\n"
            "A .tflite file: its operators, constants, sparse encodings and bytes, raw and\n"
            "gzip."
        ),
        example="tfprune inspect model.keras --json",
    )
    parser.add_argument("file", metavar="FILE", help=".keras or .tflite file")


def run(args: argparse.Namespace) -> Outcome:
    """Inspect `args.file`."""
    if models.require_file(args.file, ".keras", ".tflite") == ".tflite":
        from tfprune.export.file.contents import inspect_tflite

        found = inspect_tflite(args.file)
        return Outcome({"format": "tflite", **found.to_dict()}, (str(found),))
    return _inspect_keras(args.file)


def _inspect_keras(path: str) -> Outcome:
    model = models.load(path)
    found = report(model, verbose=False)
    pruning = _pruning(model)
    size = os.path.getsize(path)
    step = _step(model)
    data = {
        "format": "keras",
        "path": path,
        "bytes": size,
        "pruned": bool(pruning),
        "step": step,
        "pruning": pruning,
        **found.to_dict(),
    }
    state = "plain"
    if pruning:
        state = "pruned, before the first step" if step is None else f"pruned, at step {step:,}"
    lines = [f"{path}: {size:,} bytes, {state}"]
    for entry in pruning:
        how = ", ".join(entry[key] for key in ("schedule", "scorer", "structure", "distribution"))
        lines.append(f"  {how}: {', '.join(entry['weights'])}")
    return Outcome(data, ("\n".join(lines) + "\n", found))


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
