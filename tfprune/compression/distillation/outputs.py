"""What the outputs of a student and its teacher are, by losses, graphs or the caller's word."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from tfprune.compression.distillation.distances import divergence, logits_of, mean_square
from tfprune.compression.distillation.ends import End

Compare = Literal["classes", "labels", "values"]

# Keras's losses, by name without "_" and capitals: what the outputs are, and whether probabilities
# unless the loss says that they are logits.
_LOSSES: dict[str, tuple[Compare, bool]] = {
    "categoricalcrossentropy": ("classes", True),
    "sparsecategoricalcrossentropy": ("classes", True),
    "categoricalfocalcrossentropy": ("classes", True),
    "categoricalgeneralizedcrossentropy": ("classes", True),
    "kldivergence": ("classes", True),
    "categoricalhinge": ("classes", False),
    "binarycrossentropy": ("labels", True),
    "binaryfocalcrossentropy": ("labels", True),
    "dice": ("labels", True),
    "tversky": ("labels", True),
    "meansquarederror": ("values", False),
    "meanabsoluteerror": ("values", False),
    "meanabsolutepercentageerror": ("values", False),
    "meansquaredlogarithmicerror": ("values", False),
    "huber": ("values", False),
    "logcosh": ("values", False),
    "cosinesimilarity": ("values", False),
    "poisson": ("values", False),
    "hinge": ("values", False),
    "squaredhinge": ("values", False),
}
_BY_END: dict[str, Compare] = {"softmax": "classes", "sigmoid": "labels"}
_ENDS: dict[Compare, str] = {"classes": "softmax", "labels": "sigmoid", "values": ""}


@dataclasses.dataclass(frozen=True)
class Output:
    """How one output of a student is compared with that of its teacher.

    Args:
        compare: as one class of several, as labels that each hold or not, or as plain values.
        mine: end of the student, "softmax" or "sigmoid" where that gives probabilities, "" where
            it gives logits or values.
        own: the same of the teacher.
        weight: of the output in the loss.
        axis: of the classes, or the one that the loss takes the mean of, counted from the last.
        ignored: class whose places the loss leaves out; None for none.
        reduction: of the loss.
    """

    compare: Compare
    mine: str
    own: str
    weight: float
    axis: int
    ignored: int | None
    reduction: str


def outputs_of(
    ends: Sequence[Sequence[End]],
    losses: Sequence[Any],
    weights: Sequence[float | Sequence[float] | None],
    compare: Sequence[Compare | None],
    ranks: Sequence[int],
) -> list[Output | None]:
    """Return how every output is compared; None for one that is not.

    An output without a loss is not compared, unless `compare` says what it is.

    Args:
        ends: of student and teacher, see `ends_with_axes_of`.
        losses: one an output, or a list of several; None where it has none.
        weights: of the losses; None stands for 1.
        compare: what is wanted; None leaves it to the loss or, where that is none of Keras's, to
            the end of the model.
        ranks: numbers of axes, that of the batch included.

    Raises:
        ValueError: if neither says it, no output is compared, or they have their classes along
            several axes.
    """
    found: list[Output | None] = []
    said = [*losses, *compare]
    for mine, own, loss, weight, wanted, rank in zip(
        *ends, losses, weights, compare, ranks, strict=True
    ):
        if loss is None and wanted is None and any(one is not None for one in said):
            found.append(None)
            continue
        by_loss, probable = _read(loss)
        chosen = wanted or by_loss or _BY_END.get(mine.name) or _BY_END.get(own.name)
        if chosen is None:
            raise ValueError(
                "`loss` must be one of Keras's where outputs are learnt from a teacher, or "
                '`compare` of `distill` say what they are: "classes", "labels" or "values". '
                f"Received: loss={loss!r}."
            )
        axis = _axis_of(loss, rank) if by_loss == chosen else None
        if chosen == "classes":
            axis = _axis_of_classes(axis, mine, own)
        learnt = mine.name or probable
        # A teacher whose end does not show gives what the student gives. One that ends as the
        # student does is taken as that is, too, whatever the loss says of both.
        taught = own.name or (learnt and (mine.logits or not own.logits))
        learnt, taught = (_ENDS[chosen] if given else "" for given in (learnt, taught))
        shown = 1.0 if weight is None else sum(keras.tree.flatten(weight))
        along = -1 if axis is None else axis
        ignored = getattr(loss, "ignore_class", None) if by_loss == chosen else None
        reduction = getattr(loss, "reduction", None) or "sum_over_batch_size"
        found.append(Output(chosen, learnt, taught, shown, along, ignored, reduction))
    return found


def _read(loss: Any) -> tuple[Compare | None, bool]:
    """Return what a loss takes outputs for, None if unknown, and whether for probabilities."""
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    for found in [getattr(loss, "fn", loss), *type(loss).__mro__]:
        name = getattr(found, "__name__", "")
        known = _LOSSES.get(name.replace("_", "").lower())
        if known and getattr(keras.losses, name, None) is found:
            return known[0], known[1] and not getattr(loss, "from_logits", False)
    return None, False


def _axis_of(loss: Any, rank: int) -> int:
    """Return the axis, from the last, that one of Keras's losses takes outputs along."""
    options = {"axis": getattr(loss, "axis", None)}
    if options["axis"] is None:  # some losses keep it among the options of their function only
        kind: Any
        for kind in type(loss).__mro__:
            if kind.__base__ is keras.losses.Loss:
                options = kind.get_config(loss)
    axis = options.get("axis", -1)
    if not isinstance(axis, int):  # of several, as Dice may
        return -1
    return axis - rank if axis >= 0 else axis


def _axis_of_classes(by_loss: int | None, mine: End, own: End) -> int | None:
    """Return the one axis of the classes; None where nothing says it."""
    said: dict[str, int | None] = {} if by_loss is None else {"the loss": by_loss}
    for name, end in (("the student's softmax", mine), ("the teacher's softmax", own)):
        if end.name == "softmax":
            said[name] = end.axis
    axes = set(said.values())
    if len(axes) > 1 or (said and None in axes):
        shown = (f"{'several' if at is None else at} for {name}" for name, at in said.items())
        raise ValueError(
            "`loss` and the softmax at the end of student and teacher must have classes along "
            f"one and the same axis. Received: axis {', '.join(shown)}."
        )
    return axes.pop() if axes else None


def places_that_count(target: Any, prediction: Any, output: Output) -> Any:
    """Return where a target is another class than the ignored one; None where none is ignored."""
    if output.ignored is None:
        return None
    if len(target.shape) == len(prediction.shape) and target.shape[output.axis] == 1:
        target = ops.squeeze(target, output.axis)
    return ops.not_equal(target, ops.cast(output.ignored, target.dtype))


def apart(mine: Any, own: Any, output: Output, temperature: float) -> Any:
    """Return how far an output of every example (and place) is from the teacher's.

    Args:
        mine: of the student, of any shape.
        own: of the teacher, of the same shape.
        output: how they are compared.
        temperature: > 0, divides logits.

    Returns:
        Of the same shape without the axis of the classes.
    """
    mine, own = (ops.moveaxis(value, output.axis, -1) for value in (mine, own))
    if output.compare == "values":
        return mean_square(mine, own)
    mine, own = logits_of(mine, output.mine), logits_of(own, output.own)
    if output.compare == "classes":
        return divergence(mine, own, temperature)
    # each two classes, with logits 0 and z
    mine, own = (ops.stack([ops.zeros_like(z), z], -1) for z in (mine, own))
    return ops.mean(divergence(mine, own, temperature), axis=-1)
