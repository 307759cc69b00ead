"""What a structure is, and what is read from one.

A structure says which entries of a weight are removed together. Any object with three methods is
one (`Structure`). What else it may say is optional and read here, in one place:

    kept, m               for a pattern: groups of `m` entries, fewer at an edge, that keep `kept`
                          each; without them groups are removed whole
    group_scores(scores)  one score for each group, by which "global" ranks the groups of several
                          weights; the mean of the group by default
    takes_magnitude       True if `mask` and `group_scores` take a `Magnitude` as well as an array
    removes_units         True if taking whole outputs away is what it is for: no warning of it
"""

from typing import Protocol, runtime_checkable

import keras
import numpy as np

from tfprune.sparsity.schedules import Schedule, final_sparsity
from tfprune.sparsity.selection import Magnitude, Scores

_TOLERANCE = 1e-9  # of a sparsity that was computed


@runtime_checkable
class Structure(Protocol):
    """Which entries of a weight are removed together."""

    def labels(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the number of the group that each entry is in.

        Args:
            shape: of the weight.

        Returns:
            Integer array of that shape; groups are numbered 0, 1, ... without a gap.
        """

    def largest_sparsity(self, shape: tuple[int, ...]) -> float:
        """Return the largest share of the entries that can be removed from a weight.

        1.0 where nothing but rounding limits it. A weight for which this raises ValueError is one
        that the structure cannot be laid over; `prune` leaves it dense.
        """

    def mask(self, scores: Scores, sparsity: float) -> np.ndarray:
        """Return which entries are kept, the same for the same arguments.

        Args:
            scores: array of the shape of the weight, larger = keep; not NaN.
            sparsity: share of the groups (of the entries, for a pattern) to remove, in [0, 1) and
                at most the largest.

        Returns:
            Boolean array of that shape, True = kept; among equal scores the lower flat index is.
        """


@runtime_checkable
class StructureChoice(Protocol):
    """What gives each weight a structure of its own, such as `tfprune.structures_for("wasm")`."""

    def assign(self, layer: keras.layers.Layer) -> list[Structure | None]:
        """Return the structure of each prunable weight of a layer or model; None = dense.

        In the order of `tfprune.prunable.prunable_weights(layer)`.
        """


def require_structure(structure: object) -> Structure:
    """Return `structure` when it is one, else raise TypeError.

    Example:
        >>> require_structure("2:4")
        Traceback (most recent call last):
        TypeError: `structure` must be ... Received: structure='2:4' (of type str).
    """
    if isinstance(structure, type) or not isinstance(structure, Structure):
        raise TypeError(
            "`structure` must be tfprune.Unstructured(), Block(height, width), NofM(kept, m), "
            "Channel(axis), structures_for(target), or an object with the methods of "
            f"tfprune.structures.Structure. Received: structure={structure!r} (of type "
            f"{type(structure).__name__})."
        )
    return structure


def require_choice(structure: object) -> Structure | StructureChoice:
    """Return `structure` when it is one, or chooses one for each weight; else raise TypeError."""
    is_array = hasattr(structure, "shape")  # variables and tables have an `assign` of their own
    if isinstance(structure, StructureChoice) and not (isinstance(structure, type) or is_array):
        return structure
    return require_structure(structure)


def kept_in_group(structure: Structure) -> int:
    """Return how many entries of each group stay; 0 where groups are removed whole.

    Example:
        >>> from tfprune.sparsity.structures import Block, NofM
        >>> kept_in_group(NofM(2, 4)), kept_in_group(Block(4, 1))
        (2, 0)
    """
    return int(getattr(structure, "kept", 0))


def pattern_sparsity(structure: Structure) -> float | None:
    """Return 1 - kept/m, the share that a pattern removes of every weight; None for no pattern.

    Example:
        >>> from tfprune.sparsity.structures import Block, NofM
        >>> pattern_sparsity(NofM(1, 4)), pattern_sparsity(Block(4, 1))
        (0.75, None)
    """
    kept = kept_in_group(structure)
    return 1.0 - kept / structure.m if kept else None  # type: ignore[attr-defined]  # a pattern


def pooled_scores(structure: Structure, scores: Scores) -> Scores:
    """Return one score for each group, in the order of the labels, in an array of any shape.

    Example:
        >>> from tfprune.sparsity.structures import Channel
        >>> pooled_scores(Channel(-1), np.array([[1.0, 2.0], [3.0, 4.0]]))
        array([4., 6.])
    """
    scores = readable(structure, scores)
    if hasattr(structure, "group_scores"):
        return structure.group_scores(scores)
    return mean_by_group(structure.labels(scores.shape), np.asarray(scores))


def mean_by_group(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean of the values of each group, in float64 (groups,).

    Example:
        >>> mean_by_group(np.array([0, 1, 0]), np.array([1.0, 5.0, 2.0]))
        array([1.5, 5. ])
    """
    flat = labels.reshape(-1)
    return np.bincount(flat, weights=values.reshape(-1)) / np.bincount(flat)


def readable(structure: Structure, scores: Scores) -> Scores:
    """Return scores that the structure can read: an array, unless it takes a `Magnitude`."""
    lazy = isinstance(scores, Magnitude) and getattr(structure, "takes_magnitude", False)
    return scores if lazy else np.asarray(scores)


def require_within(structure: Structure, sparsity: float, shape: tuple[int, ...]) -> None:
    """Raise ValueError for a sparsity above what the structure can be asked for at this shape.

    A pattern may be asked for 1 - kept/m even where groups at an edge are short and keep more.

    Example:
        >>> from tfprune.sparsity.structures import NofM
        >>> require_within(NofM(2, 4), 0.9, (8, 8))
        Traceback (most recent call last):
        ValueError: `sparsity` must be <= 1 - kept/m = 0.5 for NofM(kept=2, m=4, axis=-2). ...
    """
    pattern = pattern_sparsity(structure)
    most = structure.largest_sparsity(shape) if pattern is None else pattern
    if sparsity > most + _TOLERANCE:
        formula = "" if pattern is None else "1 - kept/m = "
        where = f", the most it removes of shape {shape}" if pattern is None else ""
        raise ValueError(
            f"`sparsity` must be <= {formula}{most:.4g} for {structure}{where}. "
            f"Received: sparsity={sparsity}."
        )


def require_reachable(structure: Structure, schedule: Schedule, shape: tuple[int, ...]) -> None:
    """Raise ValueError if the schedule ends at a sparsity that the structure cannot reach.

    Example:
        >>> from tfprune.sparsity.schedules import OneShot
        >>> from tfprune.sparsity.structures import NofM
        >>> require_reachable(NofM(2, 4), OneShot(0.9), (8, 8))
        Traceback (most recent call last):
        ValueError: `sparsity` must be <= 1 - kept/m = 0.5 for NofM(kept=2, m=4, axis=-2). ...
    """
    final = final_sparsity(schedule)
    if final is not None:
        require_within(structure, final, shape)
