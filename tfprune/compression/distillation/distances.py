"""How far what a student makes is from what its teacher makes of the same."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import keras
from keras import ops

from tfprune.keras_graph.private_keras import divided_among_replicas

_BY_WEIGHTS = ("sum", "mean_with_sample_weight")  # reductions in which masks keep no mean


def logits_of(values: Any, end: str) -> Any:
    """Return logits: the logarithm of probabilities, or the values themselves."""
    if not end:
        return values
    values = precise(values)
    tiny = keras.config.epsilon()
    if end == "softmax":
        return ops.log(ops.maximum(values, tiny))
    clipped = ops.clip(values, tiny, 1.0 - tiny)
    return ops.log(clipped) - ops.log(1.0 - clipped)


def precise(values: Any) -> Any:
    """Return numbers of at least 32 bits, of those that Keras computes losses in."""
    wide = "float64" if keras.config.floatx() == "float64" else "float32"
    return ops.cast(values, wide)


def divergence(mine: Any, own: Any, temperature: float) -> Any:
    """Return T^2 KL(softmax(own / T) || softmax(mine / T)) along the last axis.

    Args:
        mine: logits of the student, (..., classes); -inf for a class that cannot be.
        own: those of the teacher.
        temperature: T, > 0.
    """
    mine, own = (precise(logits) / temperature for logits in (mine, own))
    likely = ops.softmax(own)
    # Where both logits are -inf, 0 (-inf - -inf) is no number; such a class adds nothing.
    apart = ops.where(likely > 0, ops.log_softmax(own) - ops.log_softmax(mine), 0.0)
    return temperature**2 * ops.sum(likely * apart, axis=-1)


def mean_square(first: Any, second: Any) -> Any:
    return ops.mean(ops.square(precise(first) - precise(second)), axis=-1)


def attention_map(values: Any, masks: Sequence[Any] = ()) -> Any:
    """Return the attention map of every example, of length 1 over its places.

    Args:
        values: (batch, places..., channels).
        masks: of the shape of the first axes; places where one is False are none.
    """
    squares = ops.sum(ops.square(precise(values)), axis=-1)
    for mask in masks:
        squares = squares * _as_wide(mask, squares)
    places = [*range(1, len(squares.shape))]
    total = ops.sum(ops.square(squares), axis=places, keepdims=True)
    # The root of nothing but zeros has no slope.
    length = ops.where(total > 0, ops.sqrt(ops.where(total > 0, total, 1.0)), 0.0)
    return squares / (length + keras.config.epsilon())


def of_examples(weights: Sequence[Any]) -> Any:
    """Return one weight an example, the mean over outputs and their places.

    Args:
        weights: one an output, (batch, places...); None stands for 1.

    Returns:
        Weights, (batch,); None where there are none at all.
    """
    given = [precise(weight) for weight in weights if weight is not None]
    if not given:
        return None
    means = [ops.mean(ops.reshape(one, (ops.shape(one)[0], -1)), axis=-1) for one in given]
    return (sum(means) + float(len(weights) - len(given))) / len(weights)


def reduced(each: Any, weight: Any, masks: Sequence[Any] = (), reduction: str = "mean") -> Any:
    """Return one number for examples and places, weighted and masked as Keras does with losses.

    A mean is divided by the number of replicas that are trained together, as Keras does, too.

    Args:
        each: (batch, places...).
        weight: of the same shape or that of its first axes; None for none.
        masks: the same, where False counts for nothing.
        reduction: "sum", "mean_with_sample_weight" by the sum of the weights, or a mean over all
            that counts.
    """
    factor = None if weight is None else _as_wide(weight, each)
    if masks:
        mask = reduce(ops.multiply, (_as_wide(mask, each) for mask in masks))
        if reduction not in _BY_WEIGHTS:
            share = ops.sum(mask) / ops.cast(ops.size(mask), mask.dtype)
            mask = mask / ops.maximum(share, keras.config.epsilon())
        factor = mask if factor is None else factor * mask
    weighted = each if factor is None else each * factor
    if reduction == "sum":
        return ops.sum(weighted)
    if reduction == "mean_with_sample_weight" and factor is not None:
        return divided_among_replicas(ops.divide_no_nan(ops.sum(weighted), ops.sum(factor)))
    return divided_among_replicas(ops.mean(weighted))


def _as_wide(weight: Any, each: Any) -> Any:
    """Return weights with as many axes as what they weigh."""
    weight = ops.cast(weight, each.dtype)
    while len(weight.shape) > len(each.shape):
        weight = ops.mean(weight, axis=-1)
    while len(weight.shape) < len(each.shape):
        weight = ops.expand_dims(weight, -1)
    return weight
