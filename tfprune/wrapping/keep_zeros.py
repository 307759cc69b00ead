"""Keeping zeros at zero while a stripped model is trained further, by plain Keras means."""

import keras

from tfprune.support.arrays import host_array
from tfprune.support.tensors import OfTensor, Tensor
from tfprune.wrapping.masking import apply_mask


class KeepZeros(keras.constraints.Constraint):
    """Constraint that multiplies a weight by a fixed mask after every optimizer step.

    Args:
        mask: boolean `keras.Variable` of the weight's shape.
        inner: constraint that the weight had before, applied first; or None.

    Example:
        >>> mask = keras.Variable([True, False], dtype="bool")
        >>> keras.ops.convert_to_numpy(KeepZeros(mask)(keras.ops.ones(2))).tolist()
        [1.0, 0.0]
    """

    def __init__(self, mask: keras.Variable, inner: OfTensor | None = None):
        self.mask = mask
        self.inner = inner

    def __call__(self, w: Tensor) -> Tensor:
        value = keras.ops.convert_to_tensor(w if self.inner is None else self.inner(w))
        return apply_mask(value, self.mask)


def keep_zeros_of(weight: keras.Variable) -> None:
    """Make the zeros that `weight` has now last through training.

    Args:
        weight: variable of any shape; its `constraint` is replaced by one that wraps it.

    Example:
        >>> weight = keras.Variable([1.0, 0.0])
        >>> keep_zeros_of(weight)
        >>> keras.ops.convert_to_numpy(weight.constraint(weight + 1.0)).tolist()
        [2.0, 0.0]
    """
    nonzero = host_array(weight.value) != 0
    mask = keras.Variable(nonzero, dtype="bool", trainable=False, name=f"{weight.name}_nonzero")
    weight.constraint = KeepZeros(mask, weight.constraint)
