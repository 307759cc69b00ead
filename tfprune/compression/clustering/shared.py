"""One weight with few values: which entries share one, and what it is."""

import dataclasses
from functools import partial

import numpy as np

from tfprune.compression.clustering.levels import Start, nearest_levels


@dataclasses.dataclass(frozen=True)
class Shared:
    """A weight whose entries share values.

    Attributes:
        values: of the weight, at most `levels` different ones in each channel.
        mask: boolean, False where a zero is kept.
        index: level of each entry; `levels` where a zero is kept.
        levels: of the weight, or of each channel.
        axes: along which each entry has levels of its own.
    """

    values: np.ndarray
    mask: np.ndarray
    index: np.ndarray
    levels: int
    axes: tuple[int, ...] = ()


def share(
    value: np.ndarray,
    levels: int,
    *,
    axes: tuple[int, ...] = (),
    preserve_zeros: bool = True,
    start: Start = "exact",
    importance: np.ndarray | None = None,
    seed: int = 0,
) -> Shared:
    """Return the weight with each entry at the nearest of a few levels.

    Args:
        value: of the weight, any shape.
        levels: at most so many different values in each channel, zero among them; >= 2.
        axes: of channels; () for levels of the whole weight.
        preserve_zeros: keep zeros as they are, unless there is nothing else.
        start: as in `nearest_levels`.
        importance: of each entry; 1 by default.
        seed: of a random start.

    Example:
        >>> found = share(np.array([[1.0, 2.0], [1.5, -6.0], [0.0, -7.0]]), 2, axes=(1,))
        >>> found.values.tolist()
        [[1.25, 2.0], [1.25, -6.5], [0.0, -6.5]]
    """
    order = (*axes, *(axis for axis in range(value.ndim) if axis not in axes))
    shape = [value.shape[axis] for axis in order]
    rows = int(np.prod(shape[: len(axes)]))

    def by_channel(array: np.ndarray) -> np.ndarray:
        return array.transpose(order).reshape(rows, -1)

    def as_weight(array: np.ndarray) -> np.ndarray:
        return array.reshape(shape).transpose(np.argsort(order))

    own = by_channel(value)
    kept = own != 0 if preserve_zeros and own.any() else np.ones(own.shape, bool)
    index, values = np.zeros(own.shape, int), np.zeros(own.shape)
    some = ~kept.all(axis=1)  # zero is a level of these channels
    for chosen, count in ((some, levels - 1), (~some, levels)):
        if chosen.any():
            weights = None if importance is None else by_channel(importance)[chosen]
            found = partial(nearest_levels, weights=weights, kept=kept[chosen], seed=seed)
            index[chosen], levels_of = found(own[chosen], count, start)
            values[chosen] = np.take_along_axis(levels_of, index[chosen], axis=1)
    index[~kept] = levels
    return Shared(
        as_weight(np.where(kept, values, 0.0).astype(value.dtype)),
        as_weight(kept),
        as_weight(index),
        levels,
        axes,
    )
