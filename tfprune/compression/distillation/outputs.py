"""What the outputs of a student and its teacher are, by losses, graphs or the caller's word."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import keras

from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.private_keras import call_behind

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
# What leaves values, and which of them belong together, as they are.
_PASSING = (
    keras.layers.Identity,
    keras.layers.Dropout,
    keras.layers.Reshape,
    keras.layers.Flatten,
)


@dataclasses.dataclass(frozen=True)
class Output:
    """How one output of a student is compared with that of its teacher.

    Args:
        compare: as one class of several, as labels that each hold or not, or as plain values.
        mine: end of the student, "softmax" or "sigmoid" where that gives probabilities, "" where
            it gives logits or values.
        own: the same of the teacher.
        weight: of the output in the loss.
    """

    compare: Compare
    mine: str
    own: str
    weight: float


def outputs_of(
    ends: tuple[Sequence[str], Sequence[str]],
    losses: Sequence[Any],
    weights: Sequence[float | None],
    compare: Sequence[Compare | None],
) -> list[Output]:
    """Return how every output is compared.

    Args:
        ends: of student and teacher, see `ends_of`.
        losses: one an output; None where it has none.
        weights: of the losses; None stands for 1.
        compare: what is wanted; None leaves it to the loss or, where that is none of Keras's, to
            the end of the model.

    Raises:
        ValueError: if neither says it.
    """
    found = []
    for mine, own, loss, weight, wanted in zip(*ends, losses, weights, compare, strict=True):
        by_loss, probable = _read(loss)
        chosen = wanted or by_loss or _BY_END.get(mine) or _BY_END.get(own)
        if chosen is None:
            raise ValueError(
                "`loss` must be one of Keras's where outputs are learnt from a teacher, or "
                '`compare` of `distill` say what they are: "classes", "labels" or "values". '
                f"Received: loss={loss!r}."
            )
        # A teacher whose end does not show gives what the student gives whose end shows no more.
        taught = own or (probable and not mine)
        learnt = mine or probable
        learnt, taught = (_ENDS[chosen] if given else "" for given in (learnt, taught))
        found.append(Output(chosen, learnt, taught, 1.0 if weight is None else weight))
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


def for_each_output(given: Any, y_pred: Any, names: Sequence[str] | None) -> list[Any]:
    """Return what is given for each output, in the order of the outputs.

    Args:
        given: one for all, a list, or a dictionary by name.
        y_pred: the outputs, in their structure.
        names: of the outputs, where the model has some.
    """
    count = len(keras.tree.flatten(y_pred))
    if isinstance(given, dict):
        by_name = isinstance(y_pred, dict)
        keys = keras.tree.flatten({key: key for key in y_pred}) if by_name else names or []
        return [given.get(key) for key in keys]
    if isinstance(given, (list, tuple)):
        return [*given]
    return [given] * count


def ends_of(model: keras.Model, count: int | None = None) -> list[str]:
    """Return "softmax", "sigmoid" or "" for each output: what it went through at the end.

    Args:
        model: built.
        count: number of its outputs, for a model without a graph, of which nothing shows.
    """
    tensors = getattr(model, "outputs", None)
    return [_end_of(tensor) for tensor in tensors] if tensors else [""] * (count or 1)


def _end_of(tensor: Any) -> str:
    node, position = call_behind(tensor)
    maker = node.operation
    graph = graph_of(maker)
    if graph is not None:  # a nested model
        return _end_of(graph.outputs[position])
    if isinstance(maker, keras.layers.Wrapper):
        maker = maker.layer
    activation = getattr(getattr(maker, "activation", None), "__name__", "")
    name = activation or type(maker).__name__.lower()
    if name in _BY_END:
        return name
    passing = isinstance(maker, _PASSING) or (
        isinstance(maker, keras.layers.Activation) and activation == "linear"
    )
    if passing and node.input_tensors[0].shape[-1] == tensor.shape[-1]:
        return _end_of(node.input_tensors[0])
    return ""
