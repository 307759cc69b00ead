"""Structures: which weights are removed together.

Kernels are laid out as Keras lays them out, with the input axis second to last and the output axis
last: (in, out), (height, width, in, out). `tfprune.sparsity.contract` says what a structure has to
answer.
"""

import dataclasses
import math
from typing import ClassVar

import keras
import numpy as np

from tfprune.sparsity.contract import (
    Structure,
    StructureChoice,
    require_choice,
    require_structure,
    require_within,
)
from tfprune.sparsity.patterns import pattern_winners
from tfprune.sparsity.pooling import pool_blocks, sum_slices
from tfprune.sparsity.selection import Scores, keep_largest, kept_count
from tfprune.sparsity.whole_groups import WholeGroups
from tfprune.support.array_arguments import require_array, require_groups, require_shape
from tfprune.support.configurable import Configurable
from tfprune.support.validation import require_integer, require_one_of, require_sparsity

__all__ = [
    "Block",
    "Channel",
    "NofM",
    "Structure",
    "StructureChoice",
    "Unstructured",
    "WholeGroups",
    "group_labels",
    "require_choice",
    "require_structure",
]


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class Unstructured(WholeGroups):
    """Every weight on its own.

    Example:
        >>> Unstructured().group_scores(np.array([1.0, 2.0])).shape
        (2,)
    """

    takes_magnitude: ClassVar[bool] = True

    def labels(self, shape: tuple[int, ...]) -> np.ndarray:
        shape = require_shape("shape", shape)
        return np.arange(math.prod(shape)).reshape(shape)

    def group_scores(self, scores: Scores) -> Scores:
        return require_array("scores", scores)

    def expand(self, groups: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        shape = require_shape("shape", shape)
        return require_groups("groups", groups, math.prod(shape)).reshape(shape)


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class Block(WholeGroups):
    """Blocks of `height` x `width` over the last two axes (input, output) of a weight.

    Blocks start at index 0 of both axes; where the axis is not a multiple of the block, the last
    block is smaller and counts as one block. A weight of rank 1 is a single row.

    Args:
        height: entries along the input axis (second to last), >= 1.
        width: entries along the output axis (last), >= 1.
        pooling: "avg" scores a block by the mean of its element scores, "max" by the largest.

    Raises:
        TypeError: if `height` or `width` is not an integer.
        ValueError: if they are < 1 or `pooling` is unknown.

    Example:
        >>> Block(2, 1).group_scores(np.array([[1.0, 2.0], [3.0, 4.0]]))
        array([[2., 3.]])
    """

    height: int
    width: int
    pooling: str = "avg"

    takes_magnitude: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_integer("height", self.height, minimum=1)
        require_integer("width", self.width, minimum=1)
        require_one_of("pooling", self.pooling, ("avg", "max"))

    def labels(self, shape: tuple[int, ...]) -> np.ndarray:
        return _boxes(shape, {-2: self.height, -1: self.width})

    def group_scores(self, scores: Scores) -> np.ndarray:
        scores = require_array("scores", scores)
        return pool_blocks(scores, self.height, self.width, self.pooling)

    def expand(self, groups: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        shape = require_shape("shape", shape)
        rows, columns = shape[-2] if len(shape) > 1 else 1, shape[-1]
        across, down = -(-columns // self.width), -(-rows // self.height)
        count = math.prod(shape[:-2]) * across * down
        groups = require_groups("groups", groups, count).reshape(*shape[:-2], down, across)
        if self.width > 1:
            groups = np.repeat(groups, self.width, axis=-1)[..., :columns]
        return np.repeat(groups, self.height, axis=-2)[..., :rows, :].reshape(shape)


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class NofM(Configurable):
    """At most `kept` nonzeros in every `m` consecutive entries along one axis: N:M sparsity.

    The pattern is complete at sparsity 1 - kept/m. Below that (a schedule on its way up) the
    weights that the pattern will remove go first, lowest scores first, so that the sparsity is
    exact at every step. Where `m` does not divide the axis, the last group is shorter and keeps
    up to `kept` entries.

    Args:
        kept: nonzeros allowed in a group, in [1, m).
        m: entries in a group, >= 2.
        axis: axis along which entries are consecutive; -2, the input axis, by default. A weight of
            rank 1 uses its only axis.

    Raises:
        TypeError: if an argument is not an integer.
        ValueError: if `kept` >= `m` (the arguments are reversed) or out of range.

    Example:
        >>> NofM(2, 4)
        NofM(kept=2, m=4, axis=-2)
    """

    kept: int
    m: int
    axis: int = -2

    takes_magnitude: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_integer("kept", self.kept, minimum=1)
        require_integer("m", self.m, minimum=2)
        require_integer("axis", self.axis)
        if self.kept >= self.m:
            raise ValueError(
                "`kept` must be < `m`: NofM(kept, m) keeps `kept` of every `m` weights, so 2:4 is "
                f"NofM(2, 4). Received: kept={self.kept}, m={self.m}."
            )

    def labels(self, shape: tuple[int, ...]) -> np.ndarray:
        shape = require_shape("shape", shape)
        return _boxes(shape, {_from_end(self._axis(shape), shape): self.m})

    def largest_sparsity(self, shape: tuple[int, ...]) -> float:
        """Return the share of the complete pattern, below 1 - kept/m where a group is short.

        Raises:
            ValueError: if a weight of this shape has no such axis.
        """
        shape = require_shape("shape", shape)
        length = shape[self._axis(shape)]
        whole, rest = divmod(length, self.m)
        return (whole * (self.m - self.kept) + max(0, rest - self.kept)) / length

    def mask(self, scores: Scores, sparsity: float) -> np.ndarray:
        """Return the mask; on the way up to the full pattern, only its lowest scores are removed.

        Raises:
            ValueError: for a sparsity above 1 - kept/m, which the pattern cannot reach.
            FloatingPointError: if a score is NaN.
        """
        scores = require_array("scores", scores)
        require_within(self, require_sparsity("sparsity", sparsity), scores.shape)
        winners = pattern_winners(scores, self.kept, self.m, self._axis(scores.shape))
        kept = kept_count(scores.size, sparsity)
        # Where m does not divide the axis the pattern may hold fewer removable weights than asked.
        if kept <= np.count_nonzero(winners):
            return winners
        return keep_largest(scores, kept, first=winners)

    def _axis(self, shape: tuple[int, ...]) -> int:
        if len(shape) == 1:
            return 0
        _check_axis(self.axis, shape)
        return self.axis


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class Channel(WholeGroups):
    """Whole slices along one axis, such as the output channels of a convolution.

    A channel's score is the sum of its element scores. Masks keep the shape of the weight.

    Args:
        axis: axis along which slices are taken; -1, the output axis, by default.

    Raises:
        TypeError: if `axis` is not an integer.

    Example:
        >>> Channel(-1).group_scores(np.array([[1.0, 2.0], [3.0, 4.0]]))
        array([4., 6.])
    """

    axis: int = -1

    takes_magnitude: ClassVar[bool] = True
    removes_units: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_integer("axis", self.axis)

    def labels(self, shape: tuple[int, ...]) -> np.ndarray:
        shape = require_shape("shape", shape)
        _check_axis(self.axis, shape)
        kept = _from_end(self.axis, shape)
        return _boxes(shape, {axis: shape[axis] for axis in range(-len(shape), 0) if axis != kept})

    def largest_sparsity(self, shape: tuple[int, ...]) -> float:
        """Return 1.0, or raise ValueError where a weight of this shape has no such axis."""
        _check_axis(self.axis, require_shape("shape", shape))
        return 1.0

    def group_scores(self, scores: Scores) -> np.ndarray:
        scores = require_array("scores", scores)
        _check_axis(self.axis, scores.shape)
        return sum_slices(scores, self.axis)

    def expand(self, groups: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        shape = require_shape("shape", shape)
        _check_axis(self.axis, shape)
        groups = require_groups("groups", groups, shape[self.axis])
        aligned = [1] * len(shape)
        aligned[self.axis] = shape[self.axis]
        return np.ascontiguousarray(np.broadcast_to(groups.reshape(aligned), shape))


def group_labels(structure: Structure, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return `structure.labels(shape)`, or None where every entry is a group of its own.

    Raises:
        ValueError: if the structure cannot be laid over this shape, or its labels have another
            shape or are no integers.

    Example:
        >>> group_labels(Block(2, 1), (4, 2))
        array([[0, 1],
               [0, 1],
               [2, 3],
               [2, 3]])
        >>> group_labels(Block(1, 1), (4, 2)) is None
        True
    """
    require_structure(structure)
    shape = require_shape("shape", shape)
    if isinstance(structure, Unstructured):
        return None  # what the general way finds too, without numbering every entry
    labels = np.asarray(structure.labels(shape))
    if labels.shape != shape or labels.dtype.kind not in "iu":
        raise ValueError(
            f"`labels(shape)` must return integers of shape {shape}. Received: {labels.dtype} of "
            f"shape {labels.shape} from {structure}."
        )
    return None if int(labels.max()) + 1 == labels.size else labels


def _boxes(shape: tuple[int, ...], extents: dict[int, int]) -> np.ndarray:
    """Number the boxes of these extents (axis from the end -> entries, 1 by default) in order."""
    shape = require_shape("shape", shape)
    axes = range(-len(shape), 0)
    sides = {axis: extents.get(axis, 1) for axis in axes}
    counts = [-(-shape[axis] // sides[axis]) for axis in axes]
    labels = np.arange(math.prod(counts)).reshape(counts)
    for axis in axes:
        labels = np.take(labels, np.arange(shape[axis]) // sides[axis], axis=axis)
    return labels


def _from_end(axis: int, shape: tuple[int, ...]) -> int:
    return axis - len(shape) if axis >= 0 else axis


def _check_axis(axis: int, shape: tuple[int, ...]) -> None:
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"`axis` must exist in shape {shape}. Received: axis={axis}.")
