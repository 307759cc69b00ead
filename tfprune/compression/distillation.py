"""Distillation: a student learns from the outputs of a teacher, beside its own targets.

    loss = (1 - alpha) task(y, student) + alpha (T^2 KL(softmax(t / T) || softmax(s / T)) + hints)

with the logits t and s of teacher and student and the temperature T; T^2 keeps gradients at one
scale. Both parts weigh examples by `sample_weight` (and so by `class_weight`), and what layers add
(regularizers, `add_loss`) counts in full.

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

from tfprune.compression.teaching import (
    attention_map,
    ends_of,
    is_regression,
    logits_of,
    mean_square,
    weighted_mean,
    weights_of,
)
from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.private_keras import structures_of
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
) -> "Distilled":
    """Return a model that trains the student on its targets and on what the teacher makes of them.

    Compile it as the student would be and fit it, with the callbacks that the student needs: a
    pruned student keeps its masks and takes `tfprune.UpdatePruningStep()`. It predicts and is
    evaluated as the student, which is trained in place: `distilled.student`.

    Args:
        student: built model; it shares its weights with the one that is returned.
        teacher: built model of the same inputs and outputs; it is only read.
        temperature: > 0, divides logits; the higher, the more the unlikely classes count.
        alpha: in [0, 1], share of the teacher in the loss.
        hints: pairs (layer of the student, layer of the teacher) whose outputs are to be the same,
            by mean squared error; where they differ in width, a regressor is learnt beside. Both
            models must have a graph.
        attention: pairs of layers whose attention maps, the normalized sums of squares over
            channels, are to be the same.

    Returns:
        A model to compile and fit. Where outputs are probabilities (a softmax or a sigmoid at the
        end), logits are taken from them; where the loss is one of regression, outputs are compared
        as they are, by mean squared error.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a number is out of its range, the models differ in inputs or outputs, a layer
            does not exist, or the places of a pair of layers differ.

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
        _pairs("hints", hints, student, teacher),
        _pairs("attention", attention, student, teacher),
    )
    _require_alike(student, teacher)
    return Distilled(student, teacher, options)


@dataclasses.dataclass(frozen=True)
class _Options:
    temperature: float
    alpha: float
    hints: tuple[tuple[str, str], ...]
    attention: tuple[tuple[str, str], ...]


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
        self._layers_of_student = _watched(student, [mine for mine, _ in inner])
        object.__setattr__(self, "watched_teacher", _watched(teacher, [own for _, own in inner]))
        self.regressors = [
            _regressor(student.get_layer(mine).output, teacher.get_layer(own).output)
            for mine, own in options.hints
        ]
        self._seen: Any = None
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return what the student predicts."""
        if not training or self._layers_of_student is None:
            return self.student(inputs, training=training)
        # What the layers made is taken up by `compute_loss`, in the same trace.
        outputs, self._seen = self._layers_of_student(inputs, training=True)
        return outputs

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
        added = sum((ops.cast(loss, own.dtype) for loss in self.losses), ops.zeros((), own.dtype))
        taught = self._taught(x, y_pred, sample_weight)
        return (1.0 - alpha) * (own - added) + added + alpha * ops.cast(taught, own.dtype)

    def _taught(self, x: Any, y_pred: Any, sample_weight: Any) -> Any:
        """Return how far the student is from the teacher."""
        watched: Any = getattr(self, "watched_teacher")
        teacher: Any = getattr(self, "teacher")
        found = (teacher if watched is None else watched)(x, training=False)
        wanted, theirs = (found, []) if watched is None else found
        total = ops.zeros(())
        pairs = zip(
            keras.tree.flatten(y_pred),
            keras.tree.flatten(wanted),
            ends_of(teacher),
            ends_of(self.student),
            weights_of(sample_weight, len(keras.tree.flatten(y_pred))),
        )
        regression = is_regression(self.loss)
        for mine, own, its_end, my_end, weight in pairs:
            own = ops.stop_gradient(own)
            if regression:
                each = mean_square(mine, own)
            else:
                each = self._divergence(logits_of(mine, my_end), logits_of(own, its_end), its_end)
            total += weighted_mean(each, weight)
        return total + self._inside(theirs, sample_weight)

    def _divergence(self, mine: Any, own: Any, end: str) -> Any:
        """Return T^2 KL(teacher || student) of every example (and place)."""
        mine, own = (
            ops.cast(value, "float32") / self._options.temperature for value in (mine, own)
        )
        if end == "sigmoid" or own.shape[-1] == 1:
            # Two classes, with logits 0 and z.
            mine, own = (ops.stack([ops.zeros_like(z), z], -1) for z in (mine, own))
        likely = ops.softmax(own)
        each = ops.sum(likely * (ops.log_softmax(own) - ops.log_softmax(mine)), axis=-1)
        return self._options.temperature**2 * each

    def _inside(self, theirs: Sequence[Any], sample_weight: Any) -> Any:
        """Return how far layers inside are from those of the teacher."""
        total = ops.zeros(())
        weight = weights_of(sample_weight, 1)[0]
        count = len(self._options.hints)
        for at, (mine, own) in enumerate(zip(self._seen or (), theirs)):
            own = ops.stop_gradient(own)
            if at < count:
                regressor = self.regressors[at]
                each = mean_square(mine if regressor is None else regressor(mine), own)
            else:
                each = mean_square(attention_map(mine), attention_map(own))
            total += weighted_mean(each, weight)
        return total


def _pairs(
    name: str, pairs: Any, student: keras.Model, teacher: keras.Model
) -> tuple[tuple[str, str], ...]:
    """Return the pairs once both layers of each are there and see the same places."""
    if isinstance(pairs, str) or not isinstance(pairs, Sequence):
        raise TypeError(
            f"`{name}` must be a list of (student's layer, teacher's layer). Received: {pairs!r}."
        )
    for pair in pairs:
        if not (isinstance(pair, Sequence) and len(pair) == 2 and not isinstance(pair, str)):
            raise TypeError(
                f"`{name}` must have pairs (student's layer, teacher's layer). Received: {pair!r}."
            )
        shapes = []
        for model, layer in zip((student, teacher), pair):
            if graph_of(model) is None:
                raise ValueError(
                    f"`{name}` needs Sequential or Functional models, whose graphs show what "
                    f"layers make. Received: {pair!r} for model '{model.name}' "
                    f"(of type {type(model).__name__})."
                )
            known = [found.name for found in model.layers]
            if layer not in known:
                raise ValueError(
                    f"`{name}` must name layers of both models. Received: {layer!r}, which is no "
                    f"layer of '{model.name}'; it has {', '.join(known[:8])}."
                )
            made = model.get_layer(layer).output
            if not isinstance(made, keras.KerasTensor):
                raise ValueError(
                    f"`{name}` must name layers with one output. Received: {layer!r} of "
                    f"'{model.name}', which has several."
                )
            shapes.append(tuple(made.shape))
        if len(shapes[0]) != len(shapes[1]) or shapes[0][1:-1] != shapes[1][1:-1]:
            raise ValueError(
                f"`{name}` must pair layers whose outputs differ in their last axis at most. "
                f"Received: {pair!r}, of shapes {shapes[0]} and {shapes[1]}."
            )
    return tuple((str(mine), str(own)) for mine, own in pairs)


def _require_alike(student: keras.Model, teacher: keras.Model) -> None:
    """Raise ValueError where both models have graphs that take or return other shapes."""
    for side in ("inputs", "outputs"):
        shapes = [
            [tuple(tensor.shape)[1:] for tensor in getattr(model, side, None) or ()]
            for model in (student, teacher)
        ]
        if all(shapes) and shapes[0] != shapes[1]:
            raise ValueError(
                f"`teacher` must have the {side} of the student. Received: {side} of shapes "
                f"{shapes[1]} and {shapes[0]}."
            )


def _watched(model: keras.Model, names: list[str]) -> keras.Model | None:
    """Return a model of the same layers that returns what some of them make, too."""
    if not names:
        return None
    graph = graph_of(model)
    assert graph is not None  # `_pairs` has found layers with outputs
    taken, returned = structures_of(graph)
    return keras.Model(taken, [returned, [model.get_layer(name).output for name in names]])


def _regressor(mine: Any, own: Any) -> keras.layers.Layer | None:
    if mine.shape[-1] == own.shape[-1]:
        return None
    layer = keras.layers.Dense(own.shape[-1])
    layer.build(mine.shape)
    return layer
