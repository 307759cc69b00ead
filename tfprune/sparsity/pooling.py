"""Scores of blocks and slices, from the scores of their entries, cache by cache."""

import math

import numpy as np

from tfprune.sparsity.selection import CHUNK, Magnitude, Scores

_LARGEST_FOLDED = 32  # entries a block along one axis, up to which whole slices are added


def pool_blocks(scores: Scores, height: int, width: int, pooling: str) -> np.ndarray:
    """Return one score for each block over the last two axes, shorter blocks at their ends.

    Time O(n), memory for the scores of the blocks: |w| is never stored whole.

    Args:
        scores: array of rank >= 1; one of rank 1 is a single row.
        height, width: entries a block along the second to last and the last axis, >= 1.
        pooling: "avg" or "max".

    Returns:
        Array of rank >= 2. Means are float32 where scores are narrower.

    Example:
        >>> pool_blocks(np.array([[1.0, 2.0, 4.0], [3.0, 4.0, 8.0]]), 2, 2, "avg")
        array([[2.5, 6. ]])
    """
    magnitude = isinstance(scores, Magnitude)
    array = scores.array if isinstance(scores, Magnitude) else np.asarray(scores)
    matrix = np.atleast_2d(array)
    rows = height * max(1, CHUNK // (height * matrix.shape[-1]))
    pieces = [
        _pooled(np.abs(piece) if magnitude else piece, height, width, pooling)
        for piece in np.split(matrix, range(rows, matrix.shape[-2], rows), axis=-2)
    ]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=-2)


def sum_slices(scores: Scores, axis: int) -> np.ndarray:
    """Return the sum of each slice along an axis, float32 where scores are narrower.

    Time O(n); |w| is never stored whole.

    Args:
        scores: array of rank >= 1.
        axis: of `scores`; a slice has one index along it.

    Example:
        >>> sum_slices(np.array([[1.0, 2.0], [3.0, 4.0]]), -1)
        array([4., 6.])
    """
    magnitude = isinstance(scores, Magnitude)
    array = scores.array if isinstance(scores, Magnitude) else np.asarray(scores)
    axis %= array.ndim
    slices = array.reshape(math.prod(array.shape[:axis]), array.shape[axis], -1)
    cut = 0 if len(slices) > 1 else 1
    entries = max(1, CHUNK * slices.shape[cut] // slices.size)
    total = np.zeros(array.shape[axis], np.result_type(array.dtype, np.float32))
    for start in range(0, slices.shape[cut], entries):
        part = slice(start, start + entries)
        piece = slices[part] if cut == 0 else slices[:, part]
        into = slice(None) if cut == 0 else part
        total[into] += (np.abs(piece) if magnitude else piece).sum((0, 2), dtype=total.dtype)
    return total


def _pooled(matrix: np.ndarray, height: int, width: int, pooling: str) -> np.ndarray:
    if pooling == "max":
        return _fold(np.maximum, _fold(np.maximum, matrix, height, -2), width, -1)
    # Half-precision sums would round away the differences that decide.
    dtype = np.result_type(matrix.dtype, np.float32)
    tall = _fold(np.add, matrix.astype(dtype, copy=False), height, -2)
    total = _fold(np.add, tall, width, -1)
    heights, widths = (
        np.minimum(side, length - np.arange(0, length, side))
        for side, length in zip((height, width), matrix.shape[-2:])
    )
    return total / (heights[:, None] * widths).astype(dtype)


def _fold(ufunc: np.ufunc, values: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Reduce every `size` entries along an axis, fewer at its end, to one."""
    if size == 1:
        return values
    rows = np.moveaxis(values, axis, 0)
    if size > _LARGEST_FOLDED:
        folded = ufunc.reduceat(rows, np.arange(0, len(rows), size), 0)
    else:  # whole slices at once are ten times as fast
        folded = rows[::size].copy()
        for start in range(1, min(size, len(rows))):
            part = rows[start::size]
            ufunc(folded[: len(part)], part, out=folded[: len(part)])
    return np.moveaxis(folded, 0, axis)
