"""State that pruning adds to a layer: masks, the pruning step, scores that updates add up, and what
roundings keep.

What is to last are variables, so that whatever keeps or restores weights (files, checkpoints, early
stopping, the training state of JAX) takes it along.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import keras
import numpy as np

from tfprune.keras_graph.private_keras import in_stateless_scope
from tfprune.sparsity.selection import Scores
from tfprune.support.arrays import host_array, known_integer
from tfprune.support.tensors import OfTensor, Tensor

NOT_BEGUN = -1  # the pruning step of a layer that no updater has seen yet


class PruningStep(keras.Variable):
    """Optimizer steps that a layer has been pruned for; it says when it is set, by whomever.

    Files, callbacks that restore weights and `set_weights` all assign it; training on JAX does at
    its end.

    Args:
        when_set: called with each value that is assigned, where it is known: not inside compiled
            functions, nor in a `keras.StatelessScope`, which changes no variable.

    Example:
        >>> steps = []
        >>> _ = PruningStep(steps.append).assign(3)
        >>> steps
        [3]
    """

    def __init__(self, when_set: Callable[[int], None]):
        super().__init__(
            keras.initializers.Constant(NOT_BEGUN),
            shape=(),
            dtype="int32",
            trainable=False,
            name="pruning_step",
        )
        self._when_set = when_set

    def assign(self, value: Tensor | int) -> Tensor:
        assigned = super().assign(value)
        step = None if in_stateless_scope() else known_integer(assigned)
        if step is not None:
            self._when_set(step)
        return assigned


@dataclasses.dataclass(eq=False)
class ModelNotice:
    """Shared by the `PrunedLayer`s of a model, none of which knows the others; it is not saved.

    Attributes:
        told: whether the user knows that the model has, or will have, fewer zeros than asked.
        before_saving: called with each layer that is saved while nothing trains it.
        layers: how many share it.
    """

    before_saving: Callable[[object], None]
    layers: int
    told: bool = False


@dataclasses.dataclass(frozen=True)
class PastScores:
    """Scores of a weight's last mask update, from which the next one goes on.

    Attributes:
        values: float32, of the shape of the weight.
        known: boolean scalar, whether there has been an update.
    """

    values: keras.Variable
    known: keras.Variable

    def read(self, read: Callable[[keras.Variable], Tensor]) -> np.ndarray | None:
        """Return the scores, None before the first update.

        Args:
            read: variable -> its value.
        """
        return host_array(read(self.values)) if host_array(read(self.known)).item() else None

    def write(self, scores: Scores, write: Callable[[keras.Variable, Tensor], None]) -> None:
        """Keep scores for the next update.

        Args:
            scores: of the shape of the weight.
            write: sets a variable to a value.
        """
        values = np.asarray(scores).astype("float32")
        write(self.values, keras.ops.convert_to_tensor(values))
        write(self.known, keras.ops.convert_to_tensor(True, dtype="bool"))


def add_mask(layer: keras.layers.Layer, weight: keras.Variable, index: int) -> keras.Variable:
    """Add the mask of a weight, all kept; `index` numbers it among the layer's."""
    mask = layer.add_weight(
        name=f"{weight.name}_mask_{index}",
        shape=weight.shape,
        dtype="bool",
        initializer="ones",
        trainable=False,
        autocast=False,
    )
    setattr(layer, f"mask_{index}", mask)  # tf.train.Checkpoint follows attributes only
    return mask


def add_past_scores(layer: keras.layers.Layer, weight: keras.Variable, index: int) -> PastScores:
    """Add what scorers that accumulate keep of a weight."""
    name = f"{weight.name}_scores_{index}"
    values = layer.add_weight(
        name=name,
        shape=weight.shape,
        dtype="float32",
        initializer="zeros",
        trainable=False,
        autocast=False,
    )
    known = layer.add_weight(
        name=f"{name}_known", shape=(), dtype="bool", initializer="zeros", trainable=False
    )
    setattr(layer, f"scores_{index}", values)
    setattr(layer, f"scores_known_{index}", known)
    return PastScores(values, known)


@runtime_checkable
class StatefulRounding(Protocol):
    """What a rounding is that keeps something of its weight, saved with the layer."""

    def build(self, add: Callable[..., keras.Variable]) -> None:
        """Add its variables, once.

        Args:
            add: (name, shape, dtype, initializer="zeros", trainable=False) -> variable.
        """


def add_rounding_state(
    layer: keras.layers.Layer, roundings: Mapping[int, OfTensor | None]
) -> list[keras.Variable]:
    """Add what the roundings of a layer's weights keep.

    Args:
        layer: that gets the variables.
        roundings: index of a weight -> its rounding, which may be a `StatefulRounding`.
    """
    added: list[keras.Variable] = []

    def add(index: int, name: str, **options: object) -> keras.Variable:
        name = f"{name}_{index}"
        variable = layer.add_weight(
            name=name, **{"initializer": "zeros", "trainable": False, "autocast": False, **options}
        )
        setattr(layer, name, variable)
        added.append(variable)
        return variable

    for index, rounding in roundings.items():
        if isinstance(rounding, StatefulRounding):
            rounding.build(partial(add, index))
    return added


def load_added(
    store: Mapping[str, np.ndarray],
    masks_and_step: Sequence[keras.Variable],
    past: Sequence[PastScores],
) -> bool:
    """Read from a file what it has of a layer's state; files may lack past scores, or have more.

    Args:
        store: of Keras, number of a variable -> array.
        masks_and_step: what files of every version have.
        past: what the layer keeps besides; unknown where the file lacks it.

    Returns:
        Whether the file fits. Nothing has changed otherwise.
    """
    first, scores = len(masks_and_step), 2 * (len(masks_and_step) - 1)
    if len(store.keys()) not in (first, first + scores):
        return False
    has_scores = len(store.keys()) > first
    for number, variable in enumerate(masks_and_step):
        variable.assign(store[f"{number}"])
    for number, own in enumerate(past):
        if has_scores:
            own.values.assign(store[f"{first + 2 * number}"])
        own.known.assign(store[f"{first + 2 * number + 1}"] if has_scores else False)
    return True
