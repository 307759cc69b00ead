"""What is in a Keras model, plain or pruned, for `tfprune inspect`."""

import os
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from tfprune.cli.commands.patterns import Held, held
from tfprune.cli.terminal import Outcome
from tfprune.keras_graph.rebuilding import outer_layers
from tfprune.layer_classes.prunable import prunable_weights
from tfprune.reports.measuring import report
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity
from tfprune.wrapping.added_state import NOT_BEGUN
from tfprune.wrapping.cohorts import plain_path
from tfprune.wrapping.pruned_layer import pruned_layers

_INPUTS = -2  # the input axis of a kernel in Keras; a weight of rank 1 has one axis


def shown(path: str, model: keras.Model) -> Outcome:
    """Return what a model holds, and how it is pruned."""
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
    found: dict[str, int] = {}
    for weight in model.weights:
        values = host_array(weight.value)
        if np.issubdtype(values.dtype, np.floating) and np.isnan(values).any():
            found.setdefault(weight.path, 0)
            found[weight.path] += int(np.count_nonzero(np.isnan(values)))
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


def with_pattern(model: keras.Model, pattern: tuple[int, int]) -> Iterator[Held]:
    """Each prunable weight of a Keras model; masked values count as zeros."""
    masks = ByIdentity(
        (own.weight, own.mask) for layer in pruned_layers(model) for own in layer.pruned
    )
    seen: ByIdentity[keras.Variable, None] = ByIdentity()
    for layer in outer_layers(model):
        for weight in prunable_weights(layer):
            if weight in seen:
                continue
            seen[weight] = None
            nonzero = host_array(weight.value) != 0
            mask = masks.get(weight)
            if mask is not None:
                nonzero = np.logical_and(nonzero, host_array(mask.value))
            yield held(plain_path(layer, weight.path), nonzero, pattern, _INPUTS)
