"""Weights of few values that are rounded besides: entries of one value go on sharing it."""

import dataclasses
from typing import Protocol

import keras
import numpy as np

from tfprune.compression.clustering.sharing import MOST_LEVELS, LevelsOfWeight, SharedValues
from tfprune.compression.output_channels import channel_axes
from tfprune.layer_classes.prunable import owned_weights
from tfprune.support.arrays import host_array
from tfprune.support.configurable import Config, Configurable
from tfprune.support.tensors import OfTensor, Tensor
from tfprune.wrapping.plans import Quantizer
from tfprune.wrapping.pruned_layer import pruned_layers


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class LevelsKept(Configurable):
    """Lets weights of one value share it, then rounds them; the `quantizer` of a `PrunedLayer`.

    Args:
        shared: which weights share values.
        rounding: what rounds them.

    Example:
        >>> layer = keras.layers.Dense(2)
        >>> layer.build((None, 3))
        >>> _ = layer.kernel.assign([[1.0, 1.0], [2.0, 1.0], [2.0, 2.0]])
        >>> LevelsKept.of(layer, SharedValues(2, False)).shared.levels
        (2,)
    """

    shared: SharedValues
    rounding: Quantizer

    @classmethod
    def of(cls, layer: keras.layers.Layer, rounding: Quantizer) -> "LevelsKept":
        """Return what keeps the levels that the weights of a layer have."""
        levels: list[int | None] = []
        channels: list[tuple[int, ...]] = []
        for part, weight in owned_weights(layer):
            value = host_array(weight.value)
            found = {axes: _most(value, axes) for axes in ((), channel_axes(part, weight))}
            axes = next((axes for axes, count in found.items() if count <= MOST_LEVELS), None)
            levels.append(None if axes is None else max(2, found[axes]))
            channels.append(axes or ())
        return cls(SharedValues(tuple(levels), tuple(channels)), rounding)

    def assign(self, layer: keras.layers.Layer) -> list[OfTensor | None]:
        """Return the rounding of each prunable weight of a layer."""
        pairs = zip(self.shared.assign(layer), self.rounding.assign(layer), strict=True)
        return [
            _Both(first, then) if isinstance(first, LevelsOfWeight) and then else then
            for first, then in pairs
        ]

    def get_config(self) -> Config:
        serialize = keras.saving.serialize_keras_object
        return {"shared": serialize(self.shared), "rounding": serialize(self.rounding)}

    @classmethod
    def from_config(cls, config: Config) -> "LevelsKept":
        """Return it from the config of another."""
        return cls(**{k: keras.saving.deserialize_keras_object(v) for k, v in config.items()})


def settle(model: keras.Model) -> None:
    """Let entries share a value that have the same now, in all weights whose levels are kept."""
    for layer in pruned_layers(model):
        for own in layer.pruned:
            if isinstance(own.rounding, _Both):
                value = host_array(own.weight.value) * host_array(own.mask.value)
                own.rounding.levels.begin_at(value)


class _Add(Protocol):
    """What adds a variable to a layer."""

    def __call__(self, name: str, **options: object) -> keras.Variable: ...


class _Both:
    """One rounding after the other."""

    def __init__(self, levels: LevelsOfWeight, then: OfTensor):
        self.levels = levels
        self._then = then

    def build(self, add: _Add) -> None:
        """Add what the levels keep."""
        self.levels.build(add)

    def __call__(self, value: Tensor) -> Tensor:
        return self._then(self.levels(value))


def _most(value: np.ndarray, axes: tuple[int, ...]) -> int:
    """Return the largest number of different values in a channel."""
    order = (*axes, *(axis for axis in range(value.ndim) if axis not in axes))
    rows = int(np.prod([value.shape[axis] for axis in axes]))
    ascending = np.sort(value.transpose(order).reshape(rows, -1), axis=1)
    return int((np.diff(ascending, axis=1) != 0).sum(axis=1).max(initial=0)) + 1
