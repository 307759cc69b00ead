"""Watching the optimizer: gates are scored by the gradients that it gets, and zeros are kept.

What is done here is traced into the training step, behind the gradients and behind the update.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from tfprune.channels.gradual.gates import ChannelAxis, gate_gradients
from tfprune.keras_graph.private_keras import trained_variables
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity
from tfprune.support.tensors import Tensor

Apply = Callable[..., None]


class _Replaced:
    """An `apply` in the place of an optimizer's."""

    def __init__(self, optimizer: Any, step: Callable[[Apply, Any, Any], None]):
        self.plain, self._step = optimizer.apply, step
        self._before = vars(optimizer).get("apply")  # somebody else's
        optimizer.apply = self

    def __call__(self, grads: Sequence[Tensor], trainable_variables: Any = None) -> None:
        self._step(self.plain, grads, trainable_variables)

    @staticmethod
    def undo(optimizer: Any) -> None:
        """Give an optimizer back what it had."""
        while isinstance(replaced := vars(optimizer).get("apply"), _Replaced):
            del optimizer.apply
            if replaced._before is not None:
                optimizer.apply = replaced._before


class Watch:
    """Adds up the squared gradients of gates, and holds channels at zero.

    Args:
        gates: weights whose gradients give those of the gates.
        scaling: all that makes, shifts or scales channels.
        size: number of roots.
    """

    def __init__(self, gates: Sequence[ChannelAxis], scaling: Sequence[ChannelAxis], size: int):
        self._gates, self._scaling, self._size = gates, scaling, size
        self._weights: ByIdentity[keras.Variable, list[ChannelAxis]] = ByIdentity()
        for axis in scaling:
            self._weights.setdefault(axis.weight, []).append(axis)
        self._kept = keras.Variable(np.ones(size, "float32"), trainable=False, name="kept")
        # Of several replicas, each with a share of the batch, the mean.
        options = {"trainable": False, "aggregation": "mean"}
        self._sums = keras.Variable(np.zeros(size, "float32"), name="squares", **options)
        self._count = keras.Variable(0.0, dtype="float32", name="batches", **options)
        self._optimizers: list[Any] = []
        self._called = False  # since `attach`, by Python: when a training step is traced
        self._heard = 0
        self._scored = np.zeros(size, bool)

    @property
    def scored(self) -> np.ndarray:
        """By root, whether the gate ever had a gradient."""
        return self._scored

    @property
    def averages(self) -> bool:
        """Whether the optimizer puts averages of weights in their place."""
        return any(getattr(optimizer, "use_ema", False) for optimizer in self._optimizers)

    @property
    def weights(self) -> list[keras.Variable]:
        """All weights that are watched or held."""
        return [*self._weights, *(axis.weight for axis in self._gates)]

    @property
    def batches(self) -> int:
        """How many batches were added up."""
        return round(float(host_array(self._count.value)))

    def attach(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Watch what this optimizer does; a training step must be traced after this.

        Args:
            optimizer: that trains the model.
        """
        self.detach()
        inner: Any = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
        self._optimizers = [inner] if inner is optimizer else [inner, optimizer]
        for each in self._optimizers:
            _Replaced.undo(each)  # of a training that was interrupted

        def watched(plain: Apply, grads: Sequence[Tensor], variables: Any) -> None:
            if variables is not None:
                variables = list(variables)
            own = trained_variables(inner) if variables is None and inner.built else variables
            scale = inner.loss_scale_factor or 1.0
            self._add(ByIdentity((w, g) for w, g in zip(own or (), grads) if g is not None), scale)
            plain(grads, variables)
            self.hold()

        def called(plain: Apply, grads: Sequence[Tensor], variables: Any) -> None:
            self._called = True  # where gradients overflow, nothing else is
            plain(grads, variables)

        _Replaced(inner, watched)
        if inner is not optimizer:
            _Replaced(optimizer, called)
        self._called, self._heard = False, self.batches

    def detach(self) -> None:
        """Let go of the optimizer."""
        for optimizer in self._optimizers:
            _Replaced.undo(optimizer)

    def heard(self) -> bool:
        """Return whether a training step was made since this was asked, or since `attach`.

        Steps whose gradients overflow, which a LossScaleOptimizer leaves out, count as made.
        """
        found = self._called or self.batches != self._heard
        self._heard = self.batches
        return found

    def take(self, number: int) -> np.ndarray:
        """Return the mean of the squares over the batches, by root, and begin again.

        Args:
            number: of batches that this is for; those that are more keep the mean.
        """
        found = self.sums().astype(float) / max(1, self.batches)
        left = self.batches - number
        self.restore(found * left, left)
        self._heard -= number
        return found

    def sums(self) -> np.ndarray:
        """Return the sums of squares until now."""
        return host_array(self._sums.value)

    def restore(self, sums: np.ndarray, batches: int) -> None:
        """Go on from the sums over so many batches."""
        self._sums.assign(np.asarray(sums, "float32"))
        self._count.assign(batches)

    def remove(self, gone: np.ndarray) -> None:
        """Hold these channels at zero from now on.

        Args:
            gone: by root.
        """
        self._kept.assign(np.where(gone, 0.0, 1.0).astype("float32"))
        self.hold()

    def hold(self) -> None:
        """Set to zero what is to be zero."""
        for weight, axes in self._weights.items():
            value = weight.value
            for axis in axes:
                value = value * keras.ops.cast(axis.expand(self._kept.value), weight.dtype)
            weight.assign(value)

    def zero(self) -> np.ndarray:
        """Return by root whether all that makes, shifts and scales the channel is zero."""
        known, live = np.zeros((2, self._size), bool)
        for axis in self._scaling:
            value = host_array(axis.weight.value) != 0
            others = tuple(at for at in range(value.ndim) if at != axis.axis)
            known[axis.roots] = True
            live[axis.roots[value.any(axis=others)]] = True
        return known & ~live

    def _add(self, gradients: ByIdentity[keras.Variable, Tensor], scale: Tensor | float) -> None:
        for axis in self._gates:
            if gradients.get(axis.weight) is not None:
                self._scored[axis.roots] = True
        found = gate_gradients(self._gates, gradients, self._size) / scale
        self._sums.assign_add(keras.ops.square(found))
        self._count.assign_add(1)
