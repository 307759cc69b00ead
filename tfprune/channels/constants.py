"""What removed channels leave behind: a constant that the next layer's bias can take over.

A channel whose kernels are zero is not zero: its bias and its batch normalization still make
act(beta - gamma * mean / sigma) of it. Where every place that a layer reads has this constant, the
layer's bias takes it over. It cannot where padding puts zeros beside it, or there is no bias.
"""

import keras
import numpy as np

from tfprune.channels.coupling.ledger import Labels
from tfprune.channels.coupling.reading import Reading
from tfprune.channels.gating import gated
from tfprune.channels.kept import Kept
from tfprune.channels.samples import random_inputs
from tfprune.keras_graph.private_keras import Node
from tfprune.support.arrays import host_array


def folded(reading: Reading, kept: Kept) -> dict[int, np.ndarray]:
    """Return id of a bias -> its value with the constants of removed channels in it.

    Only channels whose kernels are zero already have constants; a live channel leaves nothing.
    """
    dead = _dead(reading, kept)
    if not dead.any():
        return {}
    seen: dict[keras.layers.Layer, list[tuple[Node, np.ndarray]]] = {}

    def see(node: Node, inputs: list[object]) -> None:
        layer = node.operation
        if _takes_over(layer) and len(inputs) == 1:
            seen.setdefault(layer, []).append((node, host_array(inputs[0])))

    nothing = Kept(kept.settled, np.zeros(0, int))
    gated(reading, nothing, random_inputs(reading.model), see=see)
    found: dict[int, np.ndarray] = {}
    for layer, calls in seen.items():
        added = [_added(reading, kept, dead, layer, values) for _, values in calls]
        known = [value for value in added if value is not None]
        if len(known) == len(added) and all(np.array_equal(value, known[0]) for value in known):
            if known[0].any():
                found[id(layer.bias)] = host_array(layer.bias.value) + known[0]
    return found


def unfolded(reading: Reading, kept: Kept) -> list[str]:
    """Return the names of layers that read a removed constant which their bias cannot take over."""
    dead = _dead(reading, kept)
    if not dead.any():
        return []
    taken = folded(reading, kept)
    names: list[str] = []

    def see(node: Node, inputs: list[object]) -> None:
        layer = node.operation
        for lies in reading.book.weights:
            if lies.layer is layer and lies.reads and layer.name not in names:
                bias = getattr(layer, "bias", None)
                if id(bias) in taken or len(inputs) != 1:
                    continue
                gone = ~kept.mask(lies.labels) & dead[kept.settled.of(lies.labels)]
                values = host_array(inputs[0])
                if gone.any() and gone.size == values.shape[-1] and values[..., gone].any():
                    names.append(layer.name)

    gated(reading, Kept(kept.settled, np.zeros(0, int)), random_inputs(reading.model), see=see)
    return names


def _dead(reading: Reading, kept: Kept) -> np.ndarray:
    """Return root -> whether the channel goes and everything that makes it is zero."""
    made = np.zeros(kept.settled.roots.size, bool)
    live = np.zeros(kept.settled.roots.size, bool)
    for lies in reading.book.weights:
        if lies.makes and not kept.mask(lies.labels).all():
            others = tuple(axis for axis in range(len(lies.weight.shape)) if axis != lies.axis)
            roots = kept.settled.of(lies.labels)
            made[roots] = True
            live[roots[(host_array(lies.weight.value) != 0).any(axis=others)]] = True
    gone = np.zeros(kept.settled.roots.size, bool)
    gone[kept.removed] = True
    return made & ~live & gone


def _takes_over(layer: keras.layers.Layer) -> bool:
    """Return whether a constant input of the layer is a constant beside its bias everywhere."""
    if type(layer) is keras.layers.Dense:
        return layer.bias is not None
    kinds = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
    if type(layer) not in kinds or layer.bias is None or layer.groups != 1:
        return False
    single = all(size == 1 for size in layer.kernel_size)
    first = layer.data_format == "channels_first"
    return (layer.padding == "valid" or single) and not first


def _added(
    reading: Reading, kept: Kept, dead: np.ndarray, layer: keras.layers.Layer, values: np.ndarray
) -> np.ndarray | None:
    """Return what removed constants add to each output; None if they are not constant."""
    labels = _read(reading, layer)
    if labels is None:
        return None
    gone = dead[kept.settled.of(labels)]
    places = values.reshape(-1, values.shape[-1])[:, gone]
    if not (places == places[:1]).all():
        return None
    kernel = host_array(layer.kernel.value)
    summed = kernel.reshape(-1, *kernel.shape[-2:]).sum(axis=0, dtype=float)  # over positions
    return (places[0].astype(float) @ summed[gone]).astype(kernel.dtype)


def _read(reading: Reading, layer: keras.layers.Layer) -> Labels | None:
    """Return the labels along the input axis of a layer's kernel."""
    for lies in reading.book.weights:
        if lies.layer is layer and lies.reads:
            return lies.labels
    return None
