"""A tensor inside of XNNPACK's sparse mode.

In blocks of a x b places, an image of (height, width, channels) is a tensor of (height / a,
width / b, a * b * channels): channel (y * b + x) * channels + c of a place of the tensor is channel
c of the image at row y and column x of the block. Convolutions in blocks move fewer values, and
stride 2 needs no moving: it makes the block smaller. Blocks are squares, but for images of one row.
"""

import dataclasses
import math

import numpy as np

from tfprune.export.file.subgraph import Subgraph
from tfprune.export.rewrites import tensors, windows
from tfprune.export.rewrites.lowered import shifts

Block = tuple[int, int]

PLACE: Block = (1, 1)


@dataclasses.dataclass(frozen=True)
class Image:
    """Where an image lies.

    Attributes:
        index: The tensor.
        block: Rows and columns of the image in one place of the tensor.
        rows: Its height; the tensor may hold more.
        columns: Its width.
        channels: Its channels.
        exact: Whether there is nothing but zeros beyond its height and width.
    """

    index: int
    block: Block
    rows: int
    columns: int
    channels: int
    exact: bool = True

    @property
    def places(self) -> int:
        """Places of the image in one place of the tensor."""
        return self.block[0] * self.block[1]

    def grid(self, subgraph: Subgraph) -> tuple[int, int]:
        """Height and width of the tensor."""
        _, height, width, _ = subgraph.shape(self.index)
        return height, width

    def is_whole(self, subgraph: Subgraph) -> bool:
        """Whether the tensor holds the image and nothing else."""
        height, width = self.grid(subgraph)
        return (height * self.block[0], width * self.block[1]) == (self.rows, self.columns)


def made_like(
    subgraph: Subgraph, original: int, grid: tuple[int, int], block: Block
) -> Image:
    """A new tensor for an image.

    Args:
        subgraph: The subgraph.
        original: The tensor of the network before, of shape (batch, height, width, channels) or
            (batch, channels).
        grid: Height and width of the new tensor.
        block: Its block.
    """
    shape = subgraph.shape(original)
    batch, rows, columns, channels = shape if len(shape) == 4 else (shape[0], 1, 1, shape[-1])
    sizes = (batch, *grid, block[0] * block[1] * channels)
    index = tensors.like(subgraph, original, sizes, "inside")
    exact = (grid[0] * block[0], grid[1] * block[1]) == (rows, columns)
    return Image(index, block, rows, columns, channels, exact)


def in_blocks(taps: shifts.Taps, before: Block, after: Block) -> shifts.Taps:
    """The taps of images as taps of tensors in blocks.

    For the tap at y, row `after * i + p` of the output, with p below `after`, reads row
    `stride * (after * i + p) + y` of the input: that is row `(stride * p + y) % before` of the
    block `i + (stride * p + y) // before`, if `before` is `stride * after`. So it is for columns.

    Args:
        taps: What to compute, over whole images.
        before: The block of the input.
        after: That of the output, `before` divided by the stride.

    Example:
        >>> third = shifts.Taps(np.ones((1, 1, 1), np.float32), ((2, 0),), 1)
        >>> in_blocks(third, (2, 2), (2, 2)).offsets
        ((1, 0),)
    """
    if before == after == PLACE:
        return taps
    outputs, _, channels = taps.kernel.shape
    places: dict[shifts.Offset, np.ndarray] = {}
    strides = (before[0] // after[0], before[1] // after[1])
    shape = (*after, outputs, *before, channels)
    for tap, (y, x) in enumerate(taps.offsets):
        for row, column in np.ndindex(*after):
            source = (strides[0] * row + y, strides[1] * column + x)
            place = (source[0] // before[0], source[1] // before[1])
            kernel = places.setdefault(place, np.zeros(shape, np.float32))
            at = (source[0] % before[0], source[1] % before[1])
            kernel[row, column, :, at[0], at[1]] += taps.kernel[:, tap]
    offsets = tuple(sorted(places))
    kernels = [
        places[offset].reshape(math.prod(after) * outputs, math.prod(before) * channels)
        for offset in offsets
    ]
    return shifts.Taps(np.stack(kernels, axis=1), offsets, 1).used


def reads_zeros_beyond(window: windows.Window) -> bool:
    """Whether a window reads behind the last row or column, where there must be zeros."""
    return any(axis.end > 0 for axis in window.axes)
