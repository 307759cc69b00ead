"""The forward pass of shared weights, and what remembers which weights share one value.

Let a(q) be the level of weight q and n_c the number of weights of level c. The layer computes with
the mean of each level's weights, and every one of them gets the gradient of the level:

    Q(w)_q = 1/n_c sum over a(r) = c of w_r      dL/dw_q = sum over a(r) = c of dL/dQ_r,  c = a(q)

All weights of a level start at one value and get one gradient, so that they stay at one value:
training moves the level itself, by any optimizer that treats every entry by its gradient alone.

Source: Han, Mao & Dally, "Deep Compression", ICLR 2016 (arXiv 1510.00149), section 3.3.

Deviations: levels live in the weights, not in a table, so that the optimizer keeps its state for
every weight. An optimizer that looks at whole tensors (Muon, gradient norms) may part the weights
of a level, which then count by their mean.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import keras
import numpy as np
from keras import ops

from tfprune.compression.clustering.levels import Start
from tfprune.compression.clustering.shared import share
from tfprune.compression.output_channels import channel_axes
from tfprune.layer_classes.prunable import owned_weights
from tfprune.support.arrays import host_array
from tfprune.support.configurable import Configurable
from tfprune.support.tensors import OfTensor, Tensor
from tfprune.support.validation import require_integer, require_one_of

Gradient = Literal["sum", "mean"]
MOST_LEVELS = 256


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class SharedValues(Configurable):
    """Lets weights of one level share their value; the `quantizer` of a `PrunedLayer`.

    Which of them do is part of the layer's state; at first, all of a channel share one.

    Args:
        levels: of each prunable weight of the layer, or of each of its channels, in [2, 256]; None
            for a weight that is left as it is. One number is that of all weights.
        channels: axes of each weight along which every entry has levels of its own; or for all
            weights True, for their output channels, or False, for none.
        gradient: of a level, the "sum" or the "mean" of the gradients of its weights.
        start: cluster the values that a layer has when it is wrapped, from these levels (see
            `tfprune.cluster`); None leaves that to whoever wraps it.
        preserve_zeros: in that, keep zeros out of the clusters.

    Example:
        >>> layer = keras.layers.Dense(2)
        >>> layer.build((None, 3))
        >>> [type(rounding).__name__ for rounding in SharedValues((4,), ((),)).assign(layer)]
        ['LevelsOfWeight']
    """

    levels: int | tuple[int | None, ...]
    channels: bool | tuple[tuple[int, ...], ...]
    gradient: Gradient = "sum"
    start: Start | None = None
    preserve_zeros: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.levels, list | tuple):  # configs have lists
            object.__setattr__(self, "levels", tuple(self.levels))
        if isinstance(self.channels, list | tuple):
            object.__setattr__(self, "channels", tuple(map(tuple, self.channels)))
        for count in self.levels if isinstance(self.levels, tuple) else (self.levels,):
            if count is not None:
                require_levels("levels", count)
        require_one_of("gradient", self.gradient, ("sum", "mean"))

    def assign(self, layer: keras.layers.Layer) -> list[OfTensor | None]:
        """Return the rounding of each prunable weight of a layer, None for one that has none."""
        owned = owned_weights(layer)
        levels, channels = self.levels, self.channels
        counts = levels if isinstance(levels, tuple) else (levels,) * len(owned)
        if not isinstance(channels, tuple):
            channels = tuple(channel_axes(*own) if channels else () for own in owned)
        return [
            self._rounding(weight, count, axes) if count else None
            for (_, weight), count, axes in zip(owned, counts, channels, strict=True)
        ]

    def _rounding(
        self, weight: keras.Variable, count: int, axes: tuple[int, ...]
    ) -> "LevelsOfWeight":
        first = None
        if self.start is not None:
            zeros = self.preserve_zeros
            value = host_array(weight.value)
            found = share(value, count, axes=axes, preserve_zeros=zeros, start=self.start)
            weight.assign(found.values)
            first = found.index
        return LevelsOfWeight(tuple(weight.shape), count, axes, self.gradient, first)


class LevelsOfWeight:
    """The rounding of one weight, with the level of each of its entries.

    Args:
        shape: of the weight.
        levels: at most so many values, in each channel.
        channels: axes along which every entry has levels of its own.
        gradient: as in `SharedValues`.
        first: level of each entry at first; all share one by default.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        levels: int,
        channels: tuple[int, ...],
        gradient: Gradient,
        first: np.ndarray | None = None,
    ):
        self._first = first
        self.shape = shape
        self.levels = levels
        self.gradient = gradient
        self._offsets, self._segments = _channel_offsets(shape, channels, levels + 1)

    def build(self, add: Callable[..., keras.Variable]) -> None:
        """Add the level of each entry: an integer in [0, levels), `levels` for those at zero."""
        dtype = "uint8" if self.levels < MOST_LEVELS else "uint16"
        self.index = add("level", shape=self.shape, dtype=dtype)
        if self._first is not None:
            self.index.assign(self._first)

    def begin_at(self, value: np.ndarray) -> None:
        """Let entries of a channel share a value that have the same.

        Args:
            value: of the weight, with zeros where they are masked; no more values than levels.
        """
        rows = np.broadcast_to(self._offsets, value.shape).ravel()
        order = np.lexsort((value.ravel(), rows))
        first = np.diff(rows[order], prepend=-1) != 0
        rises = (np.diff(value.ravel()[order], prepend=np.nan) != 0) & ~first
        ranks = np.cumsum(rises)
        ranks -= np.maximum.accumulate(np.where(first, ranks, 0))
        index = np.empty(value.size, int)
        index[order] = ranks
        self.index.assign(np.where(value == 0, self.levels, index.reshape(value.shape)))

    def __call__(self, value: Tensor) -> Tensor:
        segment = ops.cast(self.index.value, "int32") + self._offsets
        flat = ops.reshape(segment, (-1,))
        total = partial(ops.segment_sum, segment_ids=flat, num_segments=self._segments)
        exact = ops.reshape(ops.cast(value, "float32"), (-1,))
        sums, counts = total(exact), ops.maximum(total(ops.ones_like(exact)), 1.0)
        means = ops.take(sums / counts, segment)
        if self.gradient == "sum":
            shared = ops.take(sums, segment)
            means = shared + ops.stop_gradient(means - shared)
        return ops.cast(ops.where(self.index.value == self.levels, 0.0, means), value.dtype)


def require_levels(name: str, value: object) -> int:
    """Return the argument if it is an integer in [2, 256].

    Example:
        >>> require_levels("levels", 1)
        Traceback (most recent call last):
        ValueError: `levels` must be >= 2. Received: levels=1.
    """
    count = require_integer(name, value, minimum=2)
    if count > MOST_LEVELS:
        raise ValueError(f"`{name}` must be in [2, {MOST_LEVELS}]. Received: {name}={value!r}.")
    return count


def _channel_offsets(
    shape: tuple[int, ...], channels: tuple[int, ...], levels: int
) -> tuple[np.ndarray, int]:
    """Return what is added to the level of each entry to number it among all channels, and how
    many numbers there are."""
    sizes = [size if axis in channels else 1 for axis, size in enumerate(shape)]
    numbers = np.arange(math.prod(sizes), dtype="int32").reshape(sizes) * levels
    return numbers.astype("int32"), math.prod(sizes) * levels
