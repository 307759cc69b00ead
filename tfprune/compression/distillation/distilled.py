"""The model that trains a student with its teacher; see `distilling` for its loss."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfprune.compression.distillation.distances import of_examples, reduced
from tfprune.compression.distillation.ends import ends_with_axes_of
from tfprune.compression.distillation.inside import Pair, apart_inside, regressor, watched
from tfprune.compression.distillation.outputs import (
    Compare,
    Output,
    apart,
    outputs_of,
    places_that_count,
)
from tfprune.compression.distillation.structures import for_each_output, order_of
from tfprune.keras_graph.private_keras import (
    compiled_loss_weights,
    divided_among_replicas,
    timestep_mask,
)


@dataclasses.dataclass(frozen=True)
class Options:
    """What `distill` was given, checked."""

    temperature: float
    alpha: float
    hints: tuple[Pair, ...]
    attention: tuple[Pair, ...]
    compare: Compare | tuple[Compare | None, ...] | None


class Distilled(keras.Model):
    """A student in training with its teacher; made by `distill`.

    Attributes:
        student: the model that is trained.
    """

    def __init__(self, student: keras.Model, teacher: keras.Model, options: Options):
        # As the student: inputs reach it as they are given, and its losses are scaled for float16.
        super().__init__(
            name=f"distilled_{student.name}", dtype=student.dtype_policy, autocast=False
        )
        self.student = student
        # Not a part of this model: the teacher is neither trained, nor saved, nor frozen.
        object.__setattr__(self, "teacher", teacher)
        self._options = options
        inner = [*options.hints, *options.attention]
        self._layers_of_student = watched(student, [mine for mine, _ in inner])
        object.__setattr__(self, "watched_teacher", watched(teacher, [own for _, own in inner]))
        self.regressors = [
            regressor(mine, own, student.dtype_policy) for mine, own in options.hints
        ]
        self._keep_seen(None, [])
        if names := getattr(student, "output_names", None):
            self.output_names = names
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return what the student predicts."""
        if not training or self._layers_of_student is None:
            return self.student(inputs, training=training)
        # What the layers made is taken up by `compute_loss`, in the same trace.
        outputs, made = self._layers_of_student(inputs, training=True)
        self._keep_seen(outputs, made)
        return outputs

    def _keep_seen(self, outputs: Any, made: Sequence[Any]) -> None:
        # No attribute that Keras follows: it would wrap the nest, and so hide which one it was.
        object.__setattr__(self, "seen", (outputs, made))

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        """State that training takes along; with JAX that of the teacher, too.

        What is in no state would be a constant of the compiled step, whatever it is set to later.
        """
        own = list(super().non_trainable_variables)
        teacher = vars(self).get("teacher")
        if teacher is None or keras.backend.backend() != "jax":
            return own
        known = {id(variable) for variable in self.variables}
        return own + [each for each in teacher.variables if id(each) not in known]

    def save(self, filepath: Any, *args: Any, **options: Any) -> None:
        """Save the student, as its own `save` does: `keras.saving.load_model` gives that."""
        self.student.save(filepath, *args, **options)

    def export(self, filepath: Any, *args: Any, **options: Any) -> None:
        """Export the student, as its own `export` does."""
        self.student.export(filepath, *args, **options)

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError("it is a student in training: take its `student`")

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss; that of the student alone in evaluation."""
        own = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training:
            return own
        alpha = self._options.alpha
        added = sum((ops.sum(ops.cast(loss, own.dtype)) for loss in self.losses), 0.0)
        added = divided_among_replicas(ops.cast(added, own.dtype))
        taught = self._taught(x, y, y_pred, sample_weight)
        return (1.0 - alpha) * (own - added) + added + alpha * ops.cast(taught, own.dtype)

    def _taught(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> Any:
        """Return how far the student is from the teacher."""
        made = self._made_inside(y_pred)
        teacher: Any = getattr(self, "teacher")
        inside: Any = getattr(self, "watched_teacher")
        found = (teacher if inside is None else inside)(x, training=False)
        wanted, theirs = (found, []) if inside is None else found
        order = order_of(y_pred, wanted, *(_names(model) for model in (self.student, teacher)))
        mine, flat = keras.tree.flatten(y_pred), keras.tree.flatten(wanted)
        own = [flat[at] for at in order]
        outputs = self._outputs(y_pred, teacher, order)
        weights = for_each_output(sample_weight, y_pred, _names(self.student))
        targets = self._targets(y, y_pred, outputs)
        terms, counted = [], []
        for student, taught, weight, output, target in zip(
            mine, own, weights, outputs, targets, strict=True
        ):
            if output is None:
                continue
            each = apart(student, ops.stop_gradient(taught), output, self._options.temperature)
            masks = [timestep_mask(student), places_that_count(target, student, output)]
            masks = [mask for mask in masks if mask is not None]
            terms.append(output.weight * reduced(each, weight, masks, output.reduction))
            counted.append((weight, output.reduction))
        return sum([*terms, *self._inside(made, theirs, counted)])

    def _made_inside(self, y_pred: Any) -> Sequence[Any]:
        """Return what the student's layers made together with these predictions."""
        if self._layers_of_student is None:
            return []
        outputs, made = getattr(self, "seen")
        given = [keras.tree.flatten(each) for each in (y_pred, outputs)]
        if len(given[0]) != len(given[1]) or any(a is not b for a, b in zip(*given)):
            raise ValueError(
                "`y_pred` must be what this model itself has just made with training=True, where "
                "there are `hints` or `attention`. Received: other predictions."
            )
        return made

    def _outputs(
        self, y_pred: Any, teacher: keras.Model, order: Sequence[int]
    ) -> list[Output | None]:
        """Return how every output is compared."""
        ranks = [len(each.shape) for each in keras.tree.flatten(y_pred)]
        losses, weights, compare = (
            for_each_output(given, y_pred, _names(self.student))
            for given in (self.loss, compiled_loss_weights(self), self._options.compare)
        )
        mine, own = (ends_with_axes_of(model, len(ranks)) for model in (self.student, teacher))
        ends = mine, [own[at] for at in order]
        return outputs_of(ends, losses, weights, compare, ranks)

    def _targets(self, y: Any, y_pred: Any, outputs: Sequence[Output | None]) -> list[Any]:
        """Return the target of every output that has one; None where no target is read."""
        if all(output is None or output.ignored is None for output in outputs):
            return [None] * len(outputs)
        flat = keras.tree.flatten(y)
        losses = for_each_output(self.loss, y_pred, _names(self.student))
        if len(flat) == sum(loss is not None for loss in losses) < len(losses):
            left = iter(flat)  # there may be targets for these alone
            return [None if loss is None else next(left) for loss in losses]
        return for_each_output(y, y_pred, _names(self.student))

    def _inside(
        self, made: Sequence[Any], theirs: Sequence[Any], counted: Sequence[tuple[Any, str]]
    ) -> list[Any]:
        """Return how far layers inside are from those of the teacher.

        Args:
            made: by the student's layers.
            theirs: the same of the teacher.
            counted: (weights, reduction) of every output that is compared.
        """
        weight = of_examples([each for each, _ in counted])
        reductions = {reduction for _, reduction in counted}
        reduction = reductions.pop() if len(reductions) == 1 else "mean"
        learnt: list[Any] = [layer or (lambda values: values) for layer in self.regressors]
        learnt += [None] * len(self._options.attention)
        pairs = [*self._options.hints, *self._options.attention]
        return [
            apart_inside(pair, both, weight, reduction, layer)
            for pair, both, layer in zip(pairs, zip(made, theirs), learnt, strict=True)
        ]


def _names(model: keras.Model) -> Sequence[str] | None:
    """Return the names of a model's outputs, where it has some."""
    return getattr(model, "output_names", None)
