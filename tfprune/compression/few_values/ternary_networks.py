"""Ternary weights: -a, 0 or a, with one a for each channel or weight.

    t = 0.7 mean |w|      Q(w) = a sign(w) where |w| > t, else 0      a = mean |w| where |w| > t

a has the least squared error for this t, and t nearly the least for weights that are spread evenly
or normally. The gradient passes straight through. Masked weights are zero and count in no mean.

Source: Li, Zhang & Liu, "Ternary Weight Networks" (arXiv 1605.04711), equations 5 and 6.
"""

from keras import ops

from tfprune.compression.few_values.binary import mean_magnitude, straight_through
from tfprune.support.tensors import Tensor

_THRESHOLD = 0.7


def ternary(value: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return the weights of TWN.

    Args:
        value: float tensor.
        axes: of channels; () for one threshold and one a.

    Example:
        >>> ops.convert_to_numpy(ternary(ops.array([1.0, 0.1, -3.0]), ())).tolist()
        [2.0, 0.0, -2.0]
    """
    threshold = mean_magnitude(value, axes) * _THRESHOLD
    large = ops.cast(ops.abs(value) > threshold, value.dtype)
    return straight_through(ops.sign(value) * large * mean_magnitude(value, axes, threshold), value)
