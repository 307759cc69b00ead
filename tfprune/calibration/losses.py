"""A loss as Keras's `compile` takes it -> one function of targets, outputs and sample weights.

`Model.compute_loss` cannot serve here: for several outputs it updates metrics, and it adds the
regularizers, which say nothing about what the network has to keep.
"""

from collections.abc import Callable
from typing import Any

import keras

from tfprune.keras_graph.private_keras import compiled_loss_weights
from tfprune.support.tensors import Loss, Nest, Tensor

LossFunction = Callable[[Nest, Nest, Nest, int], Tensor | float]

_AVERAGED = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


def loss_function(model: keras.Model, loss: Loss = None) -> LossFunction:
    """Return the function (y, outputs, sample_weight, replicas) -> scalar loss of a batch.

    `replicas` is 1 by default: the number of replicas in sync in whose context it is called. Keras
    divides averages by it, which is undone.

    Args:
        model: gives the names of its outputs, and its compiled loss (and loss weights) where `loss`
            is None.
        loss: a name, a `keras.losses.Loss`, a function (y_true, y_pred) -> losses, or a list or
            dictionary of these, one for each output, as in `keras.Model.compile`.

    Returns:
        A function that sums the losses of all outputs, each weighted and reduced by Keras.

    Raises:
        ValueError: if there is no loss, a name is unknown, or losses do not match the outputs.
        TypeError: if a loss is not callable.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> mean_squared_error = loss_function(model, "mse")
        >>> float(mean_squared_error(keras.ops.ones((4, 1)), keras.ops.zeros((4, 1))))
        1.0
    """
    weights = None
    if loss is None:
        loss = getattr(model, "loss", None)
        weights = compiled_loss_weights(model)
    if loss is None:
        raise ValueError(
            f"`loss` must be given, because model '{model.name}' is not compiled. "
            "Received: loss=None."
        )
    require_losses(loss)
    functions = keras.tree.map_structure(_as_loss, loss)

    def compute(
        y: Nest, outputs: Nest, sample_weight: Nest = None, replicas: int = 1
    ) -> Tensor | float:
        names = _output_names(model, outputs)
        targets, predicted = _by_output("y", y, names), _by_output("outputs", outputs, names)
        own_weights = _by_output("sample_weight", sample_weight, names)
        scales = _by_output("loss_weights", weights, names)
        total = 0.0
        for name, function in _by_output("loss", functions, names).items():
            if function is not None:
                value = function(targets[name], predicted[name], sample_weight=own_weights[name])
                scale = 1.0 if scales[name] is None else scales[name]
                total = total + value * scale * (replicas if function.reduction in _AVERAGED else 1)
        return total

    return compute


def require_losses(loss: object) -> object:
    """Return `loss` when it is one loss, or a nest of losses, of the kinds that Keras knows.

    Example:
        >>> require_losses("nonsense")
        Traceback (most recent call last):
        ValueError: `loss` must be the name of a Keras loss, ... Received: loss='nonsense'.
    """
    leaves = [item for item in keras.tree.flatten(loss) if item is not None]
    known = all(isinstance(item, str) or callable(item) for item in leaves)
    if not leaves or not known or any(isinstance(item, type) for item in leaves):
        raise TypeError(
            "`loss` must be a name, a loss or a function, or one for each output. "
            f"Received: loss={loss!r} (of type {type(loss).__name__})."
        )
    for name in filter(lambda item: isinstance(item, str), leaves):
        try:
            keras.losses.get(name)
        except ValueError as error:
            raise ValueError(
                "`loss` must be the name of a Keras loss, such as 'mse', a loss or a function. "
                f"Received: loss={name!r}."
            ) from error
    return loss


def _output_names(model: keras.Model, outputs: Nest) -> list[str]:
    if isinstance(outputs, dict):
        return list(outputs)
    known = getattr(model, "output_names", None)  # subclassed models have none until compiled
    if isinstance(outputs, list | tuple):
        return list(known or map(str, range(len(outputs))))
    return ["output"]


def _by_output(what: str, value: object, names: list[str]) -> dict[str, Any]:
    """Return name of output -> its entry of `value`; one entry alone stands for every output."""
    if isinstance(value, dict):
        unknown = sorted(set(value) - set(names))
        if unknown:
            raise ValueError(f"`{what}` must be keyed by outputs {names}. Received: {unknown}.")
        return {name: value.get(name) for name in names}
    if isinstance(value, list | tuple):
        if len(value) != len(names):
            raise ValueError(
                f"`{what}` must have one entry for each of the outputs {names}. "
                f"Received: {len(value)} entries."
            )
        return dict(zip(names, value))
    return dict.fromkeys(names, value)


def _as_loss(loss: Loss) -> keras.losses.Loss | None:
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    if loss is None or isinstance(loss, keras.losses.Loss):
        return loss
    if not callable(loss):  # a nest inside a nest
        raise TypeError(f"`loss` must be callable. Received: loss={loss!r}.")
    return _FunctionLoss(loss)


class _FunctionLoss(keras.losses.Loss):
    """Lets Keras weight and average what a bare function returns, timestep masks included."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]):
        name = getattr(function, "__name__", "")
        super().__init__(name=name if name.isidentifier() else "loss")  # scopes take no "<lambda>"
        self._function = function

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self._function(y_true, y_pred)
