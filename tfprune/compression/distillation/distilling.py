"""Distillation: a student learns from the outputs of a teacher, beside its own targets.

    loss = (1 - alpha) task(y, student) + alpha (T^2 KL(softmax(t / T) || softmax(s / T)) + hints)

with the logits t and s of teacher and student and the temperature T; T^2 keeps gradients at one
scale. Labels that each hold or not are two classes each, and outputs that are neither are compared
by mean squared error. Both parts weigh examples and places by `sample_weight` (and so by
`class_weight`), masks and the loss's `ignore_class`, are reduced as the loss is, among replicas,
too, and weigh outputs by `loss_weights`; what layers add (regularizers, `add_loss`) counts in full.
Hints weigh examples by the mean of their weights over outputs and places, leave out what is masked
where the student's layer is, and are reduced as the losses are, or to means where those differ.

Sources: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531.
Hints: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv 1412.6550. Attention:
Zagoruyko & Komodakis, "Paying More Attention to Attention", ICLR 2017, arXiv 1612.03928.

Beside `keras.distillation.Distiller` (3.15): with `loss=keras.losses.KLDivergence()` its loss is
the same where there are no weights (a test compares them). By default it takes the divergence of
the logits themselves, and it leaves out the losses that layers add and the weights of examples,
freezes the teacher for good, and takes the softmax of a softmax.

Deviations: hints are learnt together with the rest, not in a stage of their own.
"""

from collections.abc import Sequence

import keras

from tfprune.compression.distillation.checks import (
    compared_as,
    pairs_of,
    require_alike,
    require_apart,
)
from tfprune.compression.distillation.distilled import Distilled, Options
from tfprune.compression.distillation.outputs import Compare
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
) -> Distilled:
    """Return a model that trains the student on its targets and on what the teacher makes of them.

    Compile it as the student would be and fit it, with the callbacks that the student needs: a
    pruned student keeps its masks and takes `tfprune.UpdatePruningStep()`. It predicts, is
    evaluated and is saved as the student, which is trained in place: `distilled.student`.
    `save_weights` holds all that training goes on with, regressors of hints included.

    Args:
        student: built model; it shares its weights with the one that is returned.
        teacher: built model of the same inputs and outputs, which are paired by name where both
            models name them alike; its weights are only read, at every step, so that it may follow
            the student. With JAX they are with those of the student in training: a callback finds
            them in place once it has read `self.model`. The state of a stateful one runs on with
            the batches, as in its `predict`.
        temperature: > 0, divides logits; the higher, the more the unlikely classes count.
        alpha: in [0, 1], share of the teacher in the loss.
        hints: pairs (layer of the student, layer of the teacher) whose outputs are to be the same,
            by mean squared error; where they differ in width, a regressor is learnt beside. Both
            models must have a graph.
        attention: pairs of layers whose attention maps, the normalized sums of squares over
            channels, are to be the same. Channels are where `data_format` has them.
        compare: what outputs are: "classes" of which one holds, "labels" that each hold or not, or
            "values" that are compared as they are; a list where they differ. None takes it from
            each output's loss, or from a softmax or sigmoid at the end where that is none of
            Keras's, and leaves out an output without a loss.

    Returns:
        A model to compile and fit. Where outputs are probabilities, logits are taken from them: a
        softmax or a sigmoid shows at the end, also behind means, casts and the like, or the loss is
        without `from_logits`. A teacher whose end does not show (without a graph, or with a layer
        of one's own there) is taken to give what the student gives.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a number is out of its range, the models differ in inputs or outputs or share
            weights that are trained, a layer does not exist, is called more than once or has
            several outputs, the places of a pair of layers differ, layers of `attention` have none,
            or `compare` is none of these; in `fit`, before anything is trained, if it is None and
            nothing else says it, or the loss and the models' softmax have their classes along
            several axes.

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
    options = Options(
        require_number("temperature", temperature, above=0.0),
        require_number("alpha", alpha, minimum=0.0, maximum=1.0),
        pairs_of("hints", hints, student, teacher),
        pairs_of("attention", attention, student, teacher),
        compared_as(compare, student),
    )
    require_alike(student, teacher)
    require_apart(student, teacher)
    return Distilled(student, teacher, options)
