"""Layers in the place of a layer, near to it: structured matrices and compact filters."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial

import keras
import numpy as np

from tfprune.compression.replacement_report import LayerReplacement, ReplacementReport
from tfprune.compression.weight_rules import rules_of
from tfprune.keras_graph.chains import Chain
from tfprune.keras_graph.compiling import compile_like
from tfprune.keras_graph.replacing import replace_layers, replaceable_layers
from tfprune.layer_classes.prunable import prunable_weights
from tfprune.sparsity.rules import first_match
from tfprune.support.arrays import host_array
from tfprune.support.validation import require_integer


@dataclasses.dataclass(frozen=True)
class Substitute:
    """Layers in the place of a layer with one kernel.

    Attributes:
        kind: their name, with sizes, for reports.
        kernel: the kernel that they amount to, of the shape of the layer's own.
        parameters: numbers in their kernels.
        chain: the layers.
    """

    kind: str
    kernel: np.ndarray
    parameters: int
    chain: Chain


def substitute(
    model: keras.Model,
    find: Callable[[keras.layers.Layer, int], Substitute | str],
    size: int,
    rules: object,
    *,
    what: str,
    received: str,
    result: str,
) -> tuple[keras.Model, ReplacementReport]:
    """Return a copy of a model with substitutes for its layers, and what became of each.

    Args:
        model: as `require_replaceable` returns it.
        find: (layer, size) -> its substitute, or why it stays.
        size: what `find` gets, >= 1.
        rules: of the user, values of which take the place of `size`; None leaves a layer.
        what: the layers get, as "compact filters", for messages.
        received: arguments, for messages.
        result: what the copy is, for messages.

    Raises:
        TypeError, ValueError: if the rules are wrong, or no layer can be replaced.
    """
    parsed = rules_of(model, rules, partial(require_integer, minimum=1))
    chains: dict[keras.layers.Layer, Chain] = {}
    rows = []
    for layer, reason in replaceable_layers(model).items():
        kernels = prunable_weights(layer)
        if not kernels:
            continue
        before = sum(math.prod(kernel.shape) for kernel in kernels)
        rule = first_match(parsed, kernels[0].path)
        asked = rule.value if rule else size
        found = reason or ("left by a rule" if asked is None else find(layer, asked))
        if isinstance(found, str):
            rows.append(LayerReplacement(layer.name, None, before, before, None, found))
            continue
        chains[layer] = found.chain
        error = relative_error(found.kernel, host_array(layer.kernel.value))
        rows.append(LayerReplacement(layer.name, found.kind, before, found.parameters, error))
    if not chains:
        told = "; ".join(f"'{row.layer}': {row.remark}" for row in rows[:3])
        raise ValueError(
            f"At least one layer of '{model.name}' must get {what}. Received: {received}; "
            f"{told or 'it has no layer with kernels'}."
        )
    small = replace_layers(model, chains)
    compile_like(model, small, result, stacklevel=4)
    sizes = model.count_params(), small.count_params()
    return small, ReplacementReport(model.name, tuple(rows), *sizes)


def no_smaller(kind: str, after: int, before: int) -> str | None:
    """Return why a substitute is of no use, None if it has fewer numbers.

    Example:
        >>> no_smaller("fire", 12, 9)
        'fire: 12 numbers are no fewer than 9'
    """
    return None if after < before else f"{kind}: {after:,} numbers are no fewer than {before:,}"


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return |found - wanted| / |wanted| in the Frobenius norm; 0 for a wanted array of zeros.

    Example:
        >>> relative_error(np.array([3.0, 0.0]), np.array([3.0, 4.0]))
        0.8
    """
    norm = float(np.linalg.norm(wanted))
    return 0.0 if math.isclose(norm, 0.0) else float(np.linalg.norm(found - wanted)) / norm


def bias_of(layer: keras.layers.Layer, shape: Sequence[int] = (-1,)) -> list[np.ndarray]:
    """Return the bias of a layer, in this shape, in a list; none where it has none."""
    return [host_array(layer.bias.value).reshape(shape)] if layer.use_bias else []


def behind_the_product(
    layer: keras.layers.Layer, labels: str, shape: Sequence[int | None]
) -> tuple[keras.layers.Layer, list[np.ndarray]]:
    """Return a layer that adds the bias of a layer and applies its activation, and its weights.

    No layer of Keras adds a bias alone. This one multiplies each unit by a number, 1 at first, too.

    Args:
        layer: a Dense or a convolution.
        labels: of the axes of its output in an equation, "o" that of the units.
        shape: of its output, as EinsumDense takes it.
    """
    new = keras.layers.EinsumDense(
        f"{labels},o->{labels}",
        shape,
        bias_axes="o" if layer.use_bias else None,
        activation=layer.activation,
        dtype=layer.dtype_policy,
        name=layer.name,
    )
    units = layer.kernel.shape[-1]
    return new, [np.ones(units, "float32"), *bias_of(layer)]
