"""The masked forward pass: a weight, its mask, and a scope in which reads give mask * weight."""

import dataclasses

import keras

from tfprune.keras_graph.private_keras import in_stateless_scope
from tfprune.sparsity.schedules import Schedule
from tfprune.sparsity.structures import Structure, Unstructured
from tfprune.support.by_identity import ByIdentity
from tfprune.support.tensors import OfTensor, Tensor
from tfprune.wrapping.added_state import PastScores


def apply_mask(value: Tensor, mask: keras.Variable) -> Tensor:
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
    """A weight, its mask, and how it is pruned.

    Attributes:
        weight: the stored weight.
        mask: boolean, of the same shape, True = kept.
        schedule: step -> sparsity.
        structure: which of its entries are removed together.
        rounding: applied to mask * weight in the forward pass; None for nothing.
        past: scores of the last update; None where the scorer does not accumulate them.
    """

    weight: keras.Variable
    mask: keras.Variable
    schedule: Schedule
    structure: Structure = Unstructured()
    rounding: OfTensor | None = None
    past: PastScores | None = None

    def masked_value(self) -> Tensor:
        """Return mask * weight, rounded if it has to be, as a backend tensor.

        Example:
            >>> mask = keras.Variable([True, False], dtype="bool")
            >>> own = PrunedWeight(keras.Variable([1.0, 2.0]), mask, lambda step: 0.5)
            >>> keras.ops.convert_to_numpy(own.masked_value()).tolist()
            [1.0, 0.0]
        """
        return self.in_place_of(self.weight.value)

    def in_place_of(self, value: Tensor) -> Tensor:
        """Return what the layer computes with where the stored weight has this value."""
        masked = apply_mask(value, self.mask)
        return masked if self.rounding is None else self.rounding(masked)


class MaskScope(keras.StatelessScope):
    """Substitutes masked values for reads; every other read and every write goes through.

    Writes (seeds, batch-norm statistics, RNN states) happen at once in the surrounding scope, so
    that they also work inside a compiled loop body, whose tensors may not leave it. Reads fall
    back to the surrounding scope because JAX training runs inside one.

    Args:
        pruned: the weights to mask, each once.
    """

    def __init__(self, pruned: tuple[PrunedWeight, ...]):
        super().__init__(
            [(own.weight, own.masked_value()) for own in pruned],
            collect_losses=True,
            initialize_variables=False,
        )
        self._pruned = ByIdentity((own.weight, own) for own in pruned)

    def get_current_value(self, variable: keras.Variable) -> Tensor | None:
        value = self.state_mapping.get(id(variable))
        if value is None and self.original_scope is not None:
            return self.original_scope.get_current_value(variable)
        return value

    def add_loss(self, loss: Tensor) -> None:
        # The layer notes which losses are its own; a second note by the wrapper would count twice.
        if self.original_scope is None:
            super().add_loss(loss)
        elif self.original_scope.collect_losses:
            self.original_scope.add_loss(loss)

    def add_update(self, update: tuple[keras.Variable, Tensor]) -> None:
        variable, value = update
        self.__exit__()
        try:
            variable.assign(value)
        finally:
            self.__enter__()
        if variable in self._pruned:
            self.state_mapping[id(variable)] = self._pruned[variable].in_place_of(value)


class MaskedConstraint(keras.constraints.Constraint):
    """The weight's own constraint, applied to mask * weight; masked entries stay as they are.

    A constraint that depends on a norm, such as `UnitNorm`, sees what the layer computes with. On
    JAX an optimizer has the state of no mask: the constraint takes what the layer saw in its call,
    in the same compiled step.

    Args:
        constraint: weight -> weight.
        mask: boolean variable of the weight's shape, True = kept.

    Example:
        >>> mask = keras.Variable([True, False], dtype="bool")
        >>> half = MaskedConstraint(lambda w: w / keras.ops.sum(w), mask)
        >>> keras.ops.convert_to_numpy(half(keras.ops.array([4.0, 3.0]))).tolist()
        [1.0, 3.0]
    """

    def __init__(self, constraint: OfTensor, mask: keras.Variable):
        self.constraint = constraint
        self.mask = mask
        self._seen: Tensor | None = None

    def see(self) -> None:
        """Take the mask as it is in a call of the layer whose state is handed to it."""
        if in_stateless_scope():
            self._seen = self.mask.value

    def __call__(self, w: Tensor) -> Tensor:
        stored = keras.ops.convert_to_tensor(w)
        seen, self._seen = self._seen, None  # of this step alone
        mask = seen if seen is not None and in_stateless_scope() else self.mask.value
        allowed = self.constraint(stored * keras.ops.cast(mask, stored.dtype))
        return keras.ops.where(mask, allowed, stored)


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

    def __init__(self, regularizer: OfTensor, mask: keras.Variable):
        self.regularizer = regularizer
        self.mask = mask

    def __call__(self, weight: Tensor) -> Tensor:
        return self.regularizer(apply_mask(keras.ops.convert_to_tensor(weight), self.mask))
