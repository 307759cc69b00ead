"""Gates of channels, without gates: what the gradients of a training step say of every channel.

A gate multiplies what a layer makes of a channel. Behind a batch normalization that only this layer
goes to, its gradient is gamma dL/dgamma + beta dL/dbeta. Where there is none, the gate stands
behind the layer itself, and its gradient is the sum of w dL/dw over the weights that make the
channel and its bias. That leaves out what goes through a batch normalization further on, behind a
sum or a concatenation: it divides by the size of the channel, so that the gradient through it is 0.
A second gate stands behind it, at the same value, and so behind a group normalization, whose groups
go as a whole. All gradients of a channel are added up. In recurrent layers the weights of all gates
of a unit are scaled together.
"""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np

from tfprune.channels.coupling.book import WeightLabels
from tfprune.channels.coupling.call_site import kind_of
from tfprune.channels.coupling.groups import Group
from tfprune.channels.coupling.ledger import Settled
from tfprune.channels.coupling.reading import Reading
from tfprune.keras_graph.coupling import batch_norm_of
from tfprune.support.by_identity import ByIdentity, each_once
from tfprune.support.tensors import Tensor

_SCALELESS = "divides by its size, and has no scale that is trained"
_OVER_AXES = ("LayerNormalization", "RMSNormalization", "UnitNormalization")


@dataclasses.dataclass(frozen=True)
class ChannelAxis:
    """One axis of a weight, and the channels along it.

    Attributes:
        weight: variable.
        axis: of it.
        roots: of the channels, one for each place along the axis; 0 where none is followed.
    """

    weight: keras.Variable
    axis: int
    roots: np.ndarray

    def sums(self, values: Tensor) -> Tensor:
        """Return the sums of values, of the weight's shape, along all other axes, in float32."""
        others = [axis for axis in range(len(values.shape)) if axis != self.axis]
        return keras.ops.sum(keras.ops.cast(values, "float32"), axis=others)

    def expand(self, by_root: Tensor) -> Tensor:
        """Return a value for each place, of a value for each root, to multiply the weight with."""
        shape = [-1 if axis == self.axis else 1 for axis in range(len(self.weight.shape))]
        return keras.ops.reshape(keras.ops.take(by_root, self.roots), shape)


@dataclasses.dataclass(frozen=True)
class Gates:
    """The weights whose gradients give those of the gates.

    Attributes:
        axes: where channels lie in them.
        unscored: root -> why the gradients of a channel do not tell what it is worth, or training
            cannot hold it at zero.
    """

    axes: list[ChannelAxis]
    unscored: dict[int, str]


def find_gates(reading: Reading, settled: Settled) -> Gates:
    """Return the gates of a model's channels.

    Args:
        reading: of the model.
        settled: its channels.

    Example:
        >>> from tfprune.channels.coupling.reading import read
        >>> reading = read(keras.Sequential([keras.Input((3,)),
        ...     keras.layers.Dense(4, name="a"), keras.layers.BatchNormalization(name="norm"),
        ...     keras.layers.Dense(2, name="b")]))
        >>> gates = find_gates(reading, reading.book.ledger.settle())
        >>> [axis.weight.name for axis in gates.axes]
        ['gamma', 'beta', 'kernel', 'bias']
    """
    norms = batch_norm_of(reading.model)
    kernels = [product.kernel for product in reading.book.products]
    products = each_once(kernel for kernel in kernels if kernel is not None)
    norm_of: dict[object, keras.layers.BatchNormalization | None] = {}
    for lies in reading.book.weights:
        if lies.makes:
            norm_of.setdefault(lies.layer, norms.get(lies.weight))
    behind = {norm for norm in norm_of.values() if norm is not None}
    unscored: dict[int, str] = {}
    found: list[WeightLabels] = []
    for lies in reading.book.weights:
        layer, why = lies.layer, ""
        batch_norm = isinstance(layer, keras.layers.BatchNormalization)
        is_norm = batch_norm or isinstance(layer, keras.layers.GroupNormalization)
        bare = layer in norm_of and norm_of[layer] is None
        own = bare and (lies.makes or not lies.reads and lies.weight not in products)
        own = own or (layer in behind and not lies.is_statistic)
        if own and not lies.weight.trainable:
            why = f"'{layer.name}' is not trained"
        elif _scaleless(layer):
            why = f"'{layer.name}' {_SCALELESS}"
        elif norm_of.get(layer) is None and _shifts(lies, products) and not lies.weight.trainable:
            why = f"'{layer.name}' is not trained, and what it adds to zeros would stay"
        elif batch_norm and not layer.trainable and layer not in behind:
            why = f"'{layer.name}' is not trained, and what it makes of zeros would stay"
        if why:
            unscored |= dict.fromkeys(np.unique(settled.of(lies.labels)).tolist(), why)
        elif lies.weight.trainable and (own or is_norm):
            found.append(lies)
    return Gates(_each_axis_once(found, settled), unscored | _divided(reading, settled))


def _shifts(lies: WeightLabels, products: ByIdentity[keras.Variable, None]) -> bool:
    """Return whether a weight is added to channels that come in: a bias, or beta."""
    vector = len(lies.weight.shape) == 1 and not lies.reads and not lies.makes
    scales = lies.weight is getattr(lies.layer, "gamma", None)
    return vector and not (scales or lies.is_statistic or lies.weight in products)


def _scaleless(layer: object) -> bool:
    """Return whether a layer divides channels by their own size, and has no trained scale."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return layer.trainable and not layer.scale  # else it divides by what it knows
    return isinstance(layer, keras.layers.GroupNormalization) and not (
        layer.scale and layer.trainable
    )


def _divided(reading: Reading, settled: Settled) -> dict[int, str]:
    """Return root -> why, of channels that are divided by their own size and not scaled after."""
    found: dict[int, str] = {}
    for node, outputs in reading.outputs.items():
        layer = node.operation
        axes: tuple[int, ...] = ()
        if kind_of(layer) in _OVER_AXES:
            given = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
            axes = tuple(axis % (outputs[0].ndim + 1) - 1 for axis in given)
        elif not _scaleless(layer):
            continue
        (labels,) = outputs
        if any(size > 1 and axis not in axes for axis, size in enumerate(labels.shape)):
            roots = np.unique(settled.of(labels.ravel())).tolist()
            found |= dict.fromkeys(roots, f"'{layer.name}' {_SCALELESS}")
    return found


def with_unscored_frozen(group: Group, gates: Gates) -> Group:
    """Return the group with those channels frozen that gates say nothing of."""
    reasons = tuple(
        reason or gates.unscored.get(root, "")
        for reason, root in zip(group.frozen, group.channels.tolist())
    )
    return dataclasses.replace(group, frozen=reasons)


def scaling_axes(reading: Reading, settled: Settled) -> list[ChannelAxis]:
    """Return where channels lie in what makes, shifts or scales them, and not in what reads them.

    With these at zero a channel is zero, in training too. Statistics are left out.
    """
    own = each_once(reading.model.trainable_variables)
    found = [lies for lies in reading.book.weights if not lies.reads and lies.weight in own]
    return _each_axis_once(found, settled)


def gate_gradients(
    axes: Sequence[ChannelAxis], gradients: ByIdentity[keras.Variable, Tensor], size: int
) -> Tensor:
    """Return the gradient of the gate of every channel, by root.

    Args:
        axes: of `Gates`.
        gradients: weight -> gradient of the loss; weights without one do not count.
        size: number of roots.
    """
    known = [axis for axis in axes if gradients.get(axis.weight) is not None]
    sums = [
        axis.sums(axis.weight.value * keras.ops.convert_to_tensor(gradients[axis.weight]))
        for axis in known
    ]
    if not sums:
        return keras.ops.zeros((size,))
    roots = np.concatenate([axis.roots for axis in known])
    return keras.ops.segment_sum(keras.ops.concatenate(sums), roots, num_segments=size)


def _each_axis_once(found: list[WeightLabels], settled: Settled) -> list[ChannelAxis]:
    done: ByIdentity[keras.Variable, set[int]] = ByIdentity()
    axes = []
    for lies in found:
        if lies.labels.any() and lies.axis not in done.setdefault(lies.weight, set()):
            done[lies.weight].add(lies.axis)
            axes.append(ChannelAxis(lies.weight, lies.axis, settled.of(lies.labels)))
    return axes
