"""Refusing to train pruned weights that nothing keeps on schedule.

Two signs tell training from a call with `training=True`, on every backend, compiled or not:

- the gradient by mask * weight is taken of such a call. This is seen first, before any weight
  changes, whatever optimizer follows.
- a Keras optimizer updates the weight, and asks for its constraint. This is seen in loops that call
  the model without `training=True` too, and nowhere else.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import keras

from tfprune.support.tensors import OfTensor, Tensor
from tfprune.wrapping.masking import PrunedWeight


class Guarded(Protocol):
    """What is asked of a `PrunedLayer`."""

    name: str
    pruned: Sequence[PrunedWeight]

    @property
    def has_updater(self) -> bool:
        """Whether the masks are kept on schedule."""


def refuse_training(layer: Guarded) -> None:
    """Raise ValueError: the pruned layer would be trained, and nothing updates its mask."""
    raise ValueError(
        f"Layer '{layer.name}' is pruned, but nothing updates its mask: pass "
        "callbacks=[tfprune.UpdatePruningStep()] to `fit`, or create a tfprune.PruningUpdater "
        "before a training loop of your own. Freeze the layer (trainable = False) if it is not to "
        "be trained."
    )


def require_updaters(layers: Sequence[Guarded]) -> None:
    """Raise ValueError if weights of a `PrunedLayer` would be trained whose mask nothing updates.

    Example:
        >>> require_updaters([])
    """
    for layer in layers:
        if not layer.has_updater and any(own.weight.trainable for own in layer.pruned):
            refuse_training(layer)


def untrainable(own: PrunedWeight, layer: Guarded) -> PrunedWeight:
    """Return the pruned weight with a masked value that no gradient can be taken of.

    Args:
        own: as the layer has it; it is returned itself if it is frozen.
        layer: named in the error where a gradient is taken, or traced.

    Example:
        >>> mask = keras.Variable([True, False], dtype="bool")
        >>> own = PrunedWeight(keras.Variable([1.0, 2.0]), mask, lambda step: 0.5)
        >>> masked = untrainable(own, keras.layers.Dense(2)).masked_value()
        >>> keras.ops.convert_to_numpy(masked).tolist()
        [1.0, 0.0]
    """
    if not own.weight.trainable:
        return own

    @keras.ops.custom_gradient
    def identity(value: Tensor) -> tuple[Tensor, Callable[..., None]]:
        return keras.ops.convert_to_tensor(value), lambda *args, **kwargs: refuse_training(layer)

    rounding = own.rounding
    if rounding is None:
        return dataclasses.replace(own, rounding=identity)
    return dataclasses.replace(own, rounding=lambda masked: rounding(identity(masked)))


class TrainingGuard(keras.constraints.Constraint):
    """Constraint that raises when an optimizer updates a weight that no updater follows.

    Args:
        constraint: that the weight had before, or None.
    """

    def __init__(self, constraint: OfTensor | None):
        self.constraint = constraint
        self.layers: list[Guarded] = []  # several where they are tied, or a layer was wrapped again

    def __call__(self, w: Tensor) -> Tensor:
        if not any(layer.has_updater for layer in self.layers):
            refuse_training(self.layers[0])
        return w if self.constraint is None else self.constraint(w)


def guard(weight: keras.Variable, layer: Guarded) -> None:
    """Have training of the weight refused, or not any more, as `layer.has_updater` says.

    Args:
        weight: while it is guarded, its `constraint` is one that holds its own.
        layer: `PrunedLayer` around it.

    Example:
        >>> import tfprune
        >>> layer = tfprune.PrunedLayer(keras.layers.Dense(1, name="out"), tfprune.OneShot(0.5))
        >>> layer.build((None, 2))
        >>> weight, gradient = layer.layer.kernel, keras.ops.ones((2, 1))
        >>> keras.optimizers.SGD().apply([gradient], [weight])
        Traceback (most recent call last):
        ValueError: Layer 'out' is pruned, but nothing updates its mask: ...
        >>> layer.has_updater = True
        >>> weight.constraint is None
        True
    """
    present = weight.constraint
    if isinstance(present, TrainingGuard):
        if all(known is not layer for known in present.layers):
            present.layers.append(layer)
        if all(known.has_updater for known in present.layers):
            weight.constraint = present.constraint  # which costs nothing in training
    elif not layer.has_updater:
        weight.constraint = TrainingGuard(present)
        weight.constraint.layers.append(layer)


def constrain(weight: keras.Variable, wrap: Callable[[OfTensor], OfTensor]) -> None:
    """Replace the weight's own constraint c by wrap(c), beneath a guard; leave it if there is none.

    Example:
        >>> weight = keras.Variable([1.0])
        >>> weight.constraint = lambda w: w
        >>> constrain(weight, lambda inner: lambda w: 2 * inner(w))
        >>> weight.constraint(3.0)
        6.0
    """
    present = weight.constraint
    if isinstance(present, TrainingGuard):
        if present.constraint is not None:
            present.constraint = wrap(present.constraint)
    elif present is not None:
        weight.constraint = wrap(present)
