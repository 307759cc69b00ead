"""Trained ternary weights: -n, 0 or p, with p and n trained.

    Q(w) = p where w > t,  -n where w < -t,  else 0        t = 0.05 max |w|

    dL/dp = mean over w > t of dL/dQ       dL/dn = -mean over w < -t of dL/dQ
    dL/dw = p dL/dQ where w > t,  n dL/dQ where w < -t,  else dL/dQ

Source: Zhu, Han, Mao & Dally, "Trained Ternary Quantization", ICLR 2017 (arXiv 1612.01064),
equations 6 to 8 and section 3.

Deviations: p and n begin at the means of the weights beyond the threshold, which is what they are
where the weights come from a trained network, and not at 1. They are one pair a weight, as in the
paper, or one a channel. Their gradient is the mean of those of their weights and not the sum, so
that SGD with one learning rate suits both: of a sum of thousands it makes steps that destroy a
trained network. Optimizers that divide by the size of gradients, as Adam does, make no difference.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from tfprune.support.tensors import Tensor

_THRESHOLD = 0.05


class TrainedTernary:
    """The rounding of one weight, with its two trained values.

    Args:
        shape: of the weight.
        axes: of channels; () for one pair of values.
    """

    def __init__(self, shape: tuple[int, ...], axes: tuple[int, ...]):
        self._others = tuple(axis for axis in range(len(shape)) if axis not in axes)
        self.shape = tuple(size if axis in axes else 1 for axis, size in enumerate(shape))

    def build(self, add: Callable[..., keras.Variable]) -> None:
        """Add the two values."""
        options = {"shape": self.shape, "dtype": "float32", "trainable": True}
        self.positive = add("positive", initializer="ones", **options)
        self.negative = add("negative", initializer="ones", **options)

    def begin_at(self, value: np.ndarray) -> None:
        """Set the two values to the means of the weights beyond the threshold."""
        threshold = _THRESHOLD * np.abs(value).max(axis=self._others, keepdims=True)
        for variable, size in ((self.positive, value), (self.negative, -value)):
            beyond = size > threshold
            total = np.sum(size, axis=self._others, keepdims=True, where=beyond)
            count = np.sum(beyond, axis=self._others, keepdims=True)
            variable.assign(total / np.maximum(count, 1))

    def __call__(self, value: Tensor) -> Tensor:
        largest = ops.max(ops.abs(value), axis=self._others, keepdims=True)
        threshold = ops.stop_gradient(_THRESHOLD * largest)
        above = ops.cast(value > threshold, value.dtype)
        below = ops.cast(value < -threshold, value.dtype)
        positive, negative = (
            self._shared(own.value, places)
            for own, places in ((self.positive, above), (self.negative, below))
        )
        found = above * positive - below * negative
        slope = above * positive + below * negative + (1.0 - above - below)
        through = value * ops.stop_gradient(slope)
        return found + (through - ops.stop_gradient(through))

    def _shared(self, own: Tensor, places: Tensor) -> Tensor:
        """Return a value whose gradient is divided by the number of its places."""
        count = ops.maximum(ops.sum(places, axis=self._others, keepdims=True), 1.0)
        own = ops.cast(own, places.dtype)
        part = own / count
        return part + ops.stop_gradient(own - part)
