"""What part of its input each convolution or pool reads, and how to say so in operators.

Along one axis, output i reads the inputs from `stride * i - begin` on, `kernel` of them. A file
says this with SAME or VALID padding and perhaps a PAD before it; here it is three numbers, from
which rotation and symmetric padding are one line each.
"""

import dataclasses

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors

CONVOLUTIONS = frozenset({OPERATORS.CONV_2D, OPERATORS.DEPTHWISE_CONV_2D})
POOLS = frozenset({OPERATORS.MAX_POOL_2D, OPERATORS.AVERAGE_POOL_2D})

Pads = tuple[tuple[int, int], tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Axis:
    """The window along the height or the width.

    Attributes:
        size: Inputs, without padding.
        outputs: Outputs.
        kernel: Inputs that a window spans, dilation included.
        stride: Inputs from one window to the next.
        begin: Zeros before the first input; negative where the first window starts behind it.
    """

    size: int
    outputs: int
    kernel: int
    stride: int
    begin: int

    @property
    def end(self) -> int:
        """Zeros that the last window reads behind the last input; negative for inputs left out."""
        return (self.outputs - 1) * self.stride + self.kernel - self.size - self.begin

    @property
    def rotated(self) -> "Axis":
        """The same window where inputs and outputs come in reverse order."""
        return dataclasses.replace(self, begin=self.end)

    @property
    def symmetric(self) -> bool:
        """Whether half a kernel of zeros on both sides gives these windows, no more and no fewer.

        The zeros at the end that no window reads are free, so (1, 0) may be widened to (1, 1).
        """
        outputs = (self.size + 2 * self.begin - self.kernel) // self.stride + 1
        return self.kernel % 2 == 1 and self.begin == self.kernel // 2 and outputs == self.outputs


@dataclasses.dataclass(frozen=True)
class Window:
    """The windows of one convolution or pool.

    Attributes:
        source: The tensor that is read, before a PAD.
        axes: Height and width.
        pad: The PAD before the operator, if any.
        same: Whether the operator pads by itself: a pool does so without zeros.
    """

    source: int
    axes: tuple[Axis, Axis]
    pad: Operator | None
    same: bool

    @property
    def stride(self) -> int | None:
        """The stride along both axes, any along one of one place; None if they differ."""
        strides = {axis.stride for axis in self.axes if (axis.size, axis.outputs) != (1, 1)}
        return strides.pop() if len(strides) == 1 else None if strides else 1

    @property
    def strided(self) -> bool:
        """Whether some inputs are stepped over."""
        return any(axis.stride > 1 for axis in self.axes)

    @property
    def symmetric(self) -> bool:
        """Whether both axes are."""
        return all(axis.symmetric for axis in self.axes)


def read(subgraph: Subgraph, operator: Operator, producers: dict[int, Operator]) -> Window:
    """Read the windows of a convolution or pool off the file.

    Args:
        subgraph: The subgraph.
        operator: One of `CONVOLUTIONS` or `POOLS`.
        producers: `subgraph.producers()`.
    """
    source, options = int(operator.inputs[0]), operator.builtinOptions
    same = options.padding == schema.Padding.SAME
    if subgraph.code(operator) in POOLS:
        sizes = (options.filterHeight, options.filterWidth)
    else:
        height, width = subgraph.shape(operator.inputs[1])[1:3]
        sizes = (
            (height - 1) * options.dilationHFactor + 1,
            (width - 1) * options.dilationWFactor + 1,
        )
    padded = subgraph.shape(source)[1:3]
    pad = producers.get(source)
    before = None if pad is None else zeros_of(subgraph, pad)
    if pad is None or before is None or (same and subgraph.code(operator) in POOLS):
        pad, before = None, ((0, 0), (0, 0))
    else:
        source = int(pad.inputs[0])
    axes = []
    for place in (0, 1):
        stride = (options.strideH, options.strideW)[place]
        outputs = subgraph.shape(operator.outputs[0])[1 + place]
        missing = max((outputs - 1) * stride + sizes[place] - padded[place], 0) if same else 0
        begin = missing // 2 + before[place][0]
        axes.append(
            Axis(subgraph.shape(source)[1 + place], outputs, sizes[place], stride, begin=begin)
        )
    return Window(source, (axes[0], axes[1]), pad, same)


def zeros_of(subgraph: Subgraph, operator: Operator) -> Pads | None:
    """What a PAD adds above, below, left and right; None if it is no PAD or adds elsewhere too."""
    if subgraph.code(operator) != OPERATORS.PAD:
        return None
    pads = subgraph.constant(int(operator.inputs[1]))
    if pads is None or pads.shape != (4, 2) or pads[[0, 3]].any():
        return None
    (top, bottom), (left, right) = pads[1:3].tolist()
    return (top, bottom), (left, right)


def set_padding(subgraph: Subgraph, operator: Operator, source: int, pads: Pads) -> list[Operator]:
    """Let an operator read a tensor through a PAD of its own.

    Args:
        subgraph: The subgraph.
        operator: One of `CONVOLUTIONS` or `POOLS`, changed in place.
        source: The tensor to read.
        pads: Zeros above, below, left and right, all >= 0.

    Returns:
        The operators to run in its place, in order.
    """
    operator.builtinOptions.padding = schema.Padding.VALID
    if not any(map(any, pads)):
        subgraph.replace_input(operator, operator.inputs[0], source)
        return [operator]
    made, padded = pad_operator(subgraph, source, pads)
    subgraph.replace_input(operator, operator.inputs[0], padded)
    return [made, operator]


def pad_operator(subgraph: Subgraph, source: int, pads: Pads) -> tuple[Operator, int]:
    """A PAD of the height and width of a tensor, and the tensor that it writes."""
    name = f"{tensors.short_name(subgraph, source)}/pads"
    amounts = subgraph.add_constant(np.array([(0, 0), *pads, (0, 0)], np.int32), name=name)
    batch, height, width, channels = subgraph.shape(source)
    sizes = (batch, height + sum(pads[0]), width + sum(pads[1]), channels)
    padded = tensors.like(subgraph, source, sizes, "padded")
    made = subgraph.operator(OPERATORS.PAD, [source, amounts], [padded], schema.PadOptionsT())
    return made, padded
