"""Which of a few levels each number is nearest to, and what the levels are: k-means.

    minimise sum over q of h_q (w_q - c_{a(q)})^2 over levels c and assignments a

With h = 1 this is the error of the weights; with h the diagonal of the Fisher information it is,
to second order, twice the rise of the loss ("sensitive" k-means).

Sources: Han, Mao & Dally, "Deep Compression", ICLR 2016 (arXiv 1510.00149), section 3, for the
starts "linear", "density" and "random"; Arthur & Vassilvitskii, "k-means++", SODA 2007; Choi,
El-Khamy & Lee, "Towards the Limit of Network Quantization", ICLR 2017 (arXiv 1612.01543), section
3.2, for h.

Deviations: "exact" is the best solution there is (`optimal`) where levels times numbers are at most
2^22; of more numbers, as many bins of equal counts are clustered exactly, and Lloyd's iterations go
on from there. A level to which no number is nearest takes the next number. The Fisher information
gets a third of its mean added, so that weights of which the examples say little go to the nearest
level: with a thousandth of it, 16 values a kernel of ResNet-20 left a third more loss on training
images (5,000 examples, three seeds; seen once, without a results file).
"""

from typing import Literal, get_args

import numpy as np

from tfprune.compression.clustering.optimal import best_intervals

Start = Literal["exact", "linear", "density", "kmeans++", "random", "fisher"]
STARTS: tuple[Start, ...] = get_args(Start)
_EXACT = 2**22  # levels times numbers
_ITERATIONS = 100


def nearest_levels(
    values: np.ndarray,
    count: int,
    start: Start = "exact",
    *,
    weights: np.ndarray | None = None,
    kept: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the level of each number, and the levels of each row.

    Args:
        values: (rows, n) numbers, n >= 1; every row has levels of its own.
        count: of levels, >= 1; of at most n, and those of a row that has fewer numbers repeat.
        start: levels that Lloyd's iterations start from; "exact" and "fisher" need no iterations.
        weights: (rows, n) importance of each number, >= 0; 1 by default.
        kept: (rows, n) booleans, which numbers count; all by default. Others get a level, too.
        seed: of "kmeans++".

    Returns:
        (rows, n) indices and (rows, count) levels, ascending.

    Example:
        >>> index, levels = nearest_levels(np.array([[5.0, 0.0, 1.0, 6.0]]), 2)
        >>> index.tolist(), levels.tolist()
        ([[1, 0, 0, 1]], [[0.5, 5.5]])
    """
    kept = np.ones(values.shape, bool) if kept is None else kept
    order = np.argsort(np.where(kept, values, np.inf), axis=1, kind="stable")
    mass = np.where(kept, 1.0 if weights is None else _everywhere(weights), 0.0)
    mass = np.take_along_axis(mass, order, axis=1)
    x = np.take_along_axis(values.astype("float64"), order, axis=1)
    last = np.take_along_axis(x, np.maximum(kept.sum(axis=1, keepdims=True) - 1, 0), axis=1)
    x = np.minimum(x, last) if kept.any(axis=1).all() else np.where(mass > 0, x, last)
    count = min(count, values.shape[1])
    begins = _begins(x, mass, count, start, seed)
    levels = _means(x, mass, begins)
    index = np.zeros(x.shape, int)
    np.put_along_axis(index, begins, 1, axis=1)
    ranks = np.cumsum(index, axis=1) - 1
    np.put_along_axis(index, order, ranks, axis=1)
    return index, levels


def _everywhere(weights: np.ndarray) -> np.ndarray:
    found = weights.astype("float64")
    return found + (found.mean() / 3 or 1.0)


def _begins(x: np.ndarray, mass: np.ndarray, count: int, start: Start, seed: int) -> np.ndarray:
    """Return where the clusters of each row of ascending numbers begin."""
    if start in ("exact", "fisher"):
        return _best(x, mass, count)
    begins = np.zeros((len(x), count), int)
    for row, (own, share) in enumerate(zip(x, mass)):
        some = max(np.count_nonzero(share), 1)
        begins[row] = _improved(_STARTS[start](own[:some], share[:some], count, seed), own, share)
    return begins


def _best(x: np.ndarray, mass: np.ndarray, count: int) -> np.ndarray:
    """Return where the best clusters begin, or nearly the best of very many numbers."""
    rows, n = x.shape
    if x.size * count <= _EXACT:
        return best_intervals(x, mass, count)
    bins = min(n, max(_EXACT // (rows * count), 4 * count))
    edges = np.broadcast_to(np.linspace(0, n, bins + 1).astype(int)[:-1], (rows, bins))
    masses = _sums(mass, edges)
    coarse = best_intervals(_means(x, mass, edges), masses, count)
    begins = np.take_along_axis(edges, coarse, axis=1)
    levels = _means(x, mass, begins)
    return np.stack([_improved(*row) for row in zip(levels, x, mass)])


def _sums(values: np.ndarray, begins: np.ndarray) -> np.ndarray:
    flat = begins + values.shape[1] * np.arange(len(values))[:, None]
    return np.add.reduceat(values.ravel(), flat.ravel()).reshape(begins.shape)


def _means(x: np.ndarray, mass: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Return the mean of each cluster; of one without mass, its first number."""
    total, first = _sums(mass, begins), np.take_along_axis(x, begins, axis=1)
    return np.divide(_sums(mass * x, begins), total, out=first, where=total > 0)


def _improved(levels: np.ndarray, x: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Return where the clusters of a row begin after Lloyd's iterations, over what has mass."""
    some = np.count_nonzero(mass)  # what has none stands at the end
    if some <= levels.size:
        return np.arange(levels.size)
    x, mass = x[:some], mass[:some]
    begins = _cells(levels, x)
    for _ in range(_ITERATIONS):
        better = _cells(_means(x[None], mass[None], begins[None])[0], x)
        if np.array_equal(better, begins):
            break
        begins = better
    return begins


def _cells(levels: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return where the numbers begin that are nearest to each level; one at least for each."""
    begins = np.append(0, np.searchsorted(x, (levels[1:] + levels[:-1]) / 2))
    rank = np.arange(begins.size)
    begins = np.maximum.accumulate(begins - rank) + rank
    return np.minimum(begins, x.size - begins.size + rank)


def _linear(x: np.ndarray, mass: np.ndarray, count: int, seed: int) -> np.ndarray:
    return np.linspace(x[0], x[-1], count)


def _density(x: np.ndarray, mass: np.ndarray, count: int, seed: int) -> np.ndarray:
    share = (np.cumsum(mass) - mass / 2) / mass.sum()
    return np.interp((np.arange(count) + 0.5) / count, share, x)


def _random(x: np.ndarray, mass: np.ndarray, count: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).uniform(x[0], x[-1], count))


def _plus_plus(x: np.ndarray, mass: np.ndarray, count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    chosen: list[float] = []
    distance = np.ones_like(x)
    while len(chosen) < count:
        far = mass * distance**2
        if far.sum() == 0:  # every number is a level
            return np.sort(chosen + [chosen[-1]] * (count - len(chosen)))
        chosen.append(random.choice(x, p=far / far.sum()))
        reach = np.abs(x - chosen[-1])
        distance = reach if len(chosen) == 1 else np.minimum(distance, reach)
    return np.sort(chosen)


_STARTS = {"linear": _linear, "density": _density, "kmeans++": _plus_plus, "random": _random}
