"""Layers that multiply by a matrix, as two: Dense, EinsumDense, Embedding and recurrent layers."""

import math
import string
from collections.abc import Sequence

import keras
import numpy as np

from tfprune.compression.low_rank import matrices
from tfprune.compression.low_rank.forms import Form, Fresh
from tfprune.compression.low_rank.matrices import Moments, Ranks, Split
from tfprune.keras_graph.calls import Call
from tfprune.keras_graph.copying import copy_layer
from tfprune.layer_classes.axes import axes_of
from tfprune.layer_classes.equations import Equation
from tfprune.support.arrays import host_array
from tfprune.support.configurable import Config

SVD = "SVD"


def dense(layer: keras.layers.Layer, kernel: keras.Variable, calls: Sequence[Call]) -> Form:
    """Return how a Dense layer becomes two."""
    return _before(layer, kernel, calls)


def recurrent(layer: keras.layers.Layer, kernel: keras.Variable, calls: Sequence[Call]) -> Form:
    """Return how the input kernel of a recurrent layer goes into a Dense layer before it."""
    return _before(layer, kernel, calls, "its recurrent kernel stays")


def einsum_dense(
    layer: keras.layers.Layer, kernel: keras.Variable, calls: Sequence[Call]
) -> Form | str:
    """Return how an EinsumDense layer becomes two, or why it cannot."""
    axes, equation = axes_of(layer, kernel), Equation.parse(layer.equation)
    if axes.depthwise or not (axes.inputs and axes.outputs):
        return f"its equation '{layer.equation}' is no product by one matrix"
    summed, made = (
        "".join(equation.kernel[axis] for axis in part) for part in (axes.inputs, axes.outputs)
    )
    if set(equation.inputs) - {*summed, *equation.output, "."}:
        return f"its equation '{layer.equation}' sums over an axis of its inputs alone"
    rank = next(letter for letter in string.ascii_letters if letter not in layer.equation)
    left = "".join(label for label in equation.inputs if label not in summed)
    trailing = equation.inputs.endswith("...")
    middle = f"{left[:-3]}{rank}..." if trailing else f"{left}{rank}"
    order = (*axes.inputs, *axes.outputs)
    matrix = host_array(kernel.value).transpose(order)
    first_shape = [matrix.shape[at] for at in range(len(axes.inputs))]
    last_shape = [matrix.shape[at] for at in range(len(axes.inputs), matrix.ndim)]
    sizes = _sizes(equation, calls)
    labels = middle.replace("...", "")
    labels = labels if middle.startswith("...") else labels[1:]  # without the one of the examples
    rows, columns = math.prod(first_shape), math.prod(last_shape)

    def split(moments: Moments) -> Split:
        found = matrices.split(matrix.reshape(rows, columns), moments)

        def factors(ranks: Ranks) -> tuple[list[np.ndarray], float]:
            (a, b), error = found.factors(ranks)
            return [a.reshape(*first_shape, -1), b.reshape(-1, *last_shape)], error

        return Split(found.ranks, found.losses, factors)

    def layers(ranks: Ranks, fresh: Fresh) -> list[keras.layers.Layer]:
        first = keras.layers.EinsumDense(
            f"{equation.inputs},{summed}{rank}->{middle}",
            output_shape=tuple({**sizes, rank: ranks[0]}[label] for label in labels),
            kernel_regularizer=layer.kernel_regularizer,
            dtype=layer.dtype_policy,
            name=fresh(f"{layer.name}_in"),
        )

        def change(layer: keras.layers.Layer, config: Config) -> None:
            config["equation"] = f"{middle},{rank}{made}->{equation.output}"

        return [first, copy_layer(layer, change)]

    # Of the inputs: `output_shape` may leave lengths open that they have.
    places = sum(_product(call.inputs[0].shape[1:]) // rows for call in calls)
    return Form(
        layer,
        kernel,
        SVD,
        (min(rows, columns),),
        split,
        lambda ranks: [rows * ranks[0], ranks[0] * columns],
        (places, places),
        places,
        layers,
        lambda factors: np.tensordot(factors[0], factors[1], 1).transpose(np.argsort(order)),
    )


def embedding(layer: keras.layers.Layer, table: keras.Variable, calls: Sequence[Call]) -> Form:
    """Return how an Embedding becomes a narrower one and a Dense layer.

    A word counts as often as the data has it, and once more, so that none is given up.
    """
    value = host_array(table.value)

    def split(moments: Moments) -> Split:
        return matrices.split(value, None if moments is None else moments + 1.0)

    def layers(ranks: Ranks, fresh: Fresh) -> list[keras.layers.Layer]:
        def change(layer: keras.layers.Layer, config: Config) -> None:
            config["output_dim"] = ranks[0]
            config["activity_regularizer"] = None

        last = keras.layers.Dense(
            layer.output_dim,
            use_bias=False,
            activity_regularizer=layer.activity_regularizer,
            dtype=layer.dtype_policy,
            name=fresh(f"{layer.name}_out"),
        )
        return [copy_layer(layer, change), last]

    words = sum(_product(call.inputs[0].shape[1:]) for call in calls)
    shape = tuple(table.shape)
    return Form(
        layer,
        table,
        SVD,
        (min(shape),),
        split,
        lambda ranks: [shape[0] * ranks[0], ranks[0] * shape[1]],
        (0, words),
        0,
        layers,
        lambda factors: factors[0] @ factors[1],
        owner=0,
    )


def _before(
    layer: keras.layers.Layer, kernel: keras.Variable, calls: Sequence[Call], remark: str = ""
) -> Form:
    """Return the form with a Dense layer before a layer that reads its last axis."""
    value = host_array(kernel.value)
    rows, columns = value.shape

    def layers(ranks: Ranks, fresh: Fresh) -> list[keras.layers.Layer]:
        first = keras.layers.Dense(
            ranks[0],
            use_bias=False,
            kernel_regularizer=layer.kernel_regularizer,
            dtype=layer.dtype_policy,
            name=fresh(f"{layer.name}_in"),
        )
        return [first, copy_layer(layer)]

    places = sum(_product(call.inputs[0].shape[1:-1]) for call in calls)
    return Form(
        layer,
        kernel,
        SVD,
        (min(rows, columns),),
        lambda moments: matrices.split(value, moments),
        lambda ranks: [rows * ranks[0], ranks[0] * columns],
        (places, places),
        places,
        layers,
        lambda factors: factors[0] @ factors[1],
        remark=remark,
    )


def _sizes(equation: Equation, calls: Sequence[Call]) -> dict[str, int | None]:
    """Return how long the axis of each label of the input is, None where open or calls differ.

    The output has them, too, but `output_shape` may leave them open there.
    """
    labels = equation.inputs.replace("...", "")
    found: dict[str, int | None] = {}
    for call in calls:
        shape = call.inputs[0].shape
        known = shape[-len(labels) :] if equation.inputs.startswith("...") else shape
        for label, size in zip(labels, known):
            found[label] = size if found.get(label, size) == size else None
    return found


def _product(sizes: Sequence[int | None]) -> int:
    return math.prod(size or 1 for size in sizes)
