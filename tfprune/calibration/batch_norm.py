"""Re-estimating batch-normalization statistics: after pruning they are those of another network."""

import contextlib
import math
from collections.abc import Callable
from typing import cast

import keras
import numpy as np

from tfprune.calibration.example_source import ExampleSource
from tfprune.calibration.examples import AnyExamples
from tfprune.calibration.spies import replaced
from tfprune.layer_classes.prunable import flatten
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity
from tfprune.support.tensors import Data, Nest, Tensor
from tfprune.support.validation import require_integer, require_model

_Layers = list[keras.layers.BatchNormalization]


def refresh_batch_norm(
    model: keras.Model,
    data: Data | AnyExamples,
    *,
    examples: int | None = None,
    batch_size: int = 256,
) -> int:
    """Set the moving statistics of all batch normalizations to those of the data, in place.

    The model runs in training mode, as it did when the statistics were first estimated (dropout is
    active), and layers see each batch normalized by its own statistics. These become the mean and
    the variance of all that a layer has seen, over all batches and, where it is called several
    times, all calls; what a mask hides does not count. No other state changes, and nothing does
    before the last batch.

    Args:
        model: built model, pruned or plain.
        data: inputs, or (inputs, targets, ...); also batches of these, as in `tfprune.one_shot`.
            Inputs of a model that takes several are a list, tuple or dictionary of as many arrays.
        examples: most examples used, >= 2; None uses all.
        batch_size: examples in a batch, >= 2.

    Returns:
        The number of examples used; 0 if there is no batch normalization to refresh.

    Raises:
        TypeError: if `model` is not a `keras.Model`.
        ValueError: if the data has fewer than two examples or does not fit the model, or a
            statistic is not finite.

    Source: Li et al., "EagleEye: Fast Sub-net Evaluation for Efficient Neural Network Pruning",
    ECCV 2020 (arXiv 2007.02491), adaptive batch normalization.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])
        >>> refresh_batch_norm(model, np.full((8, 3), 5.0))
        8
        >>> keras.ops.convert_to_numpy(model.layers[0].moving_mean).tolist()
        [5.0, 5.0, 5.0]
    """
    require_integer("batch_size", batch_size, minimum=2)
    require_model("model", model)
    inputs = len(keras.tree.flatten(getattr(model, "inputs", None) or [None]))
    taken = ExampleSource(data, targets=False, inputs=inputs).take_varying(examples)
    norms = [
        layer
        for layer in flatten(model)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if not norms:
        return 0
    momenta = [layer.momentum for layer in norms]
    try:
        for layer in norms:
            layer.momentum = 0.0  # an update then gives the batch's own statistics
        statistics = _pooled(model, norms, taken, batch_size)
    finally:
        for layer, momentum in zip(norms, momenta):
            layer.momentum = momentum
    for layer, values in zip(norms, statistics):
        if not np.isfinite(values).all():
            raise ValueError(
                f"Batch statistics must be finite. Received: NaN or inf in '{layer.name}'."
            )
    for layer, (mean, variance) in zip(norms, statistics):
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
        if getattr(layer, "renorm", False):  # the variance is derived from it in further training
            layer.moving_stddev.assign(np.sqrt(variance + layer.epsilon))
    return taken.count


def _pooled(
    model: keras.Model, norms: _Layers, taken: AnyExamples, batch_size: int
) -> list[np.ndarray]:
    """Return (mean, variance) of the inputs of each layer: arrays (2, channels)."""
    # Batches of nearly equal size: the last one would otherwise be too small to tell a variance.
    batches = [
        part.take(index).x
        for part in taken.parts
        for index in np.array_split(np.arange(part.count), -(-part.count // batch_size))
    ]
    totals = [_Total(layer) for layer in norms]
    for batch in batches:
        x = keras.tree.map_structure(keras.ops.convert_to_tensor, batch)
        with contextlib.ExitStack() as stack:
            scope = stack.enter_context(_Noting())
            for total in totals:
                stack.enter_context(replaced(total.layer, call=total.added(scope)))
            model(x, training=True)
    return [total.result() for total in totals]


class _Noting(keras.StatelessScope):
    """Keeps assignments from the variables, and notes what each was given since it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.given: ByIdentity[keras.Variable, Tensor] = ByIdentity()

    def add_update(self, update: tuple[keras.Variable, Tensor]) -> None:
        super().add_update(update)
        variable, value = update
        self.given[variable] = value


class _Total:
    """The running sums of what one layer sees in training mode, over all its calls.

    Shared layers and those in a `TimeDistributed` are called several times a batch.
    """

    def __init__(self, layer: keras.layers.BatchNormalization):
        self.layer = layer
        size = tuple(layer.moving_mean.shape)
        self.count, self.first, self.second = (np.zeros(size) for _ in range(3))

    def added(self, scope: _Noting) -> Callable[..., Nest]:
        """Return the layer's `call`, which adds the statistics that it assigns, too."""
        original = self.layer.call

        def call(*args: Nest, **kwargs: Nest) -> Nest:
            outputs = original(*args, **kwargs)
            mean = scope.given.pop(self.layer.moving_mean, None)
            variance = scope.given.pop(self.layer.moving_variance, None)
            if mean is not None and variance is not None:  # as momentum is 0, those of this call
                inputs = cast(Tensor, args[0] if args else kwargs["inputs"])
                mask = cast(Tensor | None, kwargs.get("mask"))
                count = _entries(tuple(inputs.shape), self.layer.axis, mask)
                mean, variance = (host_array(v).astype(float) for v in (mean, variance))
                self.count += count
                self.first += count * mean
                self.second += count * (variance + mean**2)
            return outputs

        return call

    def result(self) -> np.ndarray:
        """Return (mean, variance); the layer's own where it has seen nothing."""
        seen, count = self.count > 0, np.maximum(self.count, 1)
        mean = self.first / count
        variance = np.maximum(self.second / count - mean**2, 0.0)
        own = (host_array(v) for v in (self.layer.moving_mean, self.layer.moving_variance))
        return np.stack([np.where(seen, *pair) for pair in zip((mean, variance), own)])


def _entries(shape: tuple[int, ...], axis: int, mask: Tensor | None) -> int | np.ndarray:
    """Return how many entries of each channel count: all that no mask hides."""
    if mask is None:
        return math.prod(shape) // max(shape[axis], 1)
    shown = np.broadcast_to(host_array(mask).astype(bool)[..., np.newaxis], shape)
    return np.moveaxis(shown, axis, -1).sum(axis=tuple(range(len(shape) - 1)))
