"""Scores + sparsity + structure -> exact boolean masks, True = kept.

Counts are exact: `kept = max(1, round((1 - sparsity) * size))` in float64 and Python integers,
and among equal scores the lower flat index is kept, so that equal weights never break the target.
"""

import numpy as np

from tfprune.sparsity.selection import Magnitude, Scores, keep_largest
from tfprune.sparsity.structures import NofM, Structure, Unstructured, require_structure
from tfprune.support.validation import require_sparsity


def kept_count(size: int, sparsity: float) -> int:
    """Return how many of `size` weights are kept at `sparsity`: max(1, round((1 - s) size)).

    Args:
        size: number of weights (or groups of weights), >= 1.
        sparsity: fraction to remove, in [0, 1).

    Example:
        >>> kept_count(10, 0.9), kept_count(3, 0.9)
        (1, 1)
    """
    return max(1, round((1.0 - sparsity) * size))


def make_mask(
    scores: Scores,
    sparsity: float,
    *,
    structure: Structure = Unstructured(),
    name: str = "scores",
) -> np.ndarray:
    """Return the mask that keeps the highest scores, at exactly the asked sparsity.

    Args:
        scores: array of any shape, larger = keep; +-inf is allowed, NaN is not.
        sparsity: fraction of groups to remove, in [0, 1).
        structure: how weights are grouped; `Unstructured()`, every weight on its own, by default.
        name: name of the weight, for error messages.

    Returns:
        Boolean array of the shape of `scores`, True = kept.

    Raises:
        TypeError: if `structure` is not a structure or `sparsity` not a number.
        ValueError: if `sparsity` is outside [0, 1), `scores` is empty or has a NaN, or the
            structure cannot be laid over this shape or reach this sparsity.

    Example:
        >>> make_mask(np.array([[0.1, 0.4], [0.3, 0.2]]), 0.5)
        array([[False,  True],
               [ True, False]])
    """
    require_sparsity("sparsity", sparsity)
    require_structure(structure)
    if not isinstance(scores, Magnitude):
        scores = np.asarray(scores)
    if scores.size == 0:
        raise ValueError(f"`{name}` must not be empty. Received: shape {scores.shape}.")
    structure.check(scores.shape)
    try:
        if isinstance(structure, NofM):
            return _pattern_mask(scores, sparsity, structure)
        groups = structure.group_scores(scores)
        return structure.expand(
            keep_largest(groups, kept_count(groups.size, sparsity)), scores.shape
        )
    except FloatingPointError as error:
        count = int(np.isnan(np.asarray(scores).astype(np.float32)).sum())
        raise ValueError(
            f"Scores must not be NaN. Received: {count} NaN of {scores.size} in '{name}', "
            f"shape {scores.shape}."
        ) from error


def make_masks(
    scores: dict[str, Scores],
    sparsities: dict[str, float],
    structures: dict[str, Structure],
) -> dict[str, np.ndarray]:
    """Return one mask a weight; the three dictionaries share their keys.

    Args:
        scores: name -> array, larger = keep.
        sparsities: name -> fraction in [0, 1).
        structures: name -> structure.

    Returns:
        name -> boolean array of the shape of the scores, True = kept.

    Raises:
        ValueError: as `make_mask`, naming the weight.

    Example:
        >>> make_masks({"w": np.array([1.0, 2.0])}, {"w": 0.5}, {"w": Unstructured()})
        {'w': array([False,  True])}
    """
    return {
        name: make_mask(scores[name], sparsities[name], structure=structures[name], name=name)
        for name in scores
    }


def _pattern_mask(scores: Scores, sparsity: float, structure: NofM) -> np.ndarray:
    """Return an N:M mask; on the way up to the full pattern, only its lowest scores are removed."""
    structure.check_sparsity(sparsity)
    values = np.asarray(scores)
    if np.isnan(values).any():
        raise FloatingPointError("a score is NaN")
    losers = structure.removal_order(values)
    surviving = np.where(losers, values.astype(np.float64), np.inf)
    # Where m does not divide the axis the pattern may hold fewer removable weights than asked.
    kept = max(kept_count(values.size, sparsity), int(values.size - np.count_nonzero(losers)))
    return keep_largest(surviving, kept)
