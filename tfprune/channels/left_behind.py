"""What removed channels leave behind: a constant that the next layer can take over.

A channel whose kernels are zero is not zero: its bias and its batch normalization still make
act(beta - gamma * mean / sigma) of it. A layer that reads it has this constant times its kernel in
every output, which its bias takes over, or the moving mean of the batch normalization behind it.
That is exact where all places that the layer reads have the constant. Where padding puts zeros
beside it, the outputs at the border differ: the constant in the middle is taken over, and the layer
is named by `Constants.inexact`.
"""

import dataclasses

import keras
import numpy as np

from tfprune.channels.coupling.ledger import Labels, Settled
from tfprune.channels.coupling.reading import Reading
from tfprune.channels.gating import gated
from tfprune.channels.kept import Kept
from tfprune.channels.samples import random_inputs
from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.coupling import batch_norm_of
from tfprune.keras_graph.private_keras import Node
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity
from tfprune.support.tensors import Tensor


@dataclasses.dataclass(frozen=True)
class Constants:
    """What is taken over, and what cannot be.

    Attributes:
        values: bias or moving mean -> its value with the constants in it.
        inexact: names of layers that read a removed constant beside padding, or have nothing that
            could take it over.
    """

    values: ByIdentity[keras.Variable, np.ndarray]
    inexact: tuple[str, ...] = ()


def zero_channels(reading: Reading, settled: Settled) -> np.ndarray:
    """Return for each root whether all that makes the channel is zero."""
    made = np.zeros(settled.roots.size, bool)
    live = np.zeros(settled.roots.size, bool)
    for lies in reading.book.weights:
        if lies.makes:
            roots = settled.of(lies.labels)
            others = tuple(axis for axis in range(len(lies.weight.shape)) if axis != lies.axis)
            made[roots] = True
            live[roots[(host_array(lies.weight.value) != 0).any(axis=others)]] = True
    made[0] = False
    return made & ~live


def constants(reading: Reading, kept: Kept) -> Constants:
    """Return what the channels that go leave behind.

    Only channels whose kernels are zero leave something; of a live channel nothing is left.
    """
    settled = kept.settled
    gone = np.zeros(settled.roots.size, bool)
    gone[kept.removed] = True
    gone &= zero_channels(reading, settled)
    if not gone.any():
        return Constants(ByIdentity())
    loud = _shifted(reading, settled)
    labels_of = _labels_of_tensors(reading)
    readers = _readers(reading, settled, gone)
    seen: dict[keras.layers.Layer, list[list[np.ndarray]]] = {}

    def see(node: Node, inputs: list[Tensor]) -> None:
        arrays = [host_array(item) for item in inputs]
        for tensor, array in zip(node.input_tensors, arrays):
            roots = settled.of(labels_of[tensor])
            if gone[roots].any():
                same = tuple(at + 1 for at, size in enumerate(roots.shape) if size == 1)
                nonzero = (array != 0).any(axis=(0, *same), keepdims=True)[0]
                loud[roots[nonzero]] = True
        if node.operation in readers:
            seen.setdefault(node.operation, []).append(arrays)

    nothing = Kept(settled, np.zeros(0, int))
    gated(reading, nothing, random_inputs(reading.model), see=see)
    readers = _readers(reading, settled, gone & loud)
    seen = {layer: calls for layer, calls in seen.items() if layer in readers}
    norms = batch_norm_of(reading.model)
    values: ByIdentity[keras.Variable, np.ndarray] = ByIdentity()
    inexact = [layer.name for layer in readers if layer not in seen]  # inside of wrappers
    for layer, calls in seen.items():
        left = _left(layer, calls, readers[layer])
        if left is None:
            inexact.append(layer.name)
            continue
        added, exact = left
        if not added.any():
            continue
        norm = norms.get(layer.kernel.path)
        if layer.bias is not None:
            values[layer.bias] = host_array(layer.bias.value) + added
        elif norm is not None and _is_next(reading, layer, norm):
            values[norm.moving_mean] = host_array(norm.moving_mean.value) - added
        else:
            exact = False
        if not exact:
            inexact.append(layer.name)
    return Constants(values, tuple(inexact))


def _shifted(reading: Reading, settled: Settled) -> np.ndarray:
    """Return for each root whether anything makes, shifts or scales the channel, statistics apart.

    A channel of which nothing does is zero inside of its layers (units, heads) as well.
    """
    found = np.zeros(settled.roots.size, bool)
    for lies in reading.book.weights:
        statistics: tuple[keras.Variable, ...] = ()
        if isinstance(lies.layer, keras.layers.BatchNormalization):
            statistics = (lies.layer.moving_mean, lies.layer.moving_variance)
        if not lies.reads and all(lies.weight is not own for own in statistics):
            others = tuple(axis for axis in range(len(lies.weight.shape)) if axis != lies.axis)
            nonzero = (host_array(lies.weight.value) != 0).any(axis=others)
            found[settled.of(lies.labels)[nonzero]] = True
    return found


def _labels_of_tensors(reading: Reading) -> dict[keras.KerasTensor, Labels]:
    """Return the labels of every tensor of the graph, those inside of nested models too."""
    found: dict[keras.KerasTensor, Labels] = {}
    for model, labels in reading.inputs.items():
        graph = graph_of(model)
        assert graph is not None
        found.update(zip(graph.inputs, labels))
    for node, labels in reading.outputs.items():
        found.update(zip(node.output_tensors, labels))
    return found


def _readers(
    reading: Reading, settled: Settled, gone: np.ndarray
) -> dict[keras.layers.Layer, np.ndarray]:
    """Return each layer that reads channels that go -> which of its inputs they are."""
    return {
        lies.layer: gone[settled.of(lies.labels)]
        for lies in reading.book.weights
        if lies.reads and gone[settled.of(lies.labels)].any()
    }


def _left(
    layer: keras.layers.Layer, calls: list[list[np.ndarray]], gone: np.ndarray
) -> tuple[np.ndarray, bool] | None:
    """Return what constants add to each output, and whether everywhere; None if it is not known.

    It is not known of channels that lie inside the layer, on another axis, or in several inputs.
    """
    if any(len(inputs) > 1 or inputs[0].shape[-1] != gone.size for inputs in calls):
        return None
    if not any(inputs[0][..., gone].any() for inputs in calls):
        return np.zeros(1), True
    kinds = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
    plain = type(layer) in kinds and getattr(layer, "data_format", "") != "channels_first"
    if not plain or getattr(layer, "groups", 1) != 1 or len(calls) != 1:
        return None
    values = calls[0][0][..., gone]
    middle = values[0][tuple(size // 2 for size in values.shape[1:-1])]
    same = (values == middle).all()
    padded = getattr(layer, "padding", "valid") != "valid"
    single = all(size == 1 for size in getattr(layer, "kernel_size", ()))
    kernel = host_array(layer.kernel.value)
    summed = kernel.reshape(-1, *kernel.shape[-2:]).sum(axis=0, dtype=float)  # over positions
    added = (middle.astype(float) @ summed[gone]).astype(kernel.dtype)
    return added, bool(same) and (single or not padded)


def _is_next(
    reading: Reading, layer: keras.layers.Layer, norm: keras.layers.BatchNormalization
) -> bool:
    """Return whether the normalization takes what the layer makes itself, and no function of it."""
    made = {
        tensor
        for node in reading.outputs
        if node.operation is layer
        for tensor in node.output_tensors
    }
    taken = [
        tensor
        for node in reading.outputs
        if node.operation is norm
        for tensor in node.input_tensors
    ]
    linear = getattr(layer.activation, "__name__", "") == "linear"
    return linear and all(tensor in made for tensor in taken)
