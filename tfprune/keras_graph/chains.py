"""Layers one behind the other that stand in the place of a single layer of a graph."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfprune.support.tensors import Nest, Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """What takes the place of a layer.

    Attributes:
        layers: new and not built, each called on the output of the one before it; none to take the
            layer out of the graph.
        weights: of each of these layers, its weights in the order of `layer.weights`.
        main: index of the one that gets what the replaced layer is called with besides its first
            argument (`initial_state`, `mask`).
    """

    layers: Sequence[keras.layers.Layer] = ()
    weights: Sequence[Sequence[np.ndarray]] = ()
    main: int = -1

    def __call__(self, inputs: Tensor, *others: Nest, **named: Nest) -> Nest:
        """Call the layers one after the other.

        Args:
            inputs: of the first.
            *others, **named: of the main one.
        """
        main = range(len(self.layers))[self.main] if self.layers else None
        outputs: Nest = inputs
        for index, layer in enumerate(self.layers):
            outputs = layer(outputs, *others, **named) if index == main else layer(outputs)
        return outputs

    def fill(self, trainable: bool) -> None:
        """Give the layers, which are built by now, their weights."""
        for layer, values in zip(self.layers, self.weights, strict=True):
            layer.set_weights(list(values))
            layer.trainable = layer.trainable and trainable


Chains = Mapping[keras.layers.Layer, Chain]


def sequential(
    model: keras.Sequential, layers: Sequence[keras.layers.Layer], inputs: Any
) -> keras.Sequential:
    """Return a Sequential model of other layers, with the inputs and the name of this one.

    Args:
        model: built.
        layers: what the new one consists of.
        inputs: symbolic tensor in the place of the model's own input; None for a new one like it.
    """
    tensor = model.inputs[0] if inputs is None else inputs
    like = keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)
    return keras.Sequential([like, *layers], name=model.name)
