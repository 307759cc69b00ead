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
from collections.abc import Iterator, Sequence

import numpy as np

from tfprune.support.validation import require_integer, require_sparsity

CHUNK = 1 << 16  # scores a chunk: 256 KiB of float32, inside a core's L2 cache
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


def kept_count(size: int, sparsity: float) -> int:
    """Return how many of `size` weights are kept at `sparsity`: max(1, round((1 - s) size)).

    Args:
        size: number of weights (or groups of weights), >= 1.
        sparsity: fraction to remove, in [0, 1).

    Example:
        >>> kept_count(10, 0.9), kept_count(3, 0.9)
        (1, 1)
    """
    require_integer("size", size, minimum=1)
    require_sparsity("sparsity", sparsity)
    return max(1, round((1.0 - sparsity) * size))


def keep_largest(scores: Scores, kept: int, *, first: np.ndarray | None = None) -> np.ndarray:
    """Return the boolean mask of the `kept` largest scores; among equals the lower index wins.

    Time O(n); memory one byte a score for the mask, plus the candidates.

    Args:
        scores: array of any shape, integer or float, not NaN (+-inf is allowed).
        kept: number of True entries, in [0, scores.size].
        first: boolean array of that shape; what it marks counts as larger than every score.

    Returns:
        Boolean array of the shape of `scores` with exactly `kept` True entries.

    Raises:
        FloatingPointError: if a score is NaN.

    Example:
        >>> keep_largest(np.array([[1.0, 3.0], [2.0, 2.0]]), 2)
        array([[False,  True],
               [ True, False]])
    """
    source = Chunks(scores, first)
    if kept <= 0 or kept >= source.size:
        source.check_no_nan()
        return np.full(scores.shape, kept > 0)
    threshold, above = _threshold(source, kept)
    return _mask(source, threshold, kept - above).reshape(scores.shape)


def count_largest(parts: Sequence[Scores], kept: int) -> list[int]:
    """Return how many of each part are among the `kept` largest of all, at least one of each.

    Among equals the earlier part wins. Time O(n), memory for the candidates only.

    Args:
        parts: non-empty arrays, as `keep_largest` takes them.
        kept: number of scores, at least that of the parts.

    Raises:
        FloatingPointError: if a score is NaN.

    Example:
        >>> count_largest([np.array([4.0, 5.0, 6.0]), np.array([1.0, 2.0])], 3)
        [2, 1]
    """
    pool = _Pool(parts)
    rest = kept - len(parts)  # the best of each part is kept in any case
    if rest <= 0:
        return [1] * len(parts)
    if kept >= pool.size:
        return [part.size for part in parts]
    threshold, above = _threshold(pool, rest)
    return pool.counts(threshold, rest - above)


class Chunks:
    """A flat view of the scores that hands out cache-sized pieces, magnitudes taken on the way."""

    def __init__(self, scores: Scores, first: np.ndarray | None = None):
        self.magnitude = isinstance(scores, Magnitude)
        array = scores.array if isinstance(scores, Magnitude) else scores
        self.flat = np.asarray(array).reshape(-1)
        self.size = self.flat.size
        self.first = None if first is None else first.reshape(-1)
        self.dtype = comparable(self.flat.dtype)
        if first is not None and self.dtype.kind != "f":
            self.dtype = np.dtype(np.float64)  # has an infinity

    def take(self, index: np.ndarray | slice) -> np.ndarray:
        values = self.flat[index].astype(self.dtype, copy=False)
        values = np.abs(values) if self.magnitude else values
        if self.first is None:
            return values
        # Several times as fast as np.where on a mask without pattern; NaN stays NaN.
        ends = np.array([-np.inf, np.inf], self.dtype)
        return np.maximum(values, ends.take(self.first[index].view(np.uint8)))

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, self.size, CHUNK):
            yield start, self.take(slice(start, start + CHUNK))

    def argmax(self) -> int:
        """Return the first place of the largest score."""
        found, best = 0, None
        for start, chunk in self:
            place = int(np.argmax(chunk))  # that of a NaN, if there is one
            if np.isnan(chunk[place]):
                raise FloatingPointError("a score is NaN")
            if best is None or chunk[place] > best:
                found, best = start + place, chunk[place]
        return found

    def check_no_nan(self) -> None:
        for _, chunk in self:
            if np.isnan(chunk.max()):  # max propagates NaN
                raise FloatingPointError("a score is NaN")


class _Pool:
    """Several parts as one list of scores, in which the best of each is -inf, the lowest."""

    def __init__(self, parts: Sequence[Scores]):
        self._parts = [Chunks(part) for part in parts]
        self._starts = np.cumsum([0, *(part.size for part in self._parts)])
        self._best = [part.argmax() for part in self._parts]
        self.size = int(self._starts[-1])

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return the scores at these places, in no order, the best of each part as they are."""
        ends = np.searchsorted(np.sort(index), self._starts)
        pieces = np.split(np.sort(index), ends[1:-1])
        own = zip(self._parts, self._starts, pieces)
        return np.concatenate([part.take(piece - start) for part, start, piece in own])

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for number in range(len(self._parts)):
            yield from self._chunks(number)

    def counts(self, threshold: np.generic, ties: int) -> list[int]:
        """Return for each part 1 for its best, those above the threshold and its share of ties."""
        found = []
        for number, best in enumerate(self._best):
            above = equal = 0
            for _, chunk in self._chunks(number):
                above += int(np.count_nonzero(chunk > threshold))
                equal += int(np.count_nonzero(chunk == threshold))
            equal -= bool(threshold == -np.inf)  # the best is counted already
            found.append(1 + above + min(ties, equal))
            ties -= min(ties, equal)
        return found

    def _chunks(self, number: int) -> Iterator[tuple[int, np.ndarray]]:
        best = self._best[number]
        for start, chunk in self._parts[number]:
            if start <= best < start + chunk.size:
                chunk = chunk.astype(np.result_type(chunk, np.float32))
                chunk[best - start] = -np.inf
            yield int(self._starts[number]) + start, chunk


_Source = Chunks | _Pool


def comparable(dtype: np.dtype) -> np.dtype:
    """Return the dtype to compare scores in: half precision is slow and bfloat16 cannot.

    Example:
        >>> comparable(np.dtype("float16")), comparable(np.dtype("float64"))
        (dtype('float32'), dtype('float64'))
    """
    narrow = dtype.itemsize < 4 or dtype.kind not in "fiu"
    return np.dtype(np.float32) if narrow else dtype


def _threshold(source: _Source, kept: int) -> tuple[np.generic, int]:
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


def _bracket(source: _Source, kept: int) -> tuple[np.generic | None, np.generic | None]:
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
    source: _Source, low: np.generic | None, high: np.generic | None
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


def _mask(source: Chunks, threshold: np.generic, ties: int) -> np.ndarray:
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
