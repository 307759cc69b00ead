"""The passes over a model that gradient-based scorers need, compiled once and used many times."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfprune.calibration.examples import Examples
from tfprune.calibration.losses import LossFunction
from tfprune.keras_graph.coupling import batch_norm_of
from tfprune.layer_classes.prunable import flatten

Arrays = dict[str, np.ndarray]


class Passes:
    """The compiled passes over a model, made once and used at every mask update.

    Args:
        model: built model, pruned or plain.
        loss: from `tfprune.calibration.losses.loss_function`.
        weights: name -> variable of the model to differentiate by.

    Raises:
        ValueError: on another backend than TensorFlow.
    """

    def __init__(
        self, model: keras.Model, loss: LossFunction, weights: Mapping[str, keras.Variable]
    ):
        if keras.config.backend() != "tensorflow":
            raise ValueError(
                "Gradient-based scores need the TensorFlow backend. "
                f"Received: KERAS_BACKEND={keras.config.backend()}."
            )
        self.model = model
        self.weights = dict(weights)
        self._loss = loss
        self._gates: dict[tuple[str, ...], Any] = {}
        self.by_weight = self._compiled(self._loss, self.weights)

    def gates(self, names: Sequence[str]) -> Any:
        """Return derivatives by the gates behind those of these kernels that have one.

        Raises:
            ValueError: if none of them is followed by a batch normalization with a scale.
        """
        key = tuple(names)
        if key not in self._gates:
            found = batch_norm_of(self.model)
            layers = {name: found.get(self.weights[name].path) for name in names}
            gated = {name: layer for name, layer in layers.items() if layer is not None}
            if not gated:
                raise ValueError(
                    "Gates need a BatchNormalization with a scale behind the pruned layers. "
                    f"Received: none behind {list(names)}."
                )
            self._gates[key] = _gate_derivatives(self.model, self._loss, gated)
        return self._gates[key]

    def synaptic_flow(self, inputs: Any) -> Arrays:
        """Return the gradient of the summed outputs of the network of absolute values.

        Moving means count as zero, so that no activation is negative; inputs are ones.
        """
        means = {
            id(layer.moving_mean)
            for layer in flatten(self.model)
            if isinstance(layer, keras.layers.BatchNormalization)
        }
        own = {id(variable) for variable in self.weights.values()}
        others = [
            (v, keras.ops.abs(v.value) * (id(v) not in means))
            for v in self.model.variables
            if id(v) not in own and keras.backend.is_float_dtype(v.dtype)
        ]

        def total(y: Any, outputs: Any, sample_weight: Any, replicas: int) -> Any:
            return sum(keras.ops.sum(part) for part in keras.tree.flatten(outputs))

        flow = self._compiled(total, self.weights, others, keras.ops.abs)
        ones = Examples(keras.tree.map_structure(lambda leaf: np.ones_like(leaf[:1]), inputs))
        return {name: g[0] for name, g in next(flow.gradients(ones)).items()}

    def _compiled(
        self,
        loss: LossFunction,
        weights: dict[str, keras.Variable],
        others: Sequence[tuple[keras.Variable, Any]] = (),
        transform: Callable[[Any], Any] = keras.ops.convert_to_tensor,
    ) -> Any:
        from tfprune.calibration.tape import TapePasses

        return TapePasses(
            self.model,
            loss,
            lambda: {name: transform(weight.value) for name, weight in weights.items()},
            lambda values: [*((weights[name], v) for name, v in values.items()), *others],
        )


def _gate_derivatives(
    model: keras.Model, loss: LossFunction, layers: dict[str, keras.layers.BatchNormalization]
) -> Any:
    from tfprune.calibration.tape import TapePasses

    def substitute(gates: dict[str, Any]) -> list[tuple[keras.Variable, Any]]:
        return [
            (variable, variable.value * gate)
            for name, gate in gates.items()
            for variable in (layers[name].gamma, layers[name].beta)
            if variable is not None  # layers with center=False have no beta
        ]

    def ones() -> dict[str, Any]:
        return {name: keras.ops.ones_like(layer.gamma.value) for name, layer in layers.items()}

    return TapePasses(model, loss, ones, substitute)
