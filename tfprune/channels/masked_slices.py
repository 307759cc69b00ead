"""Slices that masks of `Channel` have put to zero, and why some are no channels to take out."""

import dataclasses

import keras
import numpy as np

from tfprune.layer_classes.axes import axes_of
from tfprune.layer_classes.prunable import owned_weights
from tfprune.sparsity.structures import Channel
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity
from tfprune.wrapping.cohorts import plain_path
from tfprune.wrapping.pruned_layer import pruned_layers

_MOST = 4  # weights that a message names


@dataclasses.dataclass(frozen=True)
class ZeroSlices:
    """The zero slices of one weight.

    Attributes:
        path: of the weight.
        axis: along which slices were masked, as `Channel` has it.
        count: of those that are zero.
        size: of all.
        why: what keeps them from being removed, in a few words.
    """

    path: str
    axis: int
    count: int
    size: int
    why: str

    def __str__(self) -> str:
        return f"{self.count} of {self.size} along axis {self.axis} of '{self.path}' ({self.why})"


def zero_slices(pruned: keras.Model, plain: keras.Model) -> list[ZeroSlices]:
    """Return the zero slices that a model has along the axes that `Channel` masks.

    Args:
        pruned: with `PrunedLayer`s.
        plain: made of it, with the same layers, whole or smaller.
    """
    axis_of: ByIdentity[keras.Variable, int] = ByIdentity()
    path_of: ByIdentity[keras.Variable, str] = ByIdentity()
    for layer in pruned_layers(pruned):
        for own in layer.pruned:
            if isinstance(own.structure, Channel):
                axis_of[own.weight] = own.structure.axis
                path_of[own.weight] = plain_path(layer, own.weight.path)
    found = []
    pairs = zip(owned_weights(pruned), owned_weights(plain), strict=True)
    for (_, masked), (part, weight) in pairs:
        if masked in axis_of:
            axis = axis_of[masked]
            slices = np.moveaxis(host_array(weight.value), axis, 0)
            zero = ~slices.reshape(len(slices), -1).any(axis=1)
            if zero.any():
                why = _why(part, weight, axis % len(weight.shape))
                count = int(zero.sum())
                found.append(ZeroSlices(path_of[masked], axis, count, zero.size, why))
    return found


def listed(found: list[ZeroSlices]) -> str:
    """Return a line that names the first few.

    Example:
        >>> listed([ZeroSlices("a/kernel", -1, 2, 8, "of its inputs")])
        "2 of 8 along axis -1 of 'a/kernel' (of its inputs)"
    """
    more = f"; and in {len(found) - _MOST} more weights" if len(found) > _MOST else ""
    return "; ".join(map(str, found[:_MOST])) + more


def _why(layer: keras.layers.Layer, weight: keras.Variable, axis: int) -> str:
    """Return what is special about slices of a weight along this axis, counted from 0."""
    axes = axes_of(layer, weight)
    if axis in axes.inputs:
        return "where its inputs lie"
    if axis not in (*axes.outputs, *axes.depthwise):
        return "no axis of channels, as far as is known"
    if axes.gates > 1:
        return f"where the {axes.gates} gates of its units lie side by side"
    if axes.groups > 1:
        return f"in {axes.groups} groups, which stay of one size"
    if len((*axes.outputs, *axes.depthwise)) > 1:
        return "parts of units that lie on several axes, such as heads"
    return "not zero in all that makes these channels, or kept by what uses them"
