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
from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors, windows
from tfprune.export.rewrites.lowered import factoring

_NO_ACTIVATION = schema.ActivationFunctionType.NONE
SIZES = (3, 5)  # depthwise kernels that XNNPACK's sparse mode takes
_MOST = 1.25  # channels that are moved in vain, of those that are not
FARTHEST = 8  # places that a row is moved, one by one

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


def size_of(taps: Taps, rows: int) -> int | None:
    """The depthwise kernel that reaches all offsets; None if none does.

    Args:
        taps: What to compute.
        rows: The height of the image. One row is moved by one place several times: its kernels of
            5x5, which compute on rows that there are not, take four times as long as those of 3x3.
    """
    reach = max(max(abs(y), abs(x)) for y, x in taps.offsets)
    if rows == 1 and reach <= FARTHEST and not any(y for y, _ in taps.offsets):
        return SIZES[0]
    return next((size for size in SIZES if reach <= size // 2), None)


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
        if taps.stride == 1 and self._is_far(source, taps):
            return self._in_turn(source, taps, size, bias, activation, output)
        if taps.stride == 1 and (0, 0) in taps.offsets:
            return self._centred(source, taps, size, bias, activation, output)
        return self._moved(source, taps, size, bias, activation, output)

    def _is_far(self, source: int, taps: Taps) -> bool:
        """Whether it takes fewer shifts to move all channels of a row on, from tap to tap."""
        if self.subgraph.shape(source)[1] > 1:
            return False
        columns = [column for _, column in taps.offsets]
        moves = max(0, *columns) - min(0, *columns)
        pairs = sum(int(taps.kernel[:, tap].any(0).sum()) for tap in range(len(columns)))
        return moves * taps.kernel.shape[2] < pairs * max(map(abs, columns)) / 2

    def _in_turn(
        self, source: int, taps: Taps, size: int, bias: int, activation: int, output: int
    ) -> list[Operator]:
        """A sum of 1x1 convolutions, one a tap, of the source moved further and further."""
        made: list[Operator] = []
        total, sizes = -1, self.subgraph.shape(output)
        for tap, offset in enumerate(taps.offsets):
            moves, moved = self.shift_all(source, offset, 1, size)
            share = tensors.like(self.subgraph, output, sizes, "share")
            own_bias = bias if tap == 0 else -1
            made += moves
            made.append(
                self.pointwise(moved, taps.kernel[:, tap], own_bias, _NO_ACTIVATION, share)
            )
            if tap == 0:
                total = share
                continue
            last = tap == len(taps.offsets) - 1
            summed = output if last else tensors.like(self.subgraph, output, sizes, "sum")
            options = schema.AddOptionsT()
            options.fusedActivationFunction = activation if last else _NO_ACTIVATION
            made.append(
                self.subgraph.operator(OPERATORS.ADD, [total, share], [summed], options)
            )
            total = summed
        return made

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
        tap, channel = np.argwhere(taps.kernel.any(0)).T
        if len(set(channel)) == len(channel) and _MOST * len(channel) >= taps.kernel.shape[2]:
            made, moved, last = self._moved_once(source, taps, size)
        else:
            first, last, used = factoring.factors(
                taps.kernel, taps.stride, self.subgraph.shape(source), size
            )
            made, moved = self._copied(source, first, taps, used, size)
        return [*made, self.pointwise(moved, last, bias, activation, output)]

    def _moved_once(
        self, source: int, taps: Taps, size: int
    ) -> tuple[list[Operator], int, np.ndarray]:
        """Channels each of which no two taps read, all moved in place; and their weights."""
        used = taps.kernel.any(0).argmax(0)
        offsets = [taps.offsets[tap] for tap in used]
        made, moved = self._shifted(source, offsets, taps.stride, size)
        return made, moved, taps.kernel.sum(1)

    def _copied(
        self, source: int, copies: np.ndarray, taps: Taps, used: np.ndarray, size: int
    ) -> tuple[list[Operator], int]:
        """Sums of channels, each moved by the offset of its tap."""
        _, height, width, _ = self.subgraph.shape(source)
        name = f"{tensors.short_name(self.subgraph, source)}/pairs"
        wide = self._tensor(source, height, width, len(used), name)
        start = self.pointwise(source, copies, -1, _NO_ACTIVATION, wide)
        offsets = [taps.offsets[tap] for tap in used]
        made, moved = self._shifted(wide, offsets, taps.stride, size)
        return [start, *made], moved

    def _shifted(
        self, source: int, offsets: Sequence[Offset], stride: int, size: int
    ) -> tuple[list[Operator], int]:
        """Each channel moved by its offset, in as many steps as the kernel needs."""
        left, made, half = np.array(offsets), [], size // 2
        while True:
            # Nothing that leaves the image comes back: a channel moves in one direction only.
            step = np.clip(left, -half, half)
            left, last = left - step, not np.any(left - step)
            kernel = np.zeros((size, size, len(left)), np.float32)
            kernel[half + step[:, 0], half + step[:, 1], np.arange(len(left))] = 1
            moved, source = self.depthwise(source, kernel, stride if last else 1, _NO_ACTIVATION)
            made += moved
            if last:
                return made, source

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
        if offset == (0, 0) and stride == 1:
            return [], source
        made: list[Operator] = []
        _, height, _, channels = self.subgraph.shape(source)
        start, (row, column) = source, offset
        if height == stride == 1 and row == 0 and abs(column) > 1:
            nearer = column - 1 if column > 0 else column + 1
            made, start = self.shift_all(source, (0, nearer), 1, size)
            column -= nearer
        last, self.moved[key] = self._shifted(start, [(row, column)] * channels, stride, size)
        return [*made, *last], self.moved[key]

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
