"""RangedLayer: a layer that is several operations in a LiteRT file, with a range after each.

The wrapped layer keeps its weights, its class and its name. While it is called, the `call` of each
part that has an entry in `insides` is replaced by one that computes the same and rounds what LiteRT
rounds in between. Recurrent layers are unrolled meanwhile, as they are in the file.
"""

import contextlib
from collections.abc import Iterator
from functools import partial

import keras

from tfprune.keras_graph.private_keras import in_training
from tfprune.layer_classes.prunable import flatten
from tfprune.support.by_identity import ByIdentity
from tfprune.support.configurable import Config
from tfprune.support.tensors import Nest, Tensor
from tfprune.wrapping.ranges.activation_range import ActivationRange
from tfprune.wrapping.ranges.insides import Inside, inside_of
from tfprune.wrapping.ranges.transparent import TransparentLayer


@keras.saving.register_keras_serializable("tfprune")
class RangedLayer(TransparentLayer):
    """Round the values between the operations of one layer, to ranges that training learns.

    Args:
        layer: one of which `has_inside` says so, built or not.
        name: defaults to the name of the layer.

    Example:
        >>> layer = RangedLayer(keras.layers.Dense(2, activation="gelu"))
        >>> y = layer(keras.ops.ones((1, 3)), training=True)
        >>> [item.name for item in layer.inner_ranges]
        ['range_before']
    """

    def __init__(self, layer: keras.layers.Layer, *, name: str | None = None):
        super().__init__(layer, name=name)
        self.keeps_order = True  # of the weights of the layer
        self.inner_ranges: list[ActivationRange] = []
        if layer.built:
            self.build()

    def build(self, input_shape: object = None) -> None:
        """Create the ranges; build the layer first if needed."""
        if not self.layer.built:
            self.layer.build(input_shape)
        if not self.inner_ranges:
            for _, inside in self._insides():
                self.inner_ranges += [ActivationRange(name=f"range_{p}") for p in inside.points]
        for item in self.inner_ranges:
            if not item.built:
                item.build()
                item.built = True

    def _insides(self) -> list[tuple[keras.layers.Layer, Inside]]:
        parts = ((part, inside_of(part)) for part in flatten(self.layer))
        return [(part, inside) for part, inside in parts if inside is not None]

    def call(self, *args: Nest, **kwargs: Nest) -> Nest:
        seen: ByIdentity[ActivationRange, list[Tensor]] = ByIdentity()
        free = iter(self.inner_ranges)
        training = in_training(self)
        with contextlib.ExitStack() as stack:
            for part, inside in self._insides():
                points = {point: next(free) for point in inside.points}
                ranged = partial(_ranged, points, seen, training)
                stack.enter_context(_attribute(part, "call", partial(inside.call, part, ranged)))
            for part in flatten(self.layer):
                if isinstance(part, keras.layers.RNN):
                    stack.enter_context(_attribute(part, "unroll", True))
                    if hasattr(part, "use_cudnn"):
                        stack.enter_context(_attribute(part, "use_cudnn", False))
            outputs = self.layer(*args, **kwargs)
        if training:
            for item, tensors in seen.items():
                item.observe(tensors)
        return outputs

    def get_config(self) -> Config:
        return {"layer": keras.saving.serialize_keras_object(self.layer), "name": self.name}

    @classmethod
    def from_config(cls, config: Config, custom_objects: Config | None = None) -> "RangedLayer":
        deserialize = keras.saving.deserialize_keras_object
        return cls(deserialize(config["layer"], custom_objects=custom_objects), name=config["name"])


def has_inside(layer: keras.layers.Layer) -> bool:
    """Return whether the layer is several operations in a file, which need ranges in between.

    Example:
        >>> has_inside(keras.layers.LSTM(2)), has_inside(keras.layers.Dense(2))
        (True, False)
    """
    return any(inside_of(part) is not None for part in flatten(layer))


def ranges_in(model: keras.layers.Layer) -> list[ActivationRange]:
    """Return the ranges of a model, those inside layers too, each once.

    Example:
        >>> ranges_in(keras.layers.Dense(2))
        []
    """
    return [layer for layer in flatten(model) if isinstance(layer, ActivationRange)]


def _ranged(
    points: dict[str, ActivationRange],
    seen: ByIdentity[ActivationRange, list[Tensor]],
    training: bool,
    point: str,
    tensor: Tensor,
) -> Tensor:
    """Round a value inside a layer, and note it: a range follows all time steps of a batch.

    In the first batch, which sets the range at its end, values pass as they are.
    """
    item = points[point]
    seen.setdefault(item, []).append(tensor)
    rounded = item.rounded(tensor)
    return keras.ops.where(item.batches.value > 0, rounded, tensor) if training else rounded


@contextlib.contextmanager
def _attribute(owner: object, name: str, value: object) -> Iterator[None]:
    """Give an object an attribute of its own for a while, unseen by Keras."""
    own = vars(owner)
    had, before = name in own, own.get(name)
    object.__setattr__(owner, name, value)
    try:
        yield
    finally:
        if had:
            object.__setattr__(owner, name, before)
        else:
            object.__delattr__(owner, name)
