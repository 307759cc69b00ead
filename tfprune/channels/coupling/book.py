"""All that is found out about a model: where its channels lie, and what is multiplied."""

import dataclasses
from collections.abc import Callable
from typing import Protocol

import keras
import numpy as np

from tfprune.channels.coupling.ledger import Labels, Ledger
from tfprune.keras_graph.private_keras import Operation
from tfprune.layer_classes.axes import own_weights
from tfprune.layer_classes.prunable import flatten
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity


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

    @property
    def is_statistic(self) -> bool:
        """Whether this is a mean or a variance that a batch normalization keeps."""
        norm = self.layer
        return isinstance(norm, keras.layers.BatchNormalization) and any(
            self.weight is weight for weight in (norm.moving_mean, norm.moving_variance)
        )

    @property
    def gates(self) -> int:
        """How many gates of each unit lie side by side along the weight's axis of units."""
        layers = flatten(self.layer) if isinstance(self.layer, keras.layers.Layer) else []
        owned = (own for layer in layers for own in own_weights(layer))
        return next((own.axes.gates for own in owned if own.weight is self.weight), 1)

    def nonzero(self) -> np.ndarray:
        """Return for each place along the axis whether anything there is not zero."""
        others = tuple(axis for axis in range(len(self.weight.shape)) if axis != self.axis)
        return np.asarray((host_array(self.weight.value) != 0).any(axis=others))


@dataclasses.dataclass(frozen=True)
class Multiplication:
    """What one call multiplies.

    Attributes:
        kernel: it multiplies by; None where tensors are multiplied with each other (attention), or
            by a kernel in a form of its own.
        labels: of the channels that it multiplies at, each apart; 0 where all go the same way.
        each: times that it multiplies by the kernel for each of the labels, or multiply-adds.
    """

    kernel: keras.Variable | None
    labels: Labels
    each: int

    @property
    def places(self) -> int:
        """Times that it multiplies by the kernel, or multiply-adds, with all channels."""
        return self.labels.size * self.each


@dataclasses.dataclass
class Book:
    """All that is found out about a model.

    Attributes:
        ledger: which channels there are.
        weights: where they lie, one entry a call and axis.
        resizes: layer -> how its config follows what is kept.
        opaque: weights of layers that are not understood, with the layers' names.
        products: what each call multiplies.
        unknown: layers with weights that are not understood -> why, as a clause.
        uncounted: layers and operations whose multiply-adds are not known.
    """

    ledger: Ledger = dataclasses.field(default_factory=Ledger)
    weights: list[WeightLabels] = dataclasses.field(default_factory=list)
    resizes: dict[Operation, Resize] = dataclasses.field(default_factory=dict)
    opaque: list[tuple[keras.Variable, str]] = dataclasses.field(default_factory=list)
    products: list[Multiplication] = dataclasses.field(default_factory=list)
    unknown: dict[str, str] = dataclasses.field(default_factory=dict)
    uncounted: list[str] = dataclasses.field(default_factory=list)
    _own: dict[tuple[Operation, object], Labels] = dataclasses.field(default_factory=dict)
    _misread: set[Operation] = dataclasses.field(default_factory=set)

    def own(self, layer: Operation, key: object, size: int) -> Labels:
        """Return the labels of channels that a layer makes, the same at every call of it."""
        if (layer, key) not in self._own:
            self._own[layer, key] = self.ledger.make(size)
        return self._own[layer, key]

    def share(self, layer: Operation, key: object, labels: Labels) -> None:
        """Tie the labels that a number in a layer's config counts at each call of it."""
        self.ledger.tie(self._own.setdefault((layer, key), labels), labels, layer.name)

    def note_misread(self, layer: Operation) -> None:
        """Write down that a call of the layer is not understood; `back_to` does not forget it.

        Other layers may have the same weights, which stay there, too.
        """
        self._misread.add(layer)
        self.opaque.extend((weight, layer.name) for weight in getattr(layer, "weights", ()))

    def mark(self) -> tuple[tuple[int, int, int, int], int, int, int]:
        """Return where the book ends now, for `back_to`."""
        return self.ledger.mark(), len(self.weights), len(self.resizes), len(self._own)

    def written(self, mark: tuple[tuple[int, int, int, int], int, int, int]) -> list[Labels]:
        """Return the labels that what was written since `mark` is about."""
        return self.ledger.written(mark[0]) + [lies.labels for lies in self.weights[mark[1] :]]

    def back_to(self, mark: tuple[tuple[int, int, int, int], int, int, int]) -> None:
        """Forget what was written since `mark`."""
        ledger, weights, resizes, own = mark
        self.ledger.back_to(ledger)
        del self.weights[weights:]
        for table, length in ((self.resizes, resizes), (self._own, own)):
            while len(table) > length:
                table.popitem()

    def tie_weights(self) -> None:
        """Tie what several calls or layers find along the same axis of one weight.

        What belongs to a layer stays where another call of it is not known.
        """
        first: ByIdentity[keras.Variable, dict[int, WeightLabels]] = ByIdentity()
        for lies in self.weights:
            known = first.setdefault(lies.weight, {}).setdefault(lies.axis, lies)
            self.ledger.tie(known.labels, lies.labels, lies.layer.name)
        users = ByIdentity(self.opaque)
        for lies in self.weights:
            if lies.weight in users:
                reason = f"'{users[lies.weight]}' uses '{lies.weight.path}' in a way not known"
                self.ledger.freeze(lies.labels, reason)
        for (layer, _), labels in self._own.items():
            if layer in self._misread:
                self.ledger.freeze(labels, f"'{layer.name}' is called in a way not known, too")
