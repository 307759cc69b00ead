"""Copies of networks that TensorFlow trains faster on a CPU, in mixed precision or as they are.

On one core with AMX a step of ResNet-20 at batch 128 takes 437 ms as the network is, 333 ms with
batch normalization in one operation, and 188 ms with bfloat16 between the layers as well. On one
that has AVX-512 alone these are 618, 383 and 593 ms (seen once, without a results file).
"""

import math
from typing import Any

import keras
import numpy as np

_MIXED = "mixed_bfloat16"
_FILTERS = 16  # of which a convolution gets a multiple
_ROUNDING = 0.1  # of the outputs' norm


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, whose batches of images are normalized by one operation of TensorFlow.

    The values are Keras's; sums are taken in another order.

    Example:
        >>> layer = FusedBatchNormalization()
        >>> images = keras.random.normal((2, 4, 4, 3))
        >>> usual = keras.layers.BatchNormalization()(images, training=True)
        >>> bool(keras.ops.max(abs(layer(images, training=True) - usual)) < 1e-5)
        True
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if mask is not None or len(inputs.shape) != 4 or self.axis not in (-1, 3):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        channels = inputs.shape[-1]
        learning = bool(training) and self.trainable
        moving = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            tf.ones(channels) if self.gamma is None else tf.convert_to_tensor(self.gamma),
            tf.zeros(channels) if self.beta is None else tf.convert_to_tensor(self.beta),
            *(() if learning else moving),
            epsilon=self.epsilon,
            is_training=learning,
        )
        if learning:
            count = tf.cast(tf.size(inputs) // channels, tf.float32)
            variance *= (count - 1) / count  # TensorFlow's is that of a sample
            self.moving_mean.assign(_moved(moving[0], mean, self.momentum))
            self.moving_variance.assign(_moved(moving[1], variance, self.momentum))
        return outputs


def _moved(average: Any, new: Any, momentum: float) -> Any:
    return average * momentum + keras.ops.stop_gradient(new) * (1 - momentum)


def require_tensorflow() -> None:
    """Raise a ValueError if Keras computes with another backend than TensorFlow."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(f"quick copies need TensorFlow. Received: {backend}")


def quick_copy(model: keras.Model, *, mixed: bool = True) -> keras.Model:
    """Return a copy that has its own variables, and normalizes batches in one operation.

    In mixed precision it computes in bfloat16, but for its outputs. Variables are float32 then,
    too, as batch statistics are. Convolutions get filters of zeros, up to a multiple of 16, for
    which there are faster kernels; what they make is zero, and stays so in training if activations
    make zero of zero. Where the network forbids that (channels side by side, shortcuts of other
    widths), they do not.

    Args:
        model: functional, of Keras's own layers.
        mixed: whether it is in mixed precision; the copy computes as the model does if not.

    Raises:
        ValueError: if Keras computes with another backend than TensorFlow.

    Example:
        >>> images = keras.Input((8, 8, 3))
        >>> hidden = keras.layers.Conv2D(4, 3)(images)
        >>> model = keras.Model(images, keras.layers.Conv2D(5, 1)(hidden))
        >>> copy = quick_copy(model)
        >>> [(layer.filters, layer.compute_dtype) for layer in copy.layers[1:]]
        [(16, 'bfloat16'), (5, 'float32')]
        >>> bring_back(copy, model)
    """
    require_tensorflow()
    if not mixed:
        return _copy(model, 1, None)
    try:
        copy = _copy(model, _FILTERS, _MIXED)
    except ValueError:  # layers that do not fit each other any more
        return _copy(model, 1, _MIXED)
    return copy if _alike(copy, model) else _copy(model, 1, _MIXED)


def _copy(model: keras.Model, multiple: int, policy: str | None) -> keras.Model:
    """Return the copy whose convolutions have a multiple of so many filters.

    Args:
        model: what is copied.
        multiple: of filters.
        policy: of all layers between inputs and outputs; None: their own.
    """

    def quick(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        ends = isinstance(layer, keras.layers.InputLayer) or layer.name in model.output_names
        if policy and not ends and "dtype" in config:  # operations have none
            config["dtype"] = policy
        if not ends and isinstance(layer, keras.layers.Conv2D):
            config["filters"] = math.ceil(layer.filters / multiple) * multiple
        usual = type(layer) is keras.layers.BatchNormalization
        return (FusedBatchNormalization if usual else type(layer)).from_config(config)

    copy = keras.models.clone_model(model, clone_function=quick)
    pairs = zip(model.variables, copy.variables, strict=True)
    copy.set_weights([_padded(own.numpy(), new.shape, own.name) for own, new in pairs])
    return copy


def bring_back(copy: keras.Model, model: keras.Model) -> None:
    """Give a model the weights of its quick copy.

    Raises:
        ValueError: if filters of zeros have learnt something, as behind an activation that makes
            something else of zero.
    """
    weights = []
    for own, new in zip(model.variables, copy.variables, strict=True):
        value = new.numpy()
        weights.append(value[tuple(map(slice, own.shape))])
        if own.trainable and np.count_nonzero(value) != np.count_nonzero(weights[-1]):
            raise ValueError(
                f"`copy` must have zeros behind the weights of the model. Received: {new.path}, of "
                f"shape {value.shape}, with others behind those of {tuple(own.shape)}"
            )
    model.set_weights(weights)


def _padded(array: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return an array with zeros behind, or ones, which variances are divided by."""
    more = [(0, wanted - own) for own, wanted in zip(array.shape, shape, strict=True)]
    return np.pad(array, more, constant_values=float(name == "moving_variance"))


def _alike(copy: keras.Model, model: keras.Model) -> bool:
    """Return whether a copy computes what the model does, but for rounding."""
    x = np.random.default_rng(0).normal(size=(8, *model.input_shape[1:])).astype("float32")
    mine, own = (np.asarray(each(x, training=False)) for each in (copy, model))
    return bool(np.linalg.norm(mine - own) < _ROUNDING * np.linalg.norm(own))
