"""What the axes of one weight stand for, and the kinds of weights that Keras layers have."""

import dataclasses
import enum

from tfprune.layer_classes.equations import Equation
from tfprune.layer_classes.windows import Windows


class Operand(enum.Enum):
    """What a weight is multiplied with, row by row; see `tfprune.layer_classes.inputs`."""

    INPUTS = "what the layer is called with"
    STATE = "the recurrent state"
    GATED_STATE = "h, h and r * h side by side, for the gates of a GRU in turn"
    FILTERED = "what the layer's depthwise kernel makes of its inputs, channel by channel"
    TOKENS = "one-hot rows of the numbers that the layer is called with"
    REVERSED = "what the layer is called with when it runs in reverse"


Pairs = tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class WeightAxes:
    """The role of each axis of a weight. Axes of the weight are numbered from 0.

    An axis without a role is of size 1 or one that no input or output unit belongs to. A weight
    without any role is used element by element, or in a way that is not known.

    Attributes:
        inputs: axes of input units, which the product sums over.
        outputs: axes of output units.
        depthwise: axes of units that are input and output at once.
        spatial: positions of a convolution's kernel.
        gates: equal parts of the output axis, one after the other, that compute the same units.
        groups: equal parts of the output axis, the last, each with inputs of its own: part g of
            group g of the operand's channels, which the input axis counts within one group.
        operand: what the weight is multiplied with; None for what is added or multiplies element
            by element, such as a bias.
        product: how, None with `operand`: an `Equation` or the `Windows` of a convolution.
        reads: (axis of the weight, axis of the operand, or of the layer's inputs without one): the
            same units in the same order.
        writes: (axis of the weight, axis of the layer's output). Several axes on one are merged in
            row-major order: channel i * multiplier + j of a depthwise kernel is [..., i, j].

    Raises:
        ValueError: if an axis has two roles, or is not the only one of `outputs` in parts.

    Example:
        >>> layer = WeightAxes(inputs=(0,), outputs=(1,), writes=((1, -1),))
        >>> layer.writing(2, rank=3)
        (1,)
    """

    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    depthwise: tuple[int, ...] = ()
    spatial: tuple[int, ...] = ()
    gates: int = 1
    groups: int = 1
    operand: Operand | None = None
    product: Equation | Windows | None = None
    reads: Pairs = ()
    writes: Pairs = ()

    def __post_init__(self) -> None:
        axes = (*self.inputs, *self.outputs, *self.depthwise, *self.spatial)
        if len(set(axes)) < len(axes) or min(axes, default=0) < 0:
            raise ValueError(f"Every axis must have one role and count from 0. Received: {self}.")
        if self.gates * self.groups > 1 and len(self.outputs) != 1:
            raise ValueError(f"`gates` and `groups` are of one output axis. Received: {self}.")
        if (self.operand is None) != (self.product is None):
            raise ValueError(f"`operand` and `product` go together. Received: {self}.")

    @property
    def is_lookup(self) -> bool:
        """Whether rows of the weight are taken by their number."""
        return self.operand is Operand.TOKENS

    @property
    def is_matrix(self) -> bool:
        """Whether rows of the operand are multiplied by the weight, (inputs, outputs), as it is."""
        known = isinstance(self.product, Equation) and not self.is_lookup
        return known and (self.inputs, self.outputs) == ((0,), (1,)) and not self.depthwise

    @property
    def is_convolution(self) -> bool:
        """Whether this is the kernel of a convolution that mixes channels, not a transposed one."""
        windows = self.product
        return isinstance(windows, Windows) and not self.depthwise and not windows.output_sizes

    @property
    def is_depthwise(self) -> bool:
        """Whether this is the kernel of a convolution of each channel on its own."""
        return isinstance(self.product, Windows) and bool(self.depthwise)

    @property
    def is_pointwise(self) -> bool:
        """Whether this is the kernel of a convolution of stride 1 over one position, ungrouped."""
        single = isinstance(self.product, Windows) and self.product.is_single
        return single and self.is_convolution and self.groups == self.gates == 1

    def reading(self, axis: int, *, rank: int) -> tuple[int, ...]:
        """Return the axes of the weight that are this axis of an operand of `rank` axes."""
        return tuple(own for own, other in self.reads if (other - axis) % rank == 0)

    def writing(self, axis: int, *, rank: int) -> tuple[int, ...]:
        """Return the axes of the weight that are this axis of an output of `rank` axes."""
        return tuple(own for own, other in self.writes if (other - axis) % rank == 0)


def einsum(equation: Equation, *, operand: Operand = Operand.INPUTS, gates: int = 1) -> WeightAxes:
    """Return the axes of the kernel of an equation.

    Example:
        >>> einsum(Equation.parse("abc,cde->abde")).writes
        ((1, 2), (2, 3))
    """
    read, written = ({own for own, _ in pairs} for pairs in (equation.reads(), equation.writes()))
    return WeightAxes(
        inputs=tuple(sorted(read - written)),
        outputs=tuple(sorted(written - read)),
        depthwise=tuple(sorted(read & written)),
        gates=gates,
        operand=operand,
        product=equation,
        reads=equation.reads(),
        writes=equation.writes(),
    )


def matrix(operand: Operand = Operand.INPUTS, *, gates: int = 1, groups: int = 1) -> WeightAxes:
    """Return the axes of a kernel (inputs, outputs) of the last axis of its operand.

    Example:
        >>> matrix().inputs, matrix().reads
        ((0,), ((0, -1),))
    """
    found = einsum(Equation("...a", "ab", "...b"), operand=operand, gates=gates)
    return dataclasses.replace(found, groups=groups)


def convolution(
    windows: Windows, *, operand: Operand = Operand.INPUTS, gates: int = 1, groups: int = 1
) -> WeightAxes:
    """Return the axes of a kernel (*positions, inputs / groups, outputs).

    The last two are swapped where `windows` are those of a transposed convolution.

    Example:
        >>> convolution(Windows((3,), (1,), (1,), "same")).inputs
        (1,)
    """
    rank = len(windows.size)
    inputs, outputs = (rank + 1, rank) if windows.output_sizes else (rank, rank + 1)
    return WeightAxes(
        inputs=(inputs,),
        outputs=(outputs,),
        spatial=tuple(range(rank)),
        gates=gates,
        groups=groups,
        operand=operand,
        product=windows,
        reads=((inputs, windows.channel_axis),),
        writes=((outputs, windows.channel_axis),),
    )


def depthwise(windows: Windows) -> WeightAxes:
    """Return the axes of a kernel (*positions, channels, multiplier).

    Example:
        >>> depthwise(Windows((3,), (1,), (1,), "same")).writing(-1, rank=3)
        (1, 2)
    """
    rank, channels = len(windows.size), windows.channel_axis
    return WeightAxes(
        outputs=(rank + 1,),
        depthwise=(rank,),
        spatial=tuple(range(rank)),
        operand=Operand.INPUTS,
        product=windows,
        reads=((rank, channels),),
        writes=((rank, channels), (rank + 1, channels)),
    )


def vector(output_axis: int = -1, *, axis: int = 0, gates: int = 1) -> WeightAxes:
    """Return the axes of what has one entry an output unit, such as a bias.

    Example:
        >>> vector().writes
        ((0, -1),)
    """
    return WeightAxes(outputs=(axis,), gates=gates, writes=((axis, output_axis),))


def elementwise(pairs: Pairs) -> WeightAxes:
    """Return the axes of what multiplies or shifts each unit on its own, as normalizations do.

    Args:
        pairs: (axis of the weight, axis of the layer's inputs and outputs).

    Example:
        >>> elementwise(((0, -1),)).depthwise
        (0,)
    """
    return WeightAxes(depthwise=tuple(own for own, _ in pairs), reads=pairs, writes=pairs)
