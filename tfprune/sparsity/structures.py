"""Structures: which weights are removed together.

A structure groups the entries of one weight: it turns element scores into one score a group, and a
mask over groups back into a mask over elements. Kernels are laid out as Keras lays them out, with
the input axis second to last and the output axis last: (in, out), (height, width, in, out).
"""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import keras
import numpy as np

from tfprune.sparsity.schedules import Schedule, final_sparsity
from tfprune.sparsity.selection import Scores
from tfprune.support.configurable import Configurable
from tfprune.support.validation import require_integer, require_one_of


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class Unstructured(Configurable):
    """Every weight on its own.

    Example:
        >>> Unstructured().group_scores(np.array([1.0, 2.0])).shape
        (2,)
    """

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise nothing: every shape will do."""

    def group_scores(self, scores: Scores) -> Scores:
        return scores

    def expand(self, groups: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return groups.reshape(shape)


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class Block(Configurable):
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

    def __post_init__(self) -> None:
        require_integer("height", self.height, minimum=1)
        require_integer("width", self.width, minimum=1)
        require_one_of("pooling", self.pooling, ("avg", "max"))

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise nothing: every shape will do."""

    def group_scores(self, scores: Scores) -> np.ndarray:
        matrix = np.atleast_2d(np.asarray(scores))
        rows = np.arange(0, matrix.shape[-2], self.height)
        columns = np.arange(0, matrix.shape[-1], self.width)
        if self.pooling == "max":
            return np.maximum.reduceat(np.maximum.reduceat(matrix, rows, -2), columns, -1)
        # Half-precision sums would round away the differences that decide.
        dtype = np.result_type(matrix.dtype, np.float32)
        total = np.add.reduceat(np.add.reduceat(matrix, rows, -2, dtype=dtype), columns, -1)
        heights = np.diff(np.append(rows, matrix.shape[-2]))
        widths = np.diff(np.append(columns, matrix.shape[-1]))
        return total / (heights[:, None] * widths).astype(dtype)

    def expand(self, groups: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        rows, columns = shape[-2] if len(shape) > 1 else 1, shape[-1]
        tall = np.repeat(groups, self.height, axis=-2)[..., :rows, :]
        return np.repeat(tall, self.width, axis=-1)[..., :columns].reshape(shape)


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

    def __post_init__(self) -> None:
        require_integer("kept", self.kept, minimum=1)
        require_integer("m", self.m, minimum=2)
        if isinstance(self.axis, bool) or not isinstance(self.axis, int):
            raise TypeError(f"`axis` must be an integer. Received: axis={self.axis!r}.")
        if self.kept >= self.m:
            raise ValueError(
                "`kept` must be < `m`: NofM(kept, m) keeps `kept` of every `m` weights, so 2:4 is "
                f"NofM(2, 4). Received: kept={self.kept}, m={self.m}."
            )

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError where a weight of this shape has no such axis."""
        if len(shape) > 1:
            _check_axis(self.axis, shape)

    def check_sparsity(self, sparsity: float) -> None:
        """Raise ValueError for a sparsity above 1 - kept/m, which the pattern cannot reach."""
        complete = 1.0 - self.kept / self.m
        if sparsity > complete + 1e-9:
            raise ValueError(
                f"`sparsity` must be <= 1 - kept/m = {complete:.4g} for {self}. "
                f"Received: sparsity={sparsity}."
            )

    def removal_order(self, scores: Scores) -> np.ndarray:
        """Return, for each weight, whether the complete pattern removes it (boolean array)."""
        values = np.asarray(scores)
        axis = self.axis if values.ndim > 1 else 0
        rows = np.moveaxis(values, axis, -1)
        losers = np.zeros(rows.shape, bool)
        length = rows.shape[-1]
        whole = length - length % self.m
        for start, stop in ((0, whole), (whole, length)):
            width = min(self.m, stop - start)
            if width <= self.kept:
                continue
            groups = rows[..., start:stop].reshape(*rows.shape[:-1], -1, width)
            # A stable sort of the negated scores: among equals the lower index is kept.
            order = np.argsort(-groups, axis=-1, kind="stable")
            lost = np.zeros(groups.shape, bool)
            np.put_along_axis(lost, order[..., self.kept :], True, axis=-1)
            losers[..., start:stop] = lost.reshape(*rows.shape[:-1], -1)
        return np.moveaxis(losers, -1, axis)


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class Channel(Configurable):
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

    def __post_init__(self) -> None:
        if isinstance(self.axis, bool) or not isinstance(self.axis, int):
            raise TypeError(f"`axis` must be an integer. Received: axis={self.axis!r}.")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError where a weight of this shape has no such axis."""
        _check_axis(self.axis, shape)

    def group_scores(self, scores: Scores) -> np.ndarray:
        values = np.asarray(scores)
        others = tuple(np.delete(np.arange(values.ndim), self.axis))
        return values.sum(axis=others, dtype=np.result_type(values.dtype, np.float32))

    def expand(self, groups: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        aligned = [1] * len(shape)
        aligned[self.axis] = shape[self.axis]
        return np.ascontiguousarray(np.broadcast_to(groups.reshape(aligned), shape))


Structure = Unstructured | Block | NofM | Channel


@runtime_checkable
class StructureChoice(Protocol):
    """What gives each weight a structure of its own, such as `tfprune.structures_for("wasm")`."""

    def assign(self, layer: keras.layers.Layer) -> dict[int, Structure | None]:
        """Return id -> structure of each prunable weight in a layer or model; None = dense."""


def require_structure(structure: Any) -> Structure:
    """Return `structure` when it is one of this module's, else raise TypeError."""
    if not isinstance(structure, Structure):
        raise TypeError(
            "`structure` must be tfprune.Unstructured(), Block(height, width), NofM(kept, m), "
            f"Channel(axis) or structures_for(target). Received: structure={structure!r} (of type "
            f"{type(structure).__name__})."
        )
    return structure


def require_choice(structure: Any) -> Structure | StructureChoice:
    """Return `structure` when it is one, or chooses one for each weight; else raise TypeError."""
    if isinstance(structure, StructureChoice) and not isinstance(structure, type):
        return structure
    return require_structure(structure)


def require_reachable(structure: Structure, schedule: Schedule) -> None:
    """Raise ValueError if the schedule ends at a sparsity that the structure cannot reach.

    Example:
        >>> from tfprune.sparsity.schedules import OneShot
        >>> require_reachable(NofM(2, 4), OneShot(0.9))
        Traceback (most recent call last):
        ValueError: `sparsity` must be <= 1 - kept/m = 0.5 for NofM(kept=2, m=4, axis=-2). ...
    """
    final = final_sparsity(schedule)
    if isinstance(structure, NofM) and final is not None:
        structure.check_sparsity(final)


def _check_axis(axis: int, shape: tuple[int, ...]) -> None:
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"`axis` must exist in shape {shape}. Received: axis={axis}.")
