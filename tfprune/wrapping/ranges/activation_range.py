"""ActivationRange: a layer that rounds what passes to integers, and learns their range in training.

The range [low, high] follows the smallest and the largest value of each batch, as an exponential
moving average; the first batch sets it. It always contains 0, which int8 arithmetic needs exactly.
With n = 2^bits - 1 steps, s = (high - low) / n and the zero point z = round(-low / s),

    Q(x) = s (clip(round(x / s) + z, 0, n) - z)        dQ/dx = 1 inside the range, 0 outside

The rounding is Keras's `fake_quant_with_min_max_vars`, which on TensorFlow is the operation that
the converter to TFLite reads the range from.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018 (arXiv 1712.05877), section 3.1.
"""

import keras
from keras import ops

from tfprune.support.arrays import host_array
from tfprune.support.configurable import Config
from tfprune.support.tensors import Tensor
from tfprune.support.validation import require_integer

# What LiteRT's integer kernels give out, whatever was seen in training.
UNIT = (0.0, 255.0 / 256.0)  # softmax and sigmoid
SIGNED = (-1.0, 127.0 / 128.0)  # tanh

Interval = tuple[float, float]

_BEFORE_TRAINING = 6.0
_NARROWEST = 1e-4


@keras.saving.register_keras_serializable("tfprune")
class ActivationRange(keras.layers.Layer):
    """Round a tensor to the integers of its range, which follows what it sees in training.

    Args:
        bits: integer in [2, 16].
        momentum: of the moving average, in [0, 1).
        interval: a fixed (low, high) that is not learned; None to learn it.
        name: of the layer.

    Example:
        >>> middle = ActivationRange()
        >>> y = middle(ops.convert_to_tensor([[-1.0, 0.004, 1.55]]), training=True)
        >>> [round(float(each), 2) for each in ops.convert_to_numpy(y)[0]]
        [-1.0, 0.0, 1.55]
    """

    def __init__(
        self,
        *,
        bits: int = 8,
        momentum: float = 0.99,
        interval: Interval | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, dtype="float32", autocast=False, trainable=False)
        if require_integer("bits", bits, minimum=2) > 16:
            raise ValueError(f"`bits` must be in [2, 16]. Received: bits={bits!r}.")
        self.bits = bits
        self.momentum = momentum
        self.interval = None if interval is None else (float(interval[0]), float(interval[1]))
        self.supports_masking = True

    def build(self, input_shape: object = None) -> None:
        """Create the range, [-6, 6] before training, and the number of batches that it has seen."""
        if self.interval is None:
            self.low = self._add("low", -_BEFORE_TRAINING)
            self.high = self._add("high", _BEFORE_TRAINING)
            self.batches = self._add("batches", 0.0)

    def _add(self, name: str, value: float) -> keras.Variable:
        constant = keras.initializers.Constant(value)
        return self.add_weight(shape=(), initializer=constant, trainable=False, name=name)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if training:
            self.observe([inputs])
        return self.rounded(inputs)

    def observe(self, tensors: list[Tensor]) -> None:
        """Move the range towards the smallest and largest value of tensors of one batch."""
        if self.interval is not None:
            return
        exact = [ops.cast(ops.stop_gradient(tensor), "float32") for tensor in tensors]
        low = ops.min(ops.stack([ops.min(tensor) for tensor in exact]))
        high = ops.max(ops.stack([ops.max(tensor) for tensor in exact]))
        first = self.batches.value == 0
        share = ops.where(first, 1.0, 1.0 - self.momentum)
        self.low.assign(self.low + share * (ops.minimum(low, 0.0) - self.low))
        self.high.assign(self.high + share * (ops.maximum(high, _NARROWEST) - self.high))
        self.batches.assign(self.batches + 1.0)

    def rounded(self, inputs: Tensor) -> Tensor:
        """Return the inputs rounded to the range as it is."""
        low, high = self.interval or (self.low.value, self.high.value)
        return keras.quantizers.fake_quant_with_min_max_vars(inputs, low, high, num_bits=self.bits)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def compute_output_spec(self, inputs: Tensor, training: bool | None = None) -> object:
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    @property
    def was_observed(self) -> bool:
        """Whether the range is fixed, or was learned from at least one batch."""
        return self.interval is not None or bool(host_array(self.batches.value) > 0)

    def get_config(self) -> Config:
        options = {"bits": self.bits, "momentum": self.momentum, "interval": self.interval}
        return {**options, "name": self.name}


def rounded_to(inputs: Tensor, interval: Interval) -> Tensor:
    """Return the inputs rounded to 8 bits of a fixed range.

    Example:
        >>> float(rounded_to(ops.convert_to_tensor([0.501]), UNIT)[0])
        0.5
    """
    return keras.quantizers.fake_quant_with_min_max_vars(inputs, *interval)
