"""One call of a layer or operation while a model is read, and labels laid out like its tensors.

The labels of a tensor are an array with one axis for each of the tensor's axes but the first, the
batch. An axis along which all labels are the same has size 1. What only moves data (reshape,
transpose, concatenate) is done with the labels themselves.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import keras
import numpy as np

from tfprune.channels.coupling.ledger import Labels, Ledger
from tfprune.keras_graph.private_keras import Operation
from tfprune.layer_classes.axes import OwnWeight, own_weights
from tfprune.support.by_identity import ByIdentity

Shape = tuple[int | None, ...]


class Opaque(Exception):
    """What a call does with channels is not known. The message is a clause that says why."""


class Keeping(Protocol):
    """What is kept of the channels."""

    def mask(self, labels: Labels) -> np.ndarray:
        """Return whether each label is of a kept channel."""

    def count(self, labels: Labels) -> int:
        """Return the number of labels of kept channels."""


Resize = Callable[[dict[str, object], Keeping], None]
"""Write the sizes that are left into the config of a layer."""


@dataclasses.dataclass(frozen=True)
class WeightLabels:
    """Whose channels lie along one axis of a weight.

    Attributes:
        layer: that owns the weight.
        weight: the variable.
        axis: of it.
        labels: one for each place along the axis.
        makes: whether the weight makes these channels; it reads or scales them otherwise.
        reads: whether the weight reads them: a product sums over the axis.
    """

    layer: Operation
    weight: keras.Variable
    axis: int
    labels: Labels
    makes: bool = False
    reads: bool = False


@dataclasses.dataclass
class Book:
    """All that is found out about a model.

    Attributes:
        ledger: which channels there are.
        weights: where they lie, one entry a call and axis.
        resizes: layer -> how its config follows what is kept.
        opaque: weights of layers that are not understood, with the layers' names.
        products: kernels, and at how many places each call multiplies by them.
        unknown: layers with weights that are not understood -> why, as a clause.
        contractions: labels of channels that are multiplied with each other (attention), and the
            multiply-adds for each.
    """

    ledger: Ledger = dataclasses.field(default_factory=Ledger)
    weights: list[WeightLabels] = dataclasses.field(default_factory=list)
    resizes: dict[Operation, Resize] = dataclasses.field(default_factory=dict)
    opaque: list[tuple[keras.Variable, str]] = dataclasses.field(default_factory=list)
    products: list[tuple[keras.Variable, int]] = dataclasses.field(default_factory=list)
    unknown: dict[str, str] = dataclasses.field(default_factory=dict)
    contractions: list[tuple[Labels, int]] = dataclasses.field(default_factory=list)
    _own: dict[tuple[Operation, object], Labels] = dataclasses.field(default_factory=dict)

    def own(self, layer: Operation, key: object, size: int) -> Labels:
        """Return the labels of channels that a layer makes, the same at every call of it."""
        if (layer, key) not in self._own:
            self._own[layer, key] = self.ledger.make(size)
        return self._own[layer, key]

    def mark(self) -> tuple[tuple[int, int, int, int], int, int, int]:
        """Return where the book ends now, for `back_to`."""
        return self.ledger.mark(), len(self.weights), len(self.resizes), len(self._own)

    def back_to(self, mark: tuple[tuple[int, int, int, int], int, int, int]) -> None:
        """Forget what was written since `mark`."""
        ledger, weights, resizes, own = mark
        self.ledger.back_to(ledger)
        del self.weights[weights:]
        for table, length in ((self.resizes, resizes), (self._own, own)):
            while len(table) > length:
                table.popitem()

    def tie_weights(self) -> None:
        """Tie what several calls or layers find along the same axis of one weight."""
        first: ByIdentity[keras.Variable, dict[int, WeightLabels]] = ByIdentity()
        for lies in self.weights:
            known = first.setdefault(lies.weight, {}).setdefault(lies.axis, lies)
            self.ledger.tie(known.labels, lies.labels, lies.layer.name)
        users = ByIdentity(self.opaque)
        for lies in self.weights:
            if lies.weight in users:
                reason = f"'{users[lies.weight]}' uses '{lies.weight.path}' in a way not known"
                self.ledger.freeze(lies.labels, reason)


@dataclasses.dataclass
class Site:
    """One call.

    Attributes:
        operation: layer, or operation such as `x + y`.
        inputs: labels of each input tensor.
        shapes: of each input tensor, without the batch.
        out_shapes: of each output tensor, without the batch.
        tensors: the input tensors.
        arguments: name -> what `call` was called with; tensors among it are those of `tensors`.
        book: where facts go.
    """

    operation: Operation
    inputs: list[Labels]
    shapes: list[Shape]
    out_shapes: list[Shape]
    tensors: Sequence[object]
    arguments: Mapping[str, object]
    book: Book

    @property
    def name(self) -> str:
        return self.operation.name

    @property
    def kind(self) -> str:
        """Name of the class, or of the class of Keras that it is derived from."""
        classes = type(self.operation).__mro__
        return next(kind for kind in classes if kind.__module__.startswith("keras.")).__name__

    @property
    def labelled(self) -> bool:
        """Whether any channel of an input is followed."""
        return any(labels.any() for labels in self.inputs)

    def argument(self, name: str) -> list[tuple[Labels, Shape]]:
        """Return labels and shape of the tensors in one argument of the call."""
        found = []
        for item in keras.tree.flatten(self.arguments.get(name)):
            for tensor, labels, shape in zip(self.tensors, self.inputs, self.shapes):
                if tensor is item:
                    found.append((labels, shape))
                    break
        return found

    def along(self, index: int, axis: int) -> Labels:
        """Return the labels of one input along one axis, counted without the batch."""
        return self.vector(self.inputs[index], self.shapes[index], axis)

    def vector(self, labels: Labels, shape: Shape, axis: int) -> Labels:
        """Return labels along an axis; where they differ along the others too, they are tied."""
        size = shape[axis]
        if size is None:
            if labels.shape[axis] > 1 or labels.any():
                raise Opaque("its channels are as many as it is called with")
            return np.zeros(1, int)
        rows = np.moveaxis(labels, axis, -1).reshape(-1, labels.shape[axis])
        self.book.ledger.tie(rows[:1], rows[1:], self.name)
        return np.broadcast_to(rows[0], (size,))

    def tie(self, first: Labels, second: Labels) -> None:
        self.book.ledger.tie(first, second, self.name)

    def note_unknown(self, why: Opaque) -> None:
        """Write down that the layer is not understood, if it has weights."""
        if getattr(self.operation, "weights", ()):
            self.book.unknown.setdefault(self.name, str(why))

    def owned(
        self, holder: keras.layers.Layer, besides: Sequence[keras.Variable] = ()
    ) -> list[OwnWeight]:
        """Return the weights of a layer (or of its cell) with their axes; all of them are known.

        Args:
            holder: the layer, or its cell.
            besides: weights that the caller knows.
        """
        owned = own_weights(holder)
        known = sum(math.prod(weight.shape) for weight in besides)
        known += sum(math.prod(own.weight.shape) for own in owned)
        if known != self.operation.count_params():
            raise Opaque("it has weights in another form (quantized, LoRA, or of its own)")
        return owned

    def own(self, key: object, size: int) -> Labels:
        return self.book.own(self.operation, key, size)

    def resize(self, change: Resize) -> None:
        """Say how the config of the layer follows what is kept."""
        self.book.resizes[self.operation] = change

    def weigh(
        self,
        weight: keras.Variable,
        axis: int,
        labels: Labels,
        *,
        makes: bool = False,
        reads: bool = False,
    ) -> None:
        """Say whose channels lie along an axis of a weight."""
        if labels.size != weight.shape[axis]:
            raise Opaque(f"axis {axis} of '{weight.path}' has other channels than its input")
        self.book.weights.append(
            WeightLabels(self.operation, weight, axis, labels, makes=makes, reads=reads)
        )

    def multiply(self, kernel: keras.Variable, places: Shape) -> None:
        """Say that the call multiplies by a kernel at as many places as a tensor of this shape has.

        Lengths that are not known count as 1.
        """
        self.book.products.append((kernel, math.prod(size or 1 for size in places)))

    def at(self, operation: Operation, inputs: list[Labels], drop: int) -> "Site":
        """Return the call of an inner layer on parts of this one's inputs.

        Args:
            operation: the inner layer.
            inputs: labels of its inputs.
            drop: axes behind the batch that it does not see.
        """
        return dataclasses.replace(
            self,
            operation=operation,
            inputs=inputs,
            shapes=[shape[drop:] for shape in self.shapes],
            out_shapes=[shape[drop:] for shape in self.out_shapes],
        )


def place(vector: Labels, rank: int, axis: int) -> Labels:
    """Return the labels of a tensor of `rank` axes behind the batch that differ along one.

    Example:
        >>> place(np.array([1, 2]), 3, -1).shape
        (1, 1, 2)
    """
    shape = [1] * rank
    shape[axis] = vector.size
    return vector.reshape(shape)


def unlabelled(shape: Shape) -> Labels:
    """Return the labels of a tensor of which no channel is followed."""
    return np.zeros((1,) * len(shape), int)


def channel_axis(operation: Operation) -> int:
    """Return the channel axis of a layer, counted without the batch."""
    return 0 if getattr(operation, "data_format", None) == "channels_first" else -1


def writes(key: str, labels: Labels) -> Resize:
    """Return the change that writes the number of kept channels to one entry of a config."""

    def change(config: dict[str, object], keeping: Keeping) -> None:
        config[key] = keeping.count(labels)

    return change
