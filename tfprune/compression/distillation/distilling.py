"""Distillation: a student learns from the outputs of a teacher, beside its own targets.

    loss = (1 - alpha) task(y, student) + alpha (T^2 KL(softmax(t / T) || softmax(s / T)) + hints)

with the logits t and s of teacher and student and the temperature T; T^2 keeps gradients at one
scale. Labels that each hold or not are two classes each, and outputs that are neither are compared
by mean squared error. Both parts weigh examples and places by `sample_weight` (and so by
`class_weight`), masks and the loss's `ignore_class`, are reduced as the loss is, and weigh outputs
by `loss_weights`; what layers add (regularizers, `add_loss`) counts in full.

Sources: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531.
Hints: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv 1412.6550. Attention:
Zagoruyko & Komodakis, "Paying More Attention to Attention", ICLR 2017, arXiv 1612.03928.

Beside `keras.distillation.Distiller` (3.15): with `loss=keras.losses.KLDivergence()` its loss is
the same where there are no weights (a test compares them). By default it takes the divergence of
the logits themselves, and it leaves out the losses that layers add and the weights of examples,
freezes the teacher for good, and takes the softmax of a softmax.

Deviations: hints are learnt together with the rest, not in a stage of their own.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfprune.compression.distillation.checks import (
    Pair,
    compared_as,
    pairs_of,
    require_alike,
)
from tfprune.compression.distillation.distances import (
    attention_map,
    logits_of,
    mean_square,
    of_examples,
    reduced,
    weights_of,
)
from tfprune.compression.distillation.ends import ends_with_axes_of
from tfprune.compression.distillation.inside import regressor, watched
from tfprune.compression.distillation.outputs import (
    Compare,
    Output,
    for_each_output,
    outputs_of,
    places_that_count,
)
from tfprune.keras_graph.private_keras import compiled_loss_weights, timestep_mask
from tfprune.support.validation import require_model, require_number

Pairs = Sequence[tuple[str, str]]


def distill(
    student: keras.Model,
    teacher: keras.Model,
    *,
    temperature: float = 2.0,
    alpha: float = 0.5,
    hints: Pairs = (),
    attention: Pairs = (),
    compare: Compare | Sequence[Compare | None] | None = None,
) -> "Distilled":
    """Return a model that trains the student on its targets and on what the teacher makes of them.

    Compile it as the student would be and fit it, with the callbacks that the student needs: a
    pruned student keeps its masks and takes `tfprune.UpdatePruningStep()`. It predicts, is
    evaluated and is saved as the student, which is trained in place: `distilled.student`.
    `save_weights` holds all that training goes on with, regressors of hints included.

    Args:
        student: built model; it shares its weights with the one that is returned.
        teacher: built model of the same inputs and outputs; its weights are only read. The state of
            a stateful one runs on with the batches, as in its `predict`.
        temperature: > 0, divides logits; the higher, the more the unlikely classes count.
        alpha: in [0, 1], share of the teacher in the loss.
        hints: pairs (layer of the student, layer of the teacher) whose outputs are to be the same,
            by mean squared error; where they differ in width, a regressor is learnt beside. Both
            models must have a graph.
        attention: pairs of layers whose attention maps, the normalized sums of squares over
            channels, are to be the same.
        compare: what outputs are: "classes" of which one holds, "labels" that each hold or not, or
            "values" that are compared as they are; a list where they differ. None takes it from
            each output's loss, or from a softmax or sigmoid at the end where that is none of
            Keras's.

    Returns:
        A model to compile and fit. Where outputs are probabilities, logits are taken from them: a
        softmax or a sigmoid shows at the end, also behind means, casts and the like, or the loss is
        without `from_logits`. A teacher whose end does not show (without a graph, or with a layer
        of one's own there) is taken to give what the student gives.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a number is out of its range, the models differ in inputs or outputs, a layer
            does not exist, is called more than once or has several outputs, the places of a pair
            of layers differ, layers of `attention` have none, or `compare` is none of these;
            in `fit`, before anything is trained, if it is None and nothing else says it, or the
            loss and the models' softmax have their classes along several axes.

    Example:
        >>> student, teacher = (
        ...     keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]) for _ in range(2))
        >>> distilled = distill(student, teacher)
        >>> distilled.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> distilled.student is student
        True
    """
    require_model("student", student)
    require_model("teacher", teacher)
    if teacher is student:
        raise ValueError(
            "`teacher` must be another model than the student, such as one from before it was "
            f"pruned. Received: '{student.name}' for both."
        )
    options = _Options(
        require_number("temperature", temperature, above=0.0),
        require_number("alpha", alpha, minimum=0.0, maximum=1.0),
        pairs_of("hints", hints, student, teacher),
        pairs_of("attention", attention, student, teacher),
        compared_as(compare, student),
    )
    require_alike(student, teacher)
    return Distilled(student, teacher, options)


@dataclasses.dataclass(frozen=True)
class _Options:
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

    def __init__(self, student: keras.Model, teacher: keras.Model, options: _Options):
        super().__init__(name=f"distilled_{student.name}")
        self.student = student
        # Not a part of this model: the teacher is neither trained, nor saved, nor frozen.
        object.__setattr__(self, "teacher", teacher)
        self._options = options
        inner = [*options.hints, *options.attention]
        self._layers_of_student = watched(student, [mine for mine, _ in inner])
        object.__setattr__(self, "watched_teacher", watched(teacher, [own for _, own in inner]))
        self.regressors = [regressor(mine, own) for mine, own in options.hints]
        self._seen: Any = None
        if names := getattr(student, "output_names", None):
            self.output_names = names
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return what the student predicts."""
        if not training or self._layers_of_student is None:
            return self.student(inputs, training=training)
        # What the layers made is taken up by `compute_loss`, in the same trace.
        outputs, self._seen = self._layers_of_student(inputs, training=True)
        return outputs

    def save(self, filepath: Any, *args: Any, **options: Any) -> None:
        """Save the student, as its own `save` does: `keras.saving.load_model` gives that."""
        self.student.save(filepath, *args, **options)

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
        taught = self._taught(x, y, y_pred, sample_weight)
        return (1.0 - alpha) * (own - added) + added + alpha * ops.cast(taught, own.dtype)

    def _taught(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> Any:
        """Return how far the student is from the teacher."""
        teacher: Any = getattr(self, "teacher")
        inside: Any = getattr(self, "watched_teacher")
        found = (teacher if inside is None else inside)(x, training=False)
        wanted, theirs = (found, []) if inside is None else found
        total = ops.zeros(())
        mine, own = keras.tree.flatten(y_pred), keras.tree.flatten(wanted)
        weights = weights_of(sample_weight, len(mine))
        outputs = self._outputs(y_pred, teacher)
        ignoring = any(output.ignored is not None for output in outputs)
        targets = for_each_output(y if ignoring else None, y_pred, self._names())
        for student, taught, weight, output, target in zip(
            mine, own, weights, outputs, targets, strict=True
        ):
            each = self._compared(student, ops.stop_gradient(taught), output)
            masks = [timestep_mask(student), places_that_count(target, student, output)]
            masks = [mask for mask in masks if mask is not None]
            total += output.weight * reduced(each, weight, masks, output.reduction)
        return total + self._inside(theirs, sample_weight)

    def _names(self) -> Sequence[str] | None:
        return getattr(self.student, "output_names", None)

    def _outputs(self, y_pred: Any, teacher: keras.Model) -> list[Output]:
        """Return how every output is compared."""
        ranks = [len(each.shape) for each in keras.tree.flatten(y_pred)]
        losses, weights, compare = (
            for_each_output(given, y_pred, self._names())
            for given in (self.loss, compiled_loss_weights(self), self._options.compare)
        )
        ends = [ends_with_axes_of(model, len(ranks)) for model in (self.student, teacher)]
        return outputs_of(ends, losses, weights, compare, ranks)

    def _compared(self, mine: Any, own: Any, output: Output) -> Any:
        """Return how far an output of every example (and place) is from the teacher's."""
        mine, own = (ops.moveaxis(value, output.axis, -1) for value in (mine, own))
        if output.compare == "values":
            return mean_square(mine, own)
        mine, own = (
            ops.cast(logits_of(value, end), "float32") / self._options.temperature
            for value, end in ((mine, output.mine), (own, output.own))
        )
        labels = output.compare == "labels"
        if labels:  # each two classes, with logits 0 and z
            mine, own = (ops.stack([ops.zeros_like(z), z], -1) for z in (mine, own))
        likely = ops.softmax(own)
        each = ops.sum(likely * (ops.log_softmax(own) - ops.log_softmax(mine)), axis=-1)
        each = ops.mean(each, axis=-1) if labels else each
        return self._options.temperature**2 * each

    def _inside(self, theirs: Sequence[Any], sample_weight: Any) -> Any:
        """Return how far layers inside are from those of the teacher."""
        total = ops.zeros(())
        weight = of_examples(weights_of(sample_weight, 1)[0])
        count = len(self._options.hints)
        for at, (mine, own) in enumerate(zip(self._seen or (), theirs)):
            own = ops.stop_gradient(own)
            if at < count:
                widened = self.regressors[at]
                each = mean_square(mine if widened is None else widened(mine), own)
            else:
                each = mean_square(attention_map(mine), attention_map(own))
            total += reduced(each, weight)
        return total
