"""Re-estimating batch-normalization statistics: after pruning they are those of another network."""

import keras
import numpy as np

from tfprune.calibration.examples import Examples, ExampleSource
from tfprune.layer_classes.prunable import flatten
from tfprune.support.tensors import Data, Tensor
from tfprune.support.validation import require_integer, require_model

_Layers = list[keras.layers.BatchNormalization]


def refresh_batch_norm(
    model: keras.Model, data: Data | Examples, *, examples: int | None = None, batch_size: int = 256
) -> int:
    """Set the moving statistics of all batch normalizations to those of the data, in place.

    The model runs in training mode, as it did when the statistics were first estimated (dropout is
    active), and layers see each batch normalized by its own statistics. Means are averaged over
    batches, variances are pooled. No other state changes, and nothing does before the last batch.

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
    taken = ExampleSource(data, targets=False, inputs=inputs).take(examples)
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
    return taken.count


def _pooled(
    model: keras.Model, norms: _Layers, taken: Examples, batch_size: int
) -> list[np.ndarray]:
    """Return (mean, variance) of the inputs of each layer: arrays (2, channels)."""
    # Batches of nearly equal size: the last one would otherwise be too small to tell a variance.
    batches = np.array_split(np.arange(taken.count), -(-taken.count // batch_size))
    first = [np.zeros(layer.moving_mean.shape) for layer in norms]
    second = [np.zeros(layer.moving_mean.shape) for layer in norms]
    for index in batches:
        x = keras.tree.map_structure(keras.ops.convert_to_tensor, taken.take(index).x)
        with keras.StatelessScope() as scope:
            model(x, training=True)
        for place, layer in enumerate(norms):
            mean, variance = (
                np.asarray(keras.ops.convert_to_numpy(_seen(scope, variable)), np.float64)
                for variable in (layer.moving_mean, layer.moving_variance)
            )
            first[place] += mean * len(index)
            second[place] += (variance + mean**2) * len(index)
    means = [total / taken.count for total in first]
    return [
        np.stack([mean, np.maximum(total / taken.count - mean**2, 0.0)])
        for mean, total in zip(means, second)
    ]


def _seen(scope: keras.StatelessScope, variable: keras.Variable) -> Tensor:
    value = scope.get_current_value(variable)
    return variable.value if value is None else value  # a layer that did not run keeps its own
