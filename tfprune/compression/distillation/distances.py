"""How far what a student makes is from what its teacher makes of the same."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import keras
from keras import ops

_BY_WEIGHTS = ("sum", "mean_with_sample_weight")  # reductions in which masks keep no mean


def logits_of(values: Any, end: str) -> Any:
    """Return logits: the logarithm of probabilities, or the values themselves."""
    if not end:
        return values
    values = ops.cast(values, "float32")
    tiny = keras.config.epsilon()
    if end == "softmax":
        return ops.log(ops.maximum(values, tiny))
    clipped = ops.clip(values, tiny, 1.0 - tiny)
    return ops.log(clipped) - ops.log(1.0 - clipped)


def mean_square(first: Any, second: Any) -> Any:
    difference = ops.cast(first, "float32") - ops.cast(second, "float32")
    return ops.mean(ops.square(difference), axis=-1)


def attention_map(values: Any) -> Any:
    """Return the attention map of every example, flat and of length 1."""
    squares = ops.sum(ops.square(ops.cast(values, "float32")), axis=-1)
    flat = ops.reshape(squares, (ops.shape(squares)[0], -1))
    return flat / (ops.norm(flat, axis=-1, keepdims=True) + keras.config.epsilon())


def weights_of(sample_weight: Any, count: int) -> list[Any]:
    """Return the weights of examples for each of `count` outputs; None where there are none."""
    flat = [None] if sample_weight is None else keras.tree.flatten(sample_weight)
    return flat if len(flat) == count else [flat[0]] * count


def of_examples(weight: Any) -> Any:
    """Return one weight an example: the mean over its places; None where there are none."""
    if weight is None:
        return None
    weight = ops.convert_to_tensor(weight)
    return ops.mean(ops.reshape(weight, (ops.shape(weight)[0], -1)), axis=-1)


def reduced(each: Any, weight: Any, masks: Sequence[Any] = (), reduction: str = "mean") -> Any:
    """Return one number for examples and places, weighted and masked as Keras does with losses.

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
        return ops.divide_no_nan(ops.sum(weighted), ops.sum(factor))
    return ops.mean(weighted)


def _as_wide(weight: Any, each: Any) -> Any:
    """Return weights with as many axes as what they weigh."""
    weight = ops.cast(weight, each.dtype)
    while len(weight.shape) > len(each.shape):
        weight = ops.mean(weight, axis=-1)
    while len(weight.shape) < len(each.shape):
        weight = ops.expand_dims(weight, -1)
    return weight
