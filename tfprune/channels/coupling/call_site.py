"""One call of a layer or operation while a model is read, and labels laid out like its tensors.

The labels of a tensor are an array with one axis for each of the tensor's axes but the first, the
batch. An axis along which all labels are the same has size 1. What only moves data (reshape,
transpose, concatenate) is done with the labels themselves.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import keras
import numpy as np

from tfprune.channels.coupling.book import Book, Keeping, Multiplication, Resize, WeightLabels
from tfprune.channels.coupling.ledger import Labels
from tfprune.keras_graph.private_keras import Operation
from tfprune.layer_classes.axes import OwnWeight, own_weights

Shape = tuple[int | None, ...]
CONSTANT = "it combines channels with a constant array"
OTHER_FORM = "it has weights in another form (quantized, LoRA, or of its own)"
_OPERANDS = ("x1", "x2", "condition")


class Opaque(Exception):
    """What a call does with channels is not known. The message is a clause that says why."""


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
        times: that a wrapper makes the call, at every step.
    """

    operation: Operation
    inputs: list[Labels]
    shapes: list[Shape]
    out_shapes: list[Shape]
    tensors: Sequence[object]
    arguments: Mapping[str, object]
    book: Book
    times: int = 1

    @property
    def name(self) -> str:
        return self.operation.name

    @property
    def kind(self) -> str:
        """Name of the class, or of the class of Keras that it is derived from."""
        return kind_of(self.operation)

    def in_order(self) -> "Site":
        """Return the call with its tensors in the order of the arguments of `call`.

        Keras has those that are given by keyword in the order of their names.
        """
        order: list[int] = []
        for item in keras.tree.flatten(list(self.arguments.values())):
            for index, tensor in enumerate(self.tensors):
                if tensor is item and index not in order:
                    order.append(index)
                    break
        if len(order) != len(self.tensors):
            return self
        return dataclasses.replace(
            self,
            inputs=[self.inputs[index] for index in order],
            shapes=[self.shapes[index] for index in order],
            tensors=[self.tensors[index] for index in order],
        )

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

    def arrays(self, name: str) -> list[Shape]:
        """Return the shapes of constant arrays in one argument, of more than one entry each."""
        shapes = [
            tuple(item.shape)
            for item in keras.tree.flatten(self.arguments.get(name))
            if isinstance(item, np.ndarray | keras.Variable)
            or (keras.ops.is_tensor(item) and not isinstance(item, keras.KerasTensor))
        ]
        return [shape for shape in shapes if math.prod(shape) > 1]

    def has_constants(self, name: str) -> bool:
        """Return whether one argument has several constants: arrays, or a list beside a tensor."""
        given = self.arguments.get(name)
        if name in _OPERANDS and isinstance(given, list | tuple):
            return len(given) != 1 or not isinstance(given[0], int | float)
        return bool(self.arrays(name))

    def require_tensors(self, names: Iterable[str]) -> None:
        """Raise `Opaque` if arguments hold anything but tensors of the model."""
        given = keras.tree.flatten([self.arguments.get(name) for name in names])
        if not all(isinstance(item, keras.KerasTensor) for item in given):
            raise Opaque(CONSTANT)

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
        self.tie(rows[:1], rows[1:], same=False)
        return np.broadcast_to(rows[0], (size,))

    def tie(self, first: Labels, second: Labels, *, same: bool = True) -> None:
        self.book.ledger.tie(first, second, self.name, same=same)

    def note_unknown(self, why: Opaque) -> None:
        """Write down that the call is not understood, and the layer, if it has weights."""
        self.book.note_misread(self.operation)
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
            raise Opaque(OTHER_FORM)
        return owned

    def own(self, key: object, size: int) -> Labels:
        return self.book.own(self.operation, key, size)

    def share(self, key: object, labels: Labels) -> None:
        """Tie the labels of what a number in the config counts with those of other calls."""
        self.book.share(self.operation, key, labels)

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

    def multiply(
        self, kernel: keras.Variable | None, places: Shape, labels: Labels | None = None
    ) -> None:
        """Say that the call multiplies by a kernel at as many places as a tensor of this shape has.

        Lengths that are not known count as 1.

        Args:
            kernel: None for places of a product of tensors.
            places: for each of the labels.
            labels: of channels that it multiplies at, each apart; None where there are none.
        """
        labels = np.zeros(1, int) if labels is None else labels
        each = self.times * math.prod(size or 1 for size in places)
        self.book.products.append(Multiplication(kernel, labels, each))

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
            times=self.times * math.prod(size or 1 for size in self.shapes[0][:drop]),
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


def kind_of(operation: Operation) -> str:
    """Return the name of an operation's class, or of the class of Keras that it is derived from."""
    classes = type(operation).__mro__
    of_keras = (kind for kind in classes if kind.__module__.startswith("keras."))
    return next(of_keras, classes[0]).__name__


def channel_axis(operation: Operation) -> int:
    """Return the channel axis of a layer, counted without the batch."""
    return 0 if getattr(operation, "data_format", None) == "channels_first" else -1


def writes(key: str, labels: Labels) -> Resize:
    """Return the change that writes the number of kept channels to one entry of a config."""

    def change(config: dict[str, object], keeping: Keeping) -> None:
        config[key] = keeping.count(labels)

    return change
