"""The passes over a model that gradient-based scorers need, compiled once and used many times."""

import functools
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from tfprune.calibration.derivatives import BACKENDS, Derivatives, derivatives_of
from tfprune.calibration.examples import AnyExamples, Examples
from tfprune.calibration.forward import ForwardPasses
from tfprune.calibration.losses import LossFunction
from tfprune.keras_graph.coupling import batch_norm_of
from tfprune.keras_graph.end_activations import without_end_activations
from tfprune.layer_classes.prunable import flatten
from tfprune.support.by_identity import each_once
from tfprune.support.tensors import Nest, OfTensor, Tensor
from tfprune.wrapping.masking import apply_mask

Arrays = dict[str, np.ndarray]


class Passes:
    """The compiled passes over a model, made once and used at every mask update.

    Args:
        model: built model, pruned or plain.
        weights: name -> variable of the model to differentiate by.
        masks: name -> its masks, several where tied layers each hold one; none in a plain model.
        loss: from `tfprune.calibration.losses.loss_function`; None where nothing asks for it.
    """

    def __init__(
        self,
        model: keras.Model,
        weights: Mapping[str, keras.Variable],
        masks: Mapping[str, Sequence[keras.Variable]],
        loss: LossFunction | None,
    ):
        self.model = model
        self.weights = dict(weights)
        self._masks = dict(masks)
        self._loss = loss
        self._gates: dict[tuple[str, ...], Derivatives] = {}

    def check(self, examples: AnyExamples, *, differentiate: bool) -> None:
        """Run two examples of every shape, so that bad data or models end in one clear error.

        Raises:
            ValueError: if the model cannot take these inputs or the loss these targets, the loss is
                not finite, or no gradient reaches a weight that is to be differentiated by.
        """
        if differentiate:
            self.by_weight.check(examples.parts[0])
        if not differentiate or len(examples.parts) > 1:
            ForwardPasses(self.model, self._loss).check(examples)

    def loss(self, examples: AnyExamples) -> float:
        """Return the mean loss; raises ValueError if it is not finite."""
        if keras.config.backend() in BACKENDS:
            return self.by_weight.loss(examples)
        return ForwardPasses(self.model, self._loss).loss(examples)

    @functools.cached_property
    def by_weight(self) -> Derivatives:
        """Derivatives by the stored weights, zero where they are masked."""
        return self._compiled(self._given_loss(), keras.ops.convert_to_tensor)

    @functools.cached_property
    def by_masked_weight(self) -> Derivatives:
        """Derivatives by mask * weight, of masked entries too."""
        all_kept = [
            (mask, keras.ops.ones(mask.shape, "bool"))
            for name in self.weights
            for mask in self._masks[name]
        ]
        return self._compiled(
            self._given_loss(), keras.ops.convert_to_tensor, all_kept, masked=True
        )

    def gates(self, names: Sequence[str]) -> Derivatives:
        """Return derivatives by the gates behind those of these kernels that have one.

        Raises:
            ValueError: if none of them is followed by a batch normalization with a scale.
        """
        key = tuple(names)
        if key not in self._gates:
            found = batch_norm_of(self.model)
            layers = {name: found.get(self.weights[name]) for name in names}
            gated = {name: layer for name, layer in layers.items() if layer is not None}
            if not gated:
                raise ValueError(
                    "Gates need a BatchNormalization with a scale behind the pruned layers. "
                    f"Received: none behind {list(names)}."
                )
            self._gates[key] = _gate_derivatives(self.model, self._given_loss(), gated)
        return self._gates[key]

    def synaptic_flow(self, inputs: Nest) -> Arrays:
        """Return the gradient of the summed outputs of the network of absolute values.

        Moving means count as zero, so that no activation is negative; inputs are ones. Outputs are
        logits: those of a softmax add up to 1 whatever the weights are.

        Raises:
            ValueError: if the model ends in a softmax that is a layer of its own.
        """
        means = each_once(
            layer.moving_mean
            for layer in flatten(self.model)
            if isinstance(layer, keras.layers.BatchNormalization)
        )
        own = each_once(self.weights.values())
        others = [
            (v, keras.ops.abs(v.value) * (v not in means))
            for v in self.model.variables
            if v not in own and keras.backend.is_float_dtype(v.dtype)
        ]

        def total(y: Nest, outputs: Nest, sample_weight: Nest, replicas: int) -> Tensor:
            return sum(keras.ops.sum(part) for part in keras.tree.flatten(outputs))

        flow = self._compiled(total, keras.ops.abs, others)
        ones = Examples(keras.tree.map_structure(lambda leaf: np.ones_like(leaf[:1]), inputs))
        with without_end_activations(self.model):
            return {name: g[0] for name, g in next(flow.gradients(ones)).items()}

    def _given_loss(self) -> LossFunction:
        if self._loss is None:
            raise ValueError(
                "A scorer that asks about the loss must say so: needs = frozenset({'gradients'}). "
                "Received: no loss."
            )
        return self._loss

    def _compiled(
        self,
        loss: LossFunction,
        transform: OfTensor,
        others: Sequence[tuple[keras.Variable, Tensor]] = (),
        masked: bool = False,
    ) -> Derivatives:
        def value(name: str) -> Tensor:
            stored = transform(self.weights[name].value)
            return apply_mask(stored, self._masks[name][0]) if masked else stored

        return derivatives_of(
            self.model,
            loss,
            lambda: {name: value(name) for name in self.weights},
            lambda values: [*((self.weights[n], v) for n, v in values.items()), *others],
        )


def _gate_derivatives(
    model: keras.Model, loss: LossFunction, layers: dict[str, keras.layers.BatchNormalization]
) -> Derivatives:
    def substitute(gates: dict[str, Tensor]) -> list[tuple[keras.Variable, Tensor]]:
        return [
            (variable, variable.value * gate)
            for name, gate in gates.items()
            for variable in (layers[name].gamma, layers[name].beta)
            if variable is not None  # layers with center=False have no beta
        ]

    def ones() -> dict[str, Tensor]:
        return {name: keras.ops.ones_like(layer.gamma.value) for name, layer in layers.items()}

    return derivatives_of(model, loss, ones, substitute)
