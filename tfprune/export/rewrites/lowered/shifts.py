"""A convolution as 1x1 convolutions around a depthwise shift.

XNNPACK skips the zeros of 1x1 convolutions only. A convolution sums `kernel[o, t, c]` times channel
c of the input, moved by the offset of tap t; a depthwise convolution whose every channel has a
single 1 moves channels and takes over the stride. Two orders, both exact:

- *gather*: a 1x1 convolution copies each channel once per tap that uses it, the shift moves the
  copies, a sparse 1x1 convolution sums them up. With one tap, nothing needs copying;
- *scatter*: a sparse 1x1 convolution computes the share of each tap in each output, the shift moves
  the shares, and a 1x1 convolution of ones sums them up.

Taps and pairs without a weight are left out, and the tap that need not move is a 1x1 convolution
of its own.
"""

import dataclasses

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors, windows

_NO_ACTIVATION = schema.ActivationFunctionType.NONE
SIZES = (3, 5)  # depthwise kernels that XNNPACK's sparse mode takes

Offset = tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Taps:
    """A convolution, tap by tap.

    Attributes:
        kernel: The weights, of shape (outputs, taps, channels).
        offsets: Rows and columns from `stride` times the output's place to the tap's input.
        stride: 1 or 2, along both axes.
    """

    kernel: np.ndarray
    offsets: tuple[Offset, ...]
    stride: int

    @property
    def used(self) -> "Taps":
        """Those taps that have a weight; one, if none has."""
        rows = np.flatnonzero(self.kernel.any((0, 2)))
        rows = rows if rows.size else np.zeros(1, np.intp)
        offsets = tuple(self.offsets[row] for row in rows)
        return Taps(self.kernel[:, rows], offsets, self.stride)

    @property
    def sparsity(self) -> float:
        """The fraction of zeros among the weights of the taps."""
        return 1 - np.count_nonzero(self.kernel) / self.kernel.size


class Emitter:
    """Writes operators in XNNPACK's sparse vocabulary; makes each shift of one tensor once."""

    def __init__(self, subgraph: Subgraph) -> None:
        self.subgraph = subgraph
        self.moved: dict[tuple[int, int, Offset], int] = {}

    def convolution(
        self, source: int, taps: Taps, size: int, bias: int, activation: int, output: int
    ) -> list[Operator]:
        """A convolution as 1x1 convolutions and a shift.

        Args:
            source: The tensor to read.
            taps: What to compute.
            size: Of the depthwise kernel, which reaches all offsets.
            bias: The tensor of the bias, -1 for none.
            activation: The fused activation of the result.
            output: The tensor to write.
        """
        if len(taps.offsets) == 1:
            made, moved = self.shift_all(source, taps.offsets[0], taps.stride, size)
            last = self.pointwise(moved, taps.kernel[:, 0], bias, activation, output)
            return [*made, last]
        if taps.stride == 1 and (0, 0) in taps.offsets:
            return self._centred(source, taps, size, bias, activation, output)
        return self._moved(source, taps, size, bias, activation, output)

    def _centred(
        self, source: int, taps: Taps, size: int, bias: int, activation: int, output: int
    ) -> list[Operator]:
        """The tap that needs no moving as a 1x1 convolution, added to the others."""
        place = taps.offsets.index((0, 0))
        offsets = (*taps.offsets[:place], *taps.offsets[place + 1 :])
        others = Taps(np.delete(taps.kernel, place, axis=1), offsets, taps.stride)
        sizes = self.subgraph.shape(output)
        centre = tensors.like(self.subgraph, output, sizes, "centre")
        around = tensors.like(self.subgraph, output, sizes, "around")
        options = schema.AddOptionsT()
        options.fusedActivationFunction = activation
        return [
            *self.convolution(source, others, size, -1, _NO_ACTIVATION, around),
            self.pointwise(source, taps.kernel[:, place], bias, _NO_ACTIVATION, centre),
            self.subgraph.operator(OPERATORS.ADD, [centre, around], [output], options),
        ]

    def _moved(
        self, source: int, taps: Taps, size: int, bias: int, activation: int, output: int
    ) -> list[Operator]:
        """Several taps, gathered or scattered."""
        first, last, used = _factors(taps, self.subgraph.shape(source), size)
        made, moved = self._copied(source, first, taps, used, size)
        return [*made, self.pointwise(moved, last, bias, activation, output)]

    def _copied(
        self, source: int, copies: np.ndarray, taps: Taps, used: np.ndarray, size: int
    ) -> tuple[list[Operator], int]:
        """Sums of channels, each moved by the offset of its tap."""
        kernel = np.zeros((size, size, len(used)), np.float32)
        for position, tap in enumerate(used):
            y, x = taps.offsets[tap]
            kernel[size // 2 + y, size // 2 + x, position] = 1
        _, height, width, _ = self.subgraph.shape(source)
        name = f"{tensors.short_name(self.subgraph, source)}/pairs"
        wide = self._tensor(source, height, width, len(used), name)
        start = self.pointwise(source, copies, -1, _NO_ACTIVATION, wide)
        made, moved = self.depthwise(wide, kernel, taps.stride, _NO_ACTIVATION)
        return [start, *made], moved

    def gathered(
        self, source: int, taps: Taps, size: int
    ) -> tuple[list[Operator], int, np.ndarray]:
        """All that a convolution reads, as channels of the place that reads it.

        Returns:
            The operators, the tensor that they write, and the weights for its channels, of shape
            (outputs, channels).
        """
        if taps.offsets == ((0, 0),) and taps.stride == 1:
            return [], source, taps.kernel[:, 0]
        tap, channel = np.argwhere(taps.kernel.any(0)).T
        copies = np.eye(taps.kernel.shape[2], dtype=np.float32)[channel]
        made, moved = self._copied(source, copies, taps, tap, size)
        return made, moved, taps.kernel[:, tap, channel]

    def shift_all(
        self, source: int, offset: Offset, stride: int, size: int
    ) -> tuple[list[Operator], int]:
        """All channels moved by one offset: the operators, and the tensor that they write."""
        if (key := (source, stride, offset)) in self.moved:
            return [], self.moved[key]
        kernel = np.zeros((size, size, self.subgraph.shape(source)[3]), np.float32)
        kernel[size // 2 + offset[0], size // 2 + offset[1]] = 1
        made, self.moved[key] = self.depthwise(source, kernel, stride, _NO_ACTIVATION)
        return made, self.moved[key]

    def pointwise(
        self, source: int, weights: np.ndarray, bias: int, activation: int, output: int
    ) -> Operator:
        """A 1x1 convolution with weights of shape (outputs, channels)."""
        name = tensors.short_name(self.subgraph, output)
        kernel = self.subgraph.add_constant(weights[:, None, None].copy(), name=f"{name}/weights")
        if bias < 0:
            bias = self._no_bias(len(weights))
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideH = options.strideW = 1
        options.fusedActivationFunction = activation
        return self.subgraph.operator(OPERATORS.CONV_2D, [source, kernel, bias], [output], options)

    def depthwise(
        self,
        source: int,
        kernel: np.ndarray,
        stride: int,
        activation: int,
        bias: int = -1,
        output: int = -1,
    ) -> tuple[list[Operator], int]:
        """A depthwise convolution with half a kernel of zeros around, of shape (k, k, channels).

        Without an `output`, it writes a tensor of its own.
        """
        size, _, channels = kernel.shape
        _, height, width, _ = self.subgraph.shape(source)
        name = f"{tensors.short_name(self.subgraph, source)}/moved"
        weights = self.subgraph.add_constant(kernel[None], name=f"{name}/weights")
        moved = output
        if moved < 0:
            moved = self._tensor(source, -(-height // stride), -(-width // stride), channels, name)
        options = schema.DepthwiseConv2DOptionsT()
        options.padding = schema.Padding.SAME
        options.strideH = options.strideW = stride
        options.depthMultiplier = 1
        options.fusedActivationFunction = activation
        inputs = [source, weights, bias if bias >= 0 else self._no_bias(channels)]
        made = self.subgraph.operator(OPERATORS.DEPTHWISE_CONV_2D, inputs, [moved], options)
        if stride == 1:
            return [made], moved
        half = (size // 2, size // 2)
        return windows.set_padding(self.subgraph, made, source, (half, half)), moved

    def _tensor(self, source: int, height: int, width: int, channels: int, name: str) -> int:
        batch = self.subgraph.shape(source)[0]
        made = tensors.like(self.subgraph, source, (batch, height, width, channels), "")
        self.subgraph.tensor(made).name = name.encode()
        return made

    def _no_bias(self, channels: int) -> int:
        return self.subgraph.add_constant(np.zeros(channels, np.float32), name="no_bias")


def _factors(
    taps: Taps, sizes: tuple[int, ...], size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrices before and after the shift, and the tap that each channel between belongs to.

    Of the two orders, that with fewer multiply-adds: every pair is copied or summed, and shifted;
    the weights count at the places where they are applied.

    Args:
        taps: What to compute.
        sizes: The shape of the tensor to read.
        size: Of the depthwise kernel.
    """
    outputs, _, channels = taps.kernel.shape
    places = sizes[1] * sizes[2]
    kept = -(-places // taps.stride**2)
    nonzeros = np.count_nonzero(taps.kernel)
    gathered = np.argwhere(taps.kernel.any(0))  # pairs (tap, channel)
    scattered = np.argwhere(taps.kernel.any(2).T)  # pairs (tap, output)
    gather = len(gathered) * (places + size**2 * kept) + nonzeros * kept
    scatter = nonzeros * places + len(scattered) * (size**2 + 1) * kept
    if gather < scatter:
        tap, channel = gathered.T
        return np.eye(channels, dtype=np.float32)[channel], taps.kernel[:, tap, channel], tap
    tap, output = scattered.T
    return taps.kernel[output, tap], np.eye(outputs, dtype=np.float32)[:, output], tap
