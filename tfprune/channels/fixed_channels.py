"""Which channels are the same whatever a model is given: constants, as far as its graph shows them.

Zero kernels make a constant; what is computed from constants alone, channel by channel, is one too.
Two inputs on which a value happens to agree would not show it: a gate can be shut in both.
"""

from collections.abc import Sequence, Set

import keras
import numpy as np

from tfprune.channels.coupling.call_site import kind_of
from tfprune.channels.coupling.ledger import Labels, Settled
from tfprune.channels.coupling.reading import Reading
from tfprune.keras_graph.calls import given_to, graph_of
from tfprune.keras_graph.private_keras import Node, Operation, arguments_of, calls_of
from tfprune.layer_classes.prunable import flatten
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity

_MIXING = frozenset({"LayerNormalization", "RMSNormalization", "UnitNormalization"})
_JOINING = frozenset({"Concatenate", "Stack"})  # other inputs go beside a channel, not into it

Norms = ByIdentity[keras.Variable, keras.layers.BatchNormalization]
Fixed = dict[keras.KerasTensor, np.ndarray]
"""Tensor of the graph -> by root, whether the channel is constant in it."""


def zero_channels(reading: Reading, settled: Settled, norms: Norms | None = None) -> np.ndarray:
    """Return for each root whether all that makes the channel is zero.

    Args:
        reading: of the model.
        settled: its channels.
        norms: kernel -> the batch normalization that is the only way out of its layer; with a scale
            of zero it makes as little of a channel as a kernel of zero.
    """
    made = np.zeros(settled.roots.size, bool)
    live = np.zeros(settled.roots.size, bool)
    shut = _shut(reading, settled)
    for lies in reading.book.weights:
        if lies.makes:
            roots = settled.of(lies.labels)
            loud = lies.nonzero()
            norm = None if norms is None else norms.get(lies.weight)
            if norm in shut:
                loud &= ~shut[norm][roots]
            made[roots] = True
            live[roots[loud]] = True
    made[0] = False
    return made & ~live


def _shut(reading: Reading, settled: Settled) -> dict[Operation, np.ndarray]:
    """Return each batch normalization -> by root, whether its scale is zero."""
    found: dict[Operation, np.ndarray] = {}
    for lies in reading.book.weights:
        norm = lies.layer
        if isinstance(norm, keras.layers.BatchNormalization):
            shut = found.setdefault(norm, np.zeros(settled.roots.size, bool))
            if lies.weight is norm.gamma:
                zero = host_array(lies.weight.value) == 0
                shut[settled.of(lies.labels)[zero]] = True
    return found


def shifted_channels(reading: Reading, settled: Settled) -> np.ndarray:
    """Return for each root whether anything makes, shifts or scales the channel, statistics apart.

    A channel of which nothing does is zero inside of its layers (units, heads) as well.
    """
    found = np.zeros(settled.roots.size, bool)
    for lies in reading.book.weights:
        if not lies.reads and not lies.is_statistic:
            found[settled.of(lies.labels)[lies.nonzero()]] = True
    return found


def find_fixed(
    reading: Reading, settled: Settled, dead: np.ndarray, masked: Set[Operation]
) -> Fixed:
    """Return which channels of every tensor do not depend on the inputs of the model.

    Args:
        reading: of the model.
        settled: its channels.
        dead: by root, whether all that makes the channel is zero.
        masked: layers that are told which time steps count, on which states depend.
    """
    return _Constancy(reading, settled, dead, masked).run()


class _Constancy:
    def __init__(
        self, reading: Reading, settled: Settled, dead: np.ndarray, masked: Set[Operation]
    ):
        self._reading, self._settled, self._dead = reading, settled, dead
        self._masked = masked
        self._labels = reading.labels_of_tensors()
        self._shut = _shut(reading, settled)
        self._made: dict[object, np.ndarray] = {}  # layer -> by root, whether it makes the channel
        for lies in reading.book.weights:
            if lies.makes:
                made = self._made.setdefault(lies.layer, self._none())
                made[settled.of(lies.labels)] = True
        self._found: Fixed = {}

    def run(self) -> Fixed:
        """Return what is constant in every tensor."""
        graph = graph_of(self._reading.model)
        assert graph is not None
        self._run(self._reading.model, [self._none() for _ in graph.inputs])
        return self._found

    def _none(self) -> np.ndarray:
        return np.zeros(self._dead.size, bool)

    def _run(self, model: keras.Model, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Go through one model; in a nested one a channel is constant if it is at every call."""
        graph = graph_of(model)
        assert graph is not None
        here = dict(zip(graph.inputs, inputs))
        for node in calls_of(graph):
            if node.is_input or not all(tensor in here for tensor in node.input_tensors):
                continue
            taken = [here[tensor] for tensor in node.input_tensors]
            nested = graph_of(node.operation)
            if nested is not None:
                given = [
                    here[tensor] if isinstance(tensor, keras.KerasTensor) else self._none()
                    for tensor in given_to(node, nested)
                ]
                outputs = self._run(node.operation, given)
            else:
                outputs = [self._behind(node, taken, own) for own in self._reading.outputs[node]]
            here.update(zip(node.output_tensors, outputs))
        for tensor, fixed in here.items():
            self._found[tensor] = self._found.get(tensor, True) & fixed
        return [here[tensor] for tensor in graph.outputs]

    def _behind(self, node: Node, taken: list[np.ndarray], labels: Labels) -> np.ndarray:
        """Return what is constant in one output of a call.

        Args:
            node: the call.
            taken: what is constant in each of its inputs.
            labels: of the output.
        """
        operation, kind = node.operation, kind_of(node.operation)
        training = arguments_of(node).get("training", False)
        unknown = training is not None and training is not False or not taken
        if unknown or kind in _MIXING or operation in self._masked:
            return self._none()
        carried = [self._of(self._labels[tensor]) for tensor in node.input_tensors]
        alone = ~np.any([has & ~fixed for has, fixed in zip(carried, taken)], axis=0)
        made = self._none()
        layers = flatten(operation) if isinstance(operation, keras.layers.Layer) else []
        for layer in layers:
            made |= self._made.get(layer, False) & self._dead
        whole = np.all(carried, axis=0) if kind not in _JOINING else np.any(carried, axis=0)
        fixed = self._of(labels) & alone & (made | whole | (kind == "Pad"))
        return fixed | self._of(labels) & self._shut.get(operation, False)

    def _of(self, labels: Labels) -> np.ndarray:
        """Return by root whether the channel is among labels."""
        found = self._none()
        found[self._settled.of(labels)] = True
        found[0] = False
        return found
