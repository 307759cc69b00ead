"""Watching the optimizer: gates are scored by the gradients that it gets, and zeros are kept.

What is done here is traced into the training step, behind the gradients and behind the update.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tfprune.channels.gradual.gates import ChannelAxis, gate_gradients
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity
from tfprune.support.tensors import Tensor


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
        self._optimizer: Any = None

    @property
    def weights(self) -> list[keras.Variable]:
        """All weights that are watched or held."""
        return [*self._weights, *(axis.weight for axis in self._gates)]

    @property
    def batches(self) -> int:
        """How many batches were added up."""
        return round(float(host_array(self._count.value)))

    def attach(self, optimizer: keras.optimizers.Optimizer, model: keras.Model) -> None:
        """Watch what this optimizer does; a training step must be traced after this.

        Args:
            optimizer: that trains the model.
            model: in training, whose variables the optimizer has.
        """
        inner: Any = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
        if "apply" in vars(inner):  # of a training that was interrupted
            del inner.apply
        plain = inner.apply

        def apply(grads: Sequence[Tensor], trainable_variables: Any = None) -> None:
            own = model.trainable_variables if trainable_variables is None else trainable_variables
            own = list(own)
            scale = inner.loss_scale_factor or 1.0
            self._add(ByIdentity((w, g) for w, g in zip(own, grads) if g is not None), scale)
            plain(grads, own)
            self.hold()

        inner.apply, self._optimizer = apply, inner

    def detach(self) -> None:
        """Let go of the optimizer."""
        if self._optimizer is not None and "apply" in vars(self._optimizer):
            del self._optimizer.apply
        self._optimizer = None

    def take(self) -> np.ndarray:
        """Return the mean of the squares over the batches, by root, and begin again."""
        found = host_array(self._sums.value).astype(float) / max(1, self.batches)
        self.restore(np.zeros(self._size), 0)
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
        found = gate_gradients(self._gates, gradients, self._size) / scale
        self._sums.assign_add(keras.ops.square(found))
        self._count.assign_add(1)
