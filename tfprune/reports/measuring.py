"""Measuring what pruning left of a model: nonzero weights, bytes, and the literature's measures.

A value that is masked counts as zero; a weight that several layers share counts once.

Sources: `tfprune.reports.measures` for compression rate and space saving,
`tfprune.reports.storage` for the bytes.
"""

import sys
from collections.abc import Collection, Sequence

import keras
import numpy as np

from tfprune.keras_graph.rebuilding import outer_layers
from tfprune.layer_classes.prunable import explain_skip, may_hide_weights, prunable_weights
from tfprune.reports import storage, tables
from tfprune.reports.model_report import Report
from tfprune.reports.pages.weight_picture import pictured
from tfprune.reports.parts import SkippedLayer, WeightReport
from tfprune.reports.totals import Totals
from tfprune.sparsity import distributions
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity, each_once
from tfprune.support.validation import require_flag, require_model
from tfprune.wrapping.cohorts import plain_path
from tfprune.wrapping.masking import PrunedWeight
from tfprune.wrapping.pruned_layer import PrunedLayer, pruned_layers
from tfprune.wrapping.shortfall import asked_at_end, lack_of, tell_shortfall


def report(model: keras.Model, *, verbose: bool = True) -> Report:
    """Print and return what pruning left of a model: nonzeros, bytes, compression, space saving.

    Args:
        model: built model, plain or pruned. Masked values count as zeros, tied weights once.
        verbose: whether to print it.

    Returns:
        The `Report`, with `.table()`, `.to_dict()` and `.to_html(path)`.

    Raises:
        TypeError: if `model` is not a `keras.Model`.
        ValueError: if it is not built.

    Warns:
        UserWarning: once, with numbers, if a pruned model has fewer zeros than its schedule asks
            for at its end.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> model.set_weights([np.eye(4, 3), np.ones(3)])
        >>> found = report(model, verbose=False)
        >>> found.prunable.nonzeros, found.prunable.size, found.parameters.size
        (3, 12, 15)
    """
    require_model("model", model, built=False)
    require_flag("verbose", verbose)
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' must be built: give it a keras.Input, or call it on a batch."
        )
    found = _measure(model)
    tell_shortfall(pruned_layers(model), "The report shows the model as it is.")
    if verbose:
        tables.show(found.__rich__(), sys.stdout)
    return found


def _measure(model: keras.Model) -> Report:
    wrappers = list(pruned_layers(model))
    masks = ByIdentity((own.weight, (own, layer)) for layer in wrappers for own in layer.pruned)
    weights: ByIdentity[keras.Variable, WeightReport] = ByIdentity()
    skipped = []
    for layer in outer_layers(model):
        own = prunable_weights(layer)
        for weight in own:
            if weight not in weights:
                weights[weight] = _weight_report(layer, weight, masks.get(weight))
        if not own:
            kind, reason = type(layer).__name__, explain_skip(layer)
            skipped.append(
                SkippedLayer(
                    layer.name, kind, layer.count_params(), reason, may_hide_weights(layer)
                )
            )
    prunable = _sum("prunable weights", tuple(weights.values()))
    return Report(
        model=model.name,
        weights=tuple(weights.values()),
        skipped=tuple(skipped),
        prunable=prunable,
        parameters=_with_dense(prunable, _other_weights(model, weights)),
        asked=_asked_of_all([pair for weight, pair in masks.items() if weight in weights]),
        shortfall=str(lack_of(wrappers) or ""),
    )


def _asked(own: PrunedWeight, layer: PrunedLayer) -> float:
    """The sparsity that the schedule of a weight ends at."""
    return asked_at_end(own.schedule, int(host_array(layer.pruning_step.value)))


def _asked_of_all(pruned: Sequence[tuple[PrunedWeight, PrunedLayer]]) -> float | None:
    """The same of all weights that have a schedule, together."""
    sizes = [int(np.prod(own.mask.shape)) for own, _ in pruned]
    if not pruned:
        return None
    return sum(size * _asked(*pair) for size, pair in zip(sizes, pruned)) / sum(sizes)


def _weight_report(
    layer: keras.layers.Layer,
    weight: keras.Variable,
    pruned: tuple[PrunedWeight, PrunedLayer] | None,
) -> WeightReport:
    values = host_array(weight.value)
    nonzero, asked = values != 0, None
    if pruned is not None:
        nonzero = np.logical_and(nonzero, host_array(pruned[0].mask.value))
        if distributions.get(pruned[1].distribution) is distributions.uniform:
            asked = _asked(*pruned)
    dtype = keras.backend.standardize_dtype(weight.dtype)
    value_bytes = storage.value_bytes(dtype)
    return WeightReport(
        path=plain_path(layer, weight.path),
        layer=layer.name,
        shape=tuple(weight.shape),
        dtype=dtype,
        size=values.size,
        nonzeros=int(np.count_nonzero(nonzero)),
        dense_bytes=values.size * value_bytes,
        bitmask_bytes=storage.bitmask_bytes(nonzero, value_bytes),
        csr_bytes=storage.csr_bytes(nonzero, value_bytes),
        masked=pruned is not None,
        asked=asked,
        picture=pictured(values, nonzero),
    )


def _sum(counted: str, weights: tuple[WeightReport, ...]) -> Totals:
    summed = ("size", "nonzeros", "dense_bytes", "bitmask_bytes", "csr_bytes")
    return Totals(counted, *(sum(getattr(weight, name) for weight in weights) for name in summed))


def _other_weights(
    model: keras.Model, prunable: Collection[keras.Variable]
) -> list[keras.Variable]:
    """The weights that are neither prunable nor added by pruning, each once."""
    added = each_once(own for wrapper in pruned_layers(model) for own in wrapper.added)
    return list(each_once(v for v in model.weights if v not in prunable and v not in added))


def _with_dense(prunable: Totals, others: list[keras.Variable]) -> Totals:
    arrays = [host_array(variable.value) for variable in others]
    dtypes = [keras.backend.standardize_dtype(variable.dtype) for variable in others]
    extra = sum(a.size * storage.value_bytes(dtype) for a, dtype in zip(arrays, dtypes))
    return Totals(
        counted="all parameters",
        size=prunable.size + sum(array.size for array in arrays),
        nonzeros=prunable.nonzeros + sum(int(np.count_nonzero(array)) for array in arrays),
        dense_bytes=prunable.dense_bytes + extra,
        bitmask_bytes=prunable.bitmask_bytes + extra,
        csr_bytes=prunable.csr_bytes + extra,
    )
