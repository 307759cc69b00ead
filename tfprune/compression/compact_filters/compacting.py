"""compact_filters: convolutions of a model replaced by compact ones."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

import keras
import numpy as np

from tfprune.compression.compact_filters.compact import Compact
from tfprune.compression.compact_filters.fire_module import fire
from tfprune.compression.compact_filters.paired_filters import concatenated_relu
from tfprune.compression.compact_filters.separated import separable
from tfprune.compression.replacement_report import LayerReplacement, ReplacementReport
from tfprune.compression.structured_matrices.structured_kernel import relative_error
from tfprune.keras_graph.chains import Chain
from tfprune.keras_graph.compiling import compile_like
from tfprune.keras_graph.replacing import (
    replace_layers,
    replaceable_layers,
    require_replaceable,
)
from tfprune.layer_classes.prunable import prunable_weights
from tfprune.sparsity.rules import parse_rules
from tfprune.support.arrays import host_array
from tfprune.support.validation import require_integer, require_one_of

Filters = Literal["separable", "crelu", "fire"]
_KINDS: dict[Filters, Callable[[keras.layers.Conv2D, int], Compact]] = {
    "separable": separable,
    "crelu": concatenated_relu,
    "fire": fire,
}


def compact_filters(
    model: keras.Model,
    filters: Filters = "separable",
    *,
    multiplier: int = 1,
    rules: Sequence[tuple[str, int | None]] | None = None,
) -> tuple[keras.Model, ReplacementReport]:
    """Return a copy of the model with compact filters in place of its 2-D convolutions.

    Args:
        model: Sequential or Functional, built, plain; it is not changed.
        filters: "separable", filters of each channel and a 1x1 convolution, the nearest to each
            layer; "crelu", half of the filters and their negatives; "fire", a 1x1 convolution to
            few channels, then 1x1 and larger filters side by side.
        multiplier: integer >= 1; of "separable", filters of each input channel, which are exact at
            height times width; of "fire", of the channels behind the squeezing layer, a quarter of
            the outputs at 1. Not used by "crelu".
        rules: list of (regex, multiplier), as in `tfprune.prune`; None leaves a layer as it is.

    Returns:
        The model, compiled as `model` is with a fresh optimizer, and what became of each layer.
        Train it: outputs differ as far as the report says. Layers of other classes, 1x1
        convolutions and those that would not become smaller stay, and the report says why.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if one is out of range, a rule matches nothing, no layer can be replaced, or the
            model has no graph or pruned layers.

    Example:
        >>> layer = keras.layers.Conv2D(16, 3, name="a")
        >>> small, told = compact_filters(keras.Sequential([keras.Input((8, 8, 4)), layer]))
        >>> told.layers[0].by, told.layers[0].after
        ('separable, 1 a channel', 100)
    """
    known = require_replaceable(model, "get compact filters")
    require_one_of("filters", filters, get_args(Filters))
    require_integer("multiplier", multiplier, minimum=1)
    paths = [weight.path for weight in known.weights]
    prunable = [weight.path for weight in prunable_weights(known)]
    parsed = parse_rules(rules, prunable, paths, partial(require_integer, minimum=1))
    chains: dict[keras.layers.Layer, Chain] = {}
    rows = []
    for layer, reason in replaceable_layers(known).items():
        kernels = prunable_weights(layer)
        if not kernels:
            continue
        size = sum(int(np.prod(kernel.shape)) for kernel in kernels)
        rule = next((rule for rule in parsed if rule.matches(kernels[0].path)), None)
        asked = rule.value if rule else multiplier
        found = reason or ("left by a rule" if asked is None else _found(layer, filters, asked))
        if isinstance(found, str):
            rows.append(LayerReplacement(layer.name, None, size, size, None, found))
            continue
        chains[layer] = found.chain
        error = relative_error(found.kernel, host_array(layer.kernel.value))
        rows.append(LayerReplacement(layer.name, found.kind, size, found.parameters, error))
    if not chains:
        told = "; ".join(f"'{row.layer}': {row.remark}" for row in rows[:3])
        raise ValueError(
            f"At least one layer of '{known.name}' must get compact filters. Received: "
            f"filters={filters!r}, multiplier={multiplier}; {told or 'it has no kernels'}."
        )
    small = replace_layers(known, chains)
    compile_like(known, small, "The model of compact filters")
    sizes = known.count_params(), small.count_params()
    return small, ReplacementReport(known.name, tuple(rows), *sizes)


def _found(layer: keras.layers.Layer, filters: Filters, multiplier: int) -> Compact | str:
    """Return the filters for a layer, or why it stays."""
    if type(layer) is not keras.layers.Conv2D:
        return "only 2-D convolutions are replaced"
    if layer.groups > 1:
        return "its filters see some of the channels only"
    if layer.kernel_size == (1, 1):
        return "its filters have one position"
    try:
        found = _KINDS[filters](layer, multiplier)
    except ValueError as error:
        return str(error)
    size = int(np.prod(layer.kernel.shape))
    if found.parameters >= size:
        return f"{found.kind}: {found.parameters:,} numbers are no fewer than {size:,}"
    return found
