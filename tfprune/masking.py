"""The masked forward pass: a weight, its mask, and a scope in which reads give mask * weight."""

import dataclasses
from typing import Any

import keras

from tfprune.schedules import Schedule


def apply_mask(value: Any, mask: keras.Variable) -> Any:
    """Return mask * value, in the dtype of `value`.

    Args:
        value: float tensor of any shape.
        mask: boolean variable of the same shape, True = kept.

    Example:
        >>> mask = keras.Variable([True, False], dtype="bool")
        >>> keras.ops.convert_to_numpy(apply_mask(keras.ops.ones(2), mask)).tolist()
        [1.0, 0.0]
    """
    return value * keras.ops.cast(mask.value, value.dtype)


@dataclasses.dataclass(frozen=True)
class PrunedWeight:
    """A weight, its boolean mask (same shape, True = kept) and the schedule it follows."""

    weight: keras.Variable
    mask: keras.Variable
    schedule: Schedule

    def masked_value(self) -> Any:
        """Return mask * weight as a backend tensor.

        Example:
            >>> mask = keras.Variable([True, False], dtype="bool")
            >>> own = PrunedWeight(keras.Variable([1.0, 2.0]), mask, lambda step: 0.5)
            >>> keras.ops.convert_to_numpy(own.masked_value()).tolist()
            [1.0, 0.0]
        """
        return apply_mask(self.weight.value, self.mask)


class MaskScope(keras.StatelessScope):
    """Substitutes masked values for reads; every other read and every write goes through.

    Writes (seeds, batch-norm statistics, RNN states) happen at once in the surrounding scope, so
    that they also work inside a compiled loop body, whose tensors may not leave it. Reads fall
    back to the surrounding scope because JAX training runs inside one.

    Args:
        pruned: the weights to mask, with their masks.
    """

    def __init__(self, pruned: tuple[PrunedWeight, ...]):
        super().__init__(
            [(own.weight, own.masked_value()) for own in pruned],
            collect_losses=True,
            initialize_variables=False,
        )
        self._mask_of = {id(own.weight): own.mask for own in pruned}

    def get_current_value(self, variable: keras.Variable) -> Any:
        value = self.state_mapping.get(id(variable))
        if value is None and self.original_scope is not None:
            return self.original_scope.get_current_value(variable)
        return value

    def add_loss(self, loss: Any) -> None:
        # The layer notes which losses are its own; a second note by the wrapper would count twice.
        if self.original_scope is None:
            super().add_loss(loss)
        elif self.original_scope.collect_losses:
            self.original_scope.add_loss(loss)

    def add_update(self, update: tuple[keras.Variable, Any]) -> None:
        variable, value = update
        self.__exit__()
        try:
            variable.assign(value)
        finally:
            self.__enter__()
        if id(variable) in self._mask_of:
            self.state_mapping[id(variable)] = apply_mask(value, self._mask_of[id(variable)])


class MaskedRegularizer(keras.regularizers.Regularizer):
    """The weight's own regularizer, applied to mask * weight: a masked weight gets no gradient.

    Args:
        regularizer: Keras regularizer, weight -> scalar.
        mask: boolean variable of the weight's shape, True = kept.

    Example:
        >>> mask = keras.Variable([True, False], dtype="bool")
        >>> float(MaskedRegularizer(keras.regularizers.L1(1.0), mask)(keras.ops.ones(2)))
        1.0
    """

    def __init__(self, regularizer: Any, mask: keras.Variable):
        self.regularizer = regularizer
        self.mask = mask

    def __call__(self, weight: Any) -> Any:
        return self.regularizer(apply_mask(keras.ops.convert_to_tensor(weight), self.mask))
