"""compact_filters: convolutions of a model replaced by compact ones."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

import keras

from tfprune.compression.compact_filters.fire_module import fire
from tfprune.compression.compact_filters.paired_filters import concatenated_relu
from tfprune.compression.compact_filters.separated import separable
from tfprune.compression.replacement_report import ReplacementReport
from tfprune.compression.substitutes import Substitute, no_smaller, substitute
from tfprune.keras_graph.replacing import require_replaceable
from tfprune.support.validation import require_integer, require_one_of

Filters = Literal["separable", "crelu", "fire"]
_KINDS: dict[Filters, Callable[[keras.layers.Conv2D, int], Substitute]] = {
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
    return substitute(
        known,
        partial(_found, filters),
        multiplier,
        rules,
        what="compact filters",
        received=f"filters={filters!r}, multiplier={multiplier}",
        result="The model of compact filters",
    )


def _found(filters: Filters, layer: keras.layers.Layer, multiplier: int) -> Substitute | str:
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
    size = math.prod(layer.kernel.shape)
    return no_smaller(found.kind, found.parameters, size) or found
