"""Binary weights: the sign of each weight, times one number a channel.

    Q(w) = a sign(w)        a = 1 (BinaryConnect)    or    a = mean of |w| over the channel (BWN)

The mean is the a with the least squared error. The gradient passes straight through to the stored
weight, where BinaryConnect lets it pass in [-1, 1] only, beyond which it clips. Weights that are
masked are zero and count in no mean.

Sources: Courbariaux, Bengio & David, "BinaryConnect", NIPS 2015 (arXiv 1511.00363), deterministic
form, algorithm 1; Rastegari, Ordonez, Redmon & Farhadi, "XNOR-Net", ECCV 2016 (arXiv 1603.05279),
section 3.1, for BWN.

Deviations: a stored weight of exactly 0 that is not masked counts as positive. BinaryConnect's
clipping of stored weights is that of their gradient: a weight beyond 1 stays where it is. Sign and
mean are taken as constants in the gradient of BWN, as BinaryConnect takes them.
"""

from keras import ops

from tfprune.support.tensors import Tensor


def signs(value: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return BinaryConnect's weights: -1 and 1, and 0 where the value is.

    Args:
        value: float tensor.
        axes: of channels, which make no difference here.

    Example:
        >>> ops.convert_to_numpy(signs(ops.array([0.5, 0.0, -3.0]), ())).tolist()
        [1.0, 0.0, -1.0]
    """
    inside = value * ops.cast(ops.abs(value) <= 1.0, value.dtype)  # its gradient is that of a clip
    return straight_through(ops.sign(value), inside)


def scaled_signs(value: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return BWN's weights: the mean magnitude of each channel, with the sign of the value.

    Args:
        value: float tensor.
        axes: of channels; () for one mean.

    Example:
        >>> ops.convert_to_numpy(scaled_signs(ops.array([1.0, 0.0, -3.0]), ())).tolist()
        [2.0, 0.0, -2.0]
    """
    return straight_through(ops.sign(value) * mean_magnitude(value, axes), value)


def straight_through(found: Tensor, value: Tensor) -> Tensor:
    """Return `found`, to the bit, with the gradient of `value`.

    Example:
        >>> ops.convert_to_numpy(straight_through(ops.array([2.0]), ops.array([0.3]))).tolist()
        [2.0]
    """
    return ops.stop_gradient(found) + (value - ops.stop_gradient(value))


def mean_magnitude(value: Tensor, axes: tuple[int, ...], above: Tensor | float = 0.0) -> Tensor:
    """Return the mean of the magnitudes of each channel that are above a threshold; 0 if none is.

    Args:
        value: float tensor.
        axes: of channels; () for one mean.
        above: threshold, which broadcasts to the value.

    Returns:
        Tensor that broadcasts to the value.

    Example:
        >>> float(ops.squeeze(mean_magnitude(ops.array([1.0, 0.0, -3.0]), ())))
        2.0
    """
    kept = {axis % len(value.shape) for axis in axes}
    others = tuple(axis for axis in range(len(value.shape)) if axis not in kept)
    size = ops.abs(value)
    counted = ops.cast(size > above, value.dtype)
    total = ops.sum(size * counted, axis=others, keepdims=True)
    return total / ops.maximum(ops.sum(counted, axis=others, keepdims=True), 1.0)
