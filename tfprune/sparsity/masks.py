"""Scores + sparsity + structure -> exact boolean masks, True = kept.

Counts are exact: `kept = max(1, round((1 - sparsity) * size))` in float64 and Python integers,
and among equal scores the lower flat index is kept, so that equal weights never break the count.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfprune.sparsity.contract import Structure, readable, require_structure, require_within
from tfprune.sparsity.selection import Chunks, Scores, kept_count
from tfprune.sparsity.structures import Unstructured
from tfprune.support.array_arguments import require_array, require_arrays
from tfprune.support.validation import require_mapping, require_sparsity, require_text

__all__ = ["kept_count", "make_mask", "make_masks"]


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
    require_text("name", name)
    scores = require_array(name, scores)
    require_within(structure, sparsity, scores.shape)
    try:
        if not getattr(structure, "takes_magnitude", False):
            Chunks(scores).check_no_nan()  # others find NaN on their way
        mask = structure.mask(readable(structure, scores), sparsity)
    except FloatingPointError as error:
        count = int(np.isnan(np.asarray(scores).astype(np.float32)).sum())
        raise ValueError(
            f"Scores must not be NaN. Received: {count} NaN of {scores.size} in '{name}', "
            f"shape {scores.shape}."
        ) from error
    if getattr(mask, "dtype", None) != bool or mask.shape != scores.shape:
        received = f"{getattr(mask, 'dtype', type(mask))} of shape {np.shape(mask)}"
        raise ValueError(
            f"`structure.mask` must return booleans of shape {scores.shape} for '{name}'. "
            f"Received: {received} from {structure}."
        )
    return mask


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
    require_arrays("scores", scores)
    for what, given in (("sparsities", sparsities), ("structures", structures)):
        _require_each(what, given, scores)
    return {
        name: make_mask(scores[name], sparsities[name], structure=structures[name], name=name)
        for name in scores
    }


def require_sparsities(sparsities: dict[str, float], scores: Mapping[str, Scores]) -> None:
    """Raise TypeError or ValueError unless there is a fraction in [0, 1) for each of the scores."""
    _require_each("sparsities", sparsities, scores)
    for name in scores:
        require_sparsity("sparsity", sparsities[name])


def _require_each(what: str, given: dict[str, Any], scores: Mapping[str, Scores]) -> None:
    missing = sorted(set(scores) - set(require_mapping(what, given)))
    if missing:
        raise ValueError(
            f"`{what}` must have an entry for each of the scores. "
            f"Received: {what}={given!r}, without {missing[0]!r}."
        )
