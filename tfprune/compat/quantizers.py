"""The quantizers and the `QuantizeConfig` of tensorflow-model-optimization, over Keras 3.

Weights: `LastValueQuantizer` and its kin round to the range that the weight has at the moment.
Activations: a quantizer says how many bits the range after the layer has; the range itself is an
`ActivationRange`. Subclasses of `Quantizer` are called as there, with the weights that their
`build` has made.
"""

import abc
from typing import Any

import keras
from keras import ops

from tfprune.support.configurable import Config
from tfprune.support.tensors import Tensor
from tfprune.support.validation import require_flag, require_integer


class Quantizer(abc.ABC):
    """How a tensor is rounded in training.

    Example:
        >>> class FixedRange(Quantizer):
        ...     def build(self, tensor_shape, name, layer):
        ...         return {}
        ...     def __call__(self, inputs, training, weights, **kwargs):
        ...         return ops.clip(inputs, -1.0, 1.0)
        ...     def get_config(self):
        ...         return {}
    """

    @abc.abstractmethod
    def build(self, tensor_shape: Any, name: str, layer: keras.layers.Layer) -> dict[str, Any]:
        """Return name -> variable that the quantizer needs, made with `layer.add_weight`."""

    @abc.abstractmethod
    def __call__(
        self, inputs: Tensor, training: bool, weights: dict[str, Any], **kwargs: Any
    ) -> Tensor:
        """Return the rounded tensor."""

    @abc.abstractmethod
    def get_config(self) -> Config:
        """Return the arguments of the constructor."""

    @classmethod
    def from_config(cls, config: Config) -> "Quantizer":
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(sorted(vars(self).items())))


class _RangeQuantizer(Quantizer):
    """Rounds to the range of the tensor at hand.

    Args:
        num_bits: integer in [2, 16].
        per_axis: whether each entry of the last axis has a range of its own.
        symmetric: whether the range reaches as far below 0 as above.
        narrow_range: whether the lowest integer is left out, so that 0 is in the middle.
    """

    def __init__(self, num_bits: int, per_axis: bool, symmetric: bool, narrow_range: bool):
        if require_integer("num_bits", num_bits, minimum=2) > 16:
            raise ValueError(f"`num_bits` must be in [2, 16]. Received: num_bits={num_bits!r}.")
        self.num_bits = num_bits
        self.per_axis = require_flag("per_axis", per_axis)
        self.symmetric = require_flag("symmetric", symmetric)
        self.narrow_range = require_flag("narrow_range", narrow_range)

    def build(self, tensor_shape: Any, name: str, layer: keras.layers.Layer) -> dict[str, Any]:
        return {}

    def __call__(
        self, inputs: Tensor, training: bool, weights: dict[str, Any], **kwargs: Any
    ) -> Tensor:
        axes = tuple(range(len(inputs.shape) - 1)) if self.per_axis else None
        exact = ops.stop_gradient(inputs)
        low = ops.minimum(ops.min(exact, axis=axes), 0.0)
        high = ops.maximum(ops.max(exact, axis=axes), 1e-6)
        if self.symmetric:
            high = ops.maximum(-low, high)
            # Without the narrow range there is one more integer below 0 than above.
            step = high / (2 ** (self.num_bits - 1) - 1)
            low = -high if self.narrow_range else -high - step
        return keras.quantizers.fake_quant_with_min_max_vars(
            inputs,
            low,
            high,
            num_bits=self.num_bits,
            narrow_range=self.narrow_range,
            axis=-1 if self.per_axis else None,
        )

    def get_config(self) -> Config:
        return dict(vars(self))


@keras.saving.register_keras_serializable("tfprune_tfmot")
class LastValueQuantizer(_RangeQuantizer):
    """Rounds to the range of the last batch."""


@keras.saving.register_keras_serializable("tfprune_tfmot")
class MovingAverageQuantizer(_RangeQuantizer):
    """Rounds to a range that follows the batches; of a weight, to its own."""


@keras.saving.register_keras_serializable("tfprune_tfmot")
class AllValuesQuantizer(_RangeQuantizer):
    """Rounds to a range that follows the batches, as the moving average does; there, to all."""


class QuantizeConfig(abc.ABC):
    """How a layer is rounded: which weights, by what, and whether what comes out is.

    `set_quantize_weights` and `set_quantize_activations` are part of the interface and are not
    called: weights are rounded where the layer reads them, whatever its attributes.
    """

    @abc.abstractmethod
    def get_weights_and_quantizers(self, layer: keras.layers.Layer) -> list[tuple[Any, Quantizer]]:
        """Return (variable of the layer, quantizer) for each weight that is rounded."""

    @abc.abstractmethod
    def get_activations_and_quantizers(
        self, layer: keras.layers.Layer
    ) -> list[tuple[Any, Quantizer]]:
        """Return (activation of the layer, quantizer) for each that is rounded."""

    @abc.abstractmethod
    def set_quantize_weights(self, layer: keras.layers.Layer, quantize_weights: list[Any]) -> None:
        """Part of the interface; not called."""

    @abc.abstractmethod
    def set_quantize_activations(
        self, layer: keras.layers.Layer, quantize_activations: list[Any]
    ) -> None:
        """Part of the interface; not called."""

    @abc.abstractmethod
    def get_output_quantizers(self, layer: keras.layers.Layer) -> list[Quantizer]:
        """Return the quantizer of what the layer gives out, none or one."""

    @abc.abstractmethod
    def get_config(self) -> Config:
        """Return the arguments of the constructor."""

    @classmethod
    def from_config(cls, config: Config) -> "QuantizeConfig":
        return cls(**config)
