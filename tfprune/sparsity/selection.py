"""Exact selection of the `kept` largest of n scores, in linear time and with little memory.

Sorting or partitioning 10 million scores moves every one of them several times. Here a small random
sample brackets the threshold first (the idea of Floyd & Rivest, "Expected time bounds for
selection", CACM 18(3), 1975), one pass over the scores counts what lies above the bracket and
collects the few that lie inside, and only those are partitioned. The answer is exact: when the
bracket misses, which the counts reveal, the pass is repeated with everything as a candidate.

Both passes work on chunks that stay in the processor's cache, so that beyond the mask itself
(1 byte a score) and the candidates (a few per cent) no memory is taken: |w| is never stored whole.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

_CHUNK = 1 << 16  # scores a chunk: 256 KiB of float32, inside a core's L2 cache
_SAMPLE = 1 << 14
_DEVIATIONS = 6.0  # half-width of the bracket, in standard deviations of the sampled rank


@dataclasses.dataclass(frozen=True)
class Magnitude:
    """|array|, not stored: the kernels of this module take the absolute value chunk by chunk.

    Args:
        array: float array of any shape. `np.asarray(Magnitude(array))` gives its absolute value.

    Example:
        >>> np.asarray(Magnitude(np.array([-2.0, 1.0])))
        array([2., 1.])
    """

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def size(self) -> int:
        return self.array.size

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.abs(self.array).astype(dtype or self.array.dtype, copy=False)


Scores = np.ndarray | Magnitude


def keep_largest(scores: Scores, kept: int) -> np.ndarray:
    """Return the boolean mask of the `kept` largest scores; among equals the lower index wins.

    Time O(n); memory one byte a score for the mask, plus the candidates.

    Args:
        scores: array of any shape, integer or float, not NaN (+-inf is allowed).
        kept: number of True entries, in [0, scores.size].

    Returns:
        Boolean array of the shape of `scores` with exactly `kept` True entries.

    Raises:
        FloatingPointError: if a score is NaN.

    Example:
        >>> keep_largest(np.array([[1.0, 3.0], [2.0, 2.0]]), 2)
        array([[False,  True],
               [ True, False]])
    """
    source = _Chunks(scores)
    if kept <= 0 or kept >= source.size:
        source.check_no_nan()
        return np.full(scores.shape, kept > 0)
    threshold, above = _threshold(source, kept)
    return _mask(source, threshold, kept - above).reshape(scores.shape)


class _Chunks:
    """A flat view of the scores that hands out cache-sized pieces, magnitudes taken on the way."""

    def __init__(self, scores: Scores):
        self.magnitude = isinstance(scores, Magnitude)
        array = scores.array if isinstance(scores, Magnitude) else scores
        self.flat = np.asarray(array).reshape(-1)
        self.size = self.flat.size
        # Half-precision comparisons are slow and bfloat16 has none: widen chunk by chunk, exactly.
        narrow = self.flat.dtype.itemsize < 4 or self.flat.dtype.kind not in "fiu"
        self.dtype = np.dtype(np.float32) if narrow else self.flat.dtype

    def take(self, index: np.ndarray | slice) -> np.ndarray:
        values = self.flat[index].astype(self.dtype, copy=False)
        return np.abs(values) if self.magnitude else values

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, self.size, _CHUNK):
            yield start, self.take(slice(start, start + _CHUNK))

    def check_no_nan(self) -> None:
        for _, chunk in self:
            if np.isnan(chunk.max()):  # max propagates NaN
                raise FloatingPointError("a score is NaN")


def _threshold(source: _Chunks, kept: int) -> tuple[np.generic, int]:
    """Return the value of the `kept`-th largest score and how many scores exceed it."""
    low, high = _bracket(source, kept)
    above, inside, candidates = _split(source, low, high)
    if not above < kept <= above + inside:
        low, high = None, None
        above, inside, candidates = _split(source, low, high)
    if candidates is None:  # all that lies inside is one value
        assert low is not None
        return low, above
    position = inside - (kept - above)
    candidates.partition(position)
    threshold = candidates[position]
    return threshold, above + int(np.count_nonzero(candidates[position:] > threshold))


def _bracket(source: _Chunks, kept: int) -> tuple[np.generic | None, np.generic | None]:
    """Return values expected to enclose the `kept`-th largest score; None is unbounded."""
    if source.size <= 2 * _SAMPLE:
        return None, None
    # The seed is fixed for reproducible timing; the answer does not depend on it.
    index = np.random.default_rng(0).integers(0, source.size, _SAMPLE)
    sample = np.sort(source.take(index))
    below = 1.0 - kept / source.size
    spread = _DEVIATIONS * np.sqrt(_SAMPLE * below * (1.0 - below)) + 1.0
    first, last = int(_SAMPLE * below - spread), int(_SAMPLE * below + spread)
    low = sample[first] if first >= 0 else None
    high = sample[last] if last < _SAMPLE else None
    # NaN sorts last: an unbounded side lets the pass over the data find and report it.
    return low, None if high is not None and np.isnan(high) else high


def _split(
    source: _Chunks, low: np.generic | None, high: np.generic | None
) -> tuple[int, int, np.ndarray | None]:
    """Return (count above `high`, count in [low, high], those inside; None if low == high)."""
    one_value = low is not None and low == high
    above = inside = 0
    found = []
    for _, chunk in source:
        in_bracket = np.ones(chunk.size, bool) if low is None else chunk >= low
        if high is not None:
            over = chunk > high
            above += int(np.count_nonzero(over))
            np.greater(in_bracket, over, out=in_bracket)  # in_bracket and not over
        if np.isnan(chunk.max()):
            raise FloatingPointError("a score is NaN")
        if one_value:
            inside += int(np.count_nonzero(in_bracket))
        else:
            found.append(chunk[in_bracket])
    if one_value:
        return above, inside, None
    candidates = np.concatenate(found)
    return above, candidates.size, candidates


def _mask(source: _Chunks, threshold: np.generic, ties: int) -> np.ndarray:
    """Return the flat mask of scores above `threshold` and of the first `ties` equal to it."""
    mask = np.empty(source.size, bool)
    for start, chunk in source:
        part = mask[start : start + chunk.size]
        np.greater_equal(chunk, threshold, out=part)
        if ties >= chunk.size:
            ties -= int(np.count_nonzero(chunk == threshold))
            continue
        equal = np.flatnonzero(chunk == threshold)
        part[equal[ties:]] = False
        ties -= min(ties, equal.size)
    return mask
