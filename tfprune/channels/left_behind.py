"""What removed channels leave behind: a constant that the next layer can take over.

A channel whose kernels are zero is not zero: its bias and its batch normalization still make
act(beta - gamma * mean / sigma) of it. A layer that reads it has this constant times its kernel in
every output, which its bias takes over, or the moving mean of the batch normalization behind it.
That is exact where all places that the layer reads have the constant, whatever the inputs are and
however long. Where padding puts zeros beside it, the outputs at the border differ: the constant in
the middle is taken over, and the layer is named by `Constants.inexact`. A value that depends on the
inputs, such as a constant times a gate, is not taken over.
"""

import dataclasses
import functools
from collections.abc import Sequence

import keras
import numpy as np

from tfprune.channels.coupling.book import WeightLabels
from tfprune.channels.coupling.call_site import kind_of
from tfprune.channels.coupling.ledger import Settled
from tfprune.channels.coupling.reading import Reading
from tfprune.channels.fixed_channels import (
    Fixed,
    find_fixed,
    shifted_channels,
    zero_channels,
)
from tfprune.channels.gating import gated
from tfprune.channels.kept import Kept
from tfprune.channels.samples import on_random_inputs
from tfprune.keras_graph.coupling import batch_norm_of
from tfprune.keras_graph.private_keras import Node, Operation, timestep_mask
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity
from tfprune.support.tensors import Nest, Tensor

_ROUNDING = 1e-5  # of a constant, in float32
_COARSE = 2e-2  # the same in 16 bits

_KINDS = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


@dataclasses.dataclass(frozen=True)
class Constants:
    """What is taken over, and what cannot be.

    Attributes:
        values: bias or moving mean -> its value with the constants in it.
        inexact: names of layers that read a removed constant beside padding, or have nothing that
            could take it over.
    """

    values: ByIdentity[keras.Variable, np.ndarray]
    inexact: tuple[str, ...] = ()


def constants(reading: Reading, kept: Kept) -> Constants:
    """Return what the channels that go leave behind.

    Only channels whose kernels are zero, or shut off behind them, leave something; of a live
    channel nothing is left.
    """
    settled = kept.settled
    norms = batch_norm_of(reading.model)
    gone = np.zeros(settled.roots.size, bool)
    gone[kept.removed] = True
    gone &= zero_channels(reading, settled, norms)
    if not gone.any():
        return Constants(ByIdentity())
    heard = _Heard(reading, settled, gone)
    runs = heard.runs()
    gone &= heard.loud
    readers: dict[Operation, list[WeightLabels]] = {}
    for lies in reading.book.weights:
        if lies.reads and gone[settled.of(lies.labels)].any():
            readers.setdefault(lies.layer, []).append(lies)
    values: ByIdentity[keras.Variable, np.ndarray] = ByIdentity()
    inexact = list(heard.mixed)
    for layer, reads in readers.items():
        left = heard.left_to(layer, reads, [run.get(layer, []) for run in runs])
        added, exact = (np.zeros(1), False) if left is None else left
        if added.any():
            norm = norms.get(layer.kernel)
            if layer.bias is not None:
                values[layer.bias] = host_array(layer.bias.value) + added
            elif norm is not None and _is_next(reading, layer, norm):
                values[norm.moving_mean] = host_array(norm.moving_mean.value) - added
            else:
                exact = False
        if not exact:
            inexact.append(layer.name)
    return Constants(values, tuple(inexact))


@dataclasses.dataclass(frozen=True)
class _Call:
    """What a layer is called with in one run: tensors of the graph, and their values."""

    tensors: Sequence[keras.KerasTensor]
    values: Sequence[np.ndarray]


class _Heard:
    """What is heard of the channels that go, where they are read.

    Args:
        reading: of the model.
        settled: its channels.
        gone: by root, whether the channel goes.

    Attributes:
        loud: by root, whether anything is left of the channel anywhere.
        mixed: names of layers without a kernel that compute other channels from it.
    """

    def __init__(self, reading: Reading, settled: Settled, gone: np.ndarray):
        self._reading, self._settled, self._gone = reading, settled, gone
        self._labels = reading.labels_of_tensors()
        self._readers = {
            lies.layer
            for lies in reading.book.weights
            if lies.reads and gone[settled.of(lies.labels)].any()
        }
        self._masked: set[Operation] = set()
        self.loud = shifted_channels(reading, settled)
        self.mixed: dict[str, None] = {}

    def runs(self) -> list[dict[Operation, list[_Call]]]:
        """Return what each reader is called with, in runs of several lengths where some are open.

        There are none where the model runs at no length that is tried.
        """
        nothing = Kept(self._settled, np.zeros(0, int))

        def run(batch: Nest) -> dict[Operation, list[_Call]]:
            calls: dict[Operation, list[_Call]] = {}

            def see(node: Node, inputs: list[Tensor]) -> None:
                if any(timestep_mask(item) is not None for item in inputs):
                    self._masked.add(node.operation)
                call = _Call(node.input_tensors, [host_array(item) for item in inputs])
                self._listen(node.operation, call)
                if node.operation in self._readers:
                    calls.setdefault(node.operation, []).append(call)

            gated(self._reading, nothing, batch, see=see)
            return calls

        try:
            return list(on_random_inputs(self._reading.model, run))
        except Exception:  # of the last length, or of unknown words
            return []

    def _listen(self, operation: Operation, call: _Call) -> None:
        for tensor, array in zip(call.tensors, call.values):
            roots = self._settled.of(self._labels[tensor])
            if self._gone[roots].any():
                same = tuple(at + 1 for at, size in enumerate(roots.shape) if size == 1)
                nonzero = (array != 0).any(axis=(0, *same), keepdims=True)[0]
                self.loud[roots[nonzero]] = True
                mixes = kind_of(operation) == "UnitNormalization"
                if mixes and (nonzero & self._gone[roots]).any():
                    self.mixed[operation.name] = None

    def left_to(
        self, layer: Operation, reads: list[WeightLabels], runs: list[list[_Call]]
    ) -> tuple[np.ndarray, bool] | None:
        """Return what constants add to each output of a layer, and whether everywhere.

        None if it is not known: of channels that lie inside the layer, on another axis or in
        several inputs, and of what depends on the inputs of the model.

        Args:
            layer: that reads channels.
            reads: where they lie in its weights.
            runs: its calls.
        """
        calls = [call for run in runs for call in run]
        wanted = np.unique(np.concatenate([self._settled.of(lies.labels) for lies in reads]))
        wanted = wanted[self._gone[wanted] & self.loud[wanted]]
        if not calls or not all(self._carries(call, wanted) for call in calls):
            return None
        if not all(self._is_fixed(call, wanted) for call in calls):
            return None
        if not any(self._hears(call, wanted) for call in calls):
            return np.zeros(1), True
        plain = type(layer) in _KINDS and getattr(layer, "data_format", "") != "channels_first"
        if not plain or getattr(layer, "groups", 1) != 1 or any(len(run) != 1 for run in runs):
            return None
        roots = self._settled.of(reads[0].labels)
        gone = np.isin(roots, wanted)
        values = [call.values[0][..., gone] for call in calls]
        middle = values[0][0][tuple(size // 2 for size in values[0].shape[1:-1])]
        same = all(_is_everywhere(middle, found) for found in values)
        padded = getattr(layer, "padding", "valid") != "valid"
        single = all(size == 1 for size in getattr(layer, "kernel_size", ()))
        kernel = host_array(layer.kernel.value)
        summed = kernel.reshape(-1, *kernel.shape[-2:]).sum(axis=0, dtype=float)  # over positions
        added = (middle.astype(float) @ summed[gone]).astype(kernel.dtype)
        return added, same and (single or not padded)

    @functools.cached_property
    def _fixed(self) -> Fixed:
        dead = zero_channels(self._reading, self._settled)
        return find_fixed(self._reading, self._settled, dead, self._masked)

    def _is_fixed(self, call: _Call, roots: np.ndarray) -> bool:
        """Return whether the channels are constant wherever they are in what comes in."""
        for tensor in call.tensors:
            here = np.intersect1d(self._settled.of(self._labels[tensor]), roots)
            if not self._fixed[tensor][here].all():
                return False
        return True

    def _carries(self, call: _Call, roots: np.ndarray) -> bool:
        """Return whether all the channels are in what the layer is called with, and not inside."""
        found = [self._settled.of(self._labels[tensor]).ravel() for tensor in call.tensors]
        return bool(np.isin(roots, np.concatenate(found)).all())

    def _hears(self, call: _Call, roots: np.ndarray) -> bool:
        """Return whether any of the channels is not zero in what the layer is called with."""
        for tensor, array in zip(call.tensors, call.values):
            here = np.isin(self._settled.of(self._labels[tensor]), roots)
            if (array[:, np.broadcast_to(here, array.shape[1:])] != 0).any():
                return True
        return False


def _is_everywhere(constant: np.ndarray, values: np.ndarray) -> bool:
    """Return whether values are a constant in every place and example, but for rounding."""
    slack = _ROUNDING if values.dtype.itemsize > 2 else _COARSE
    scale = np.abs(constant.astype(float)).max(initial=0.0)
    distances = np.abs(values.astype(float) - constant.astype(float))
    return bool(distances.max(initial=0.0) <= slack * scale)


def _is_next(
    reading: Reading, layer: keras.layers.Layer, norm: keras.layers.BatchNormalization
) -> bool:
    """Return whether the normalization takes what the layer makes itself, and no function of it."""
    made = {
        tensor
        for node in reading.outputs
        if node.operation is layer
        for tensor in node.output_tensors
    }
    taken = [
        tensor
        for node in reading.outputs
        if node.operation is norm
        for tensor in node.input_tensors
    ]
    linear = getattr(layer.activation, "__name__", "") == "linear"
    return linear and all(tensor in made for tensor in taken)
