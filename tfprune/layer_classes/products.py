"""How weights meet their inputs: layer input -> rows X, weight -> matrix W, output = X W.

A layout is pure NumPy and knows one weight of one layer class. It splits the computation into
`groups` independent products X (rows, d) times W (d, outputs), so that X^T X says all that
layer-wise reconstruction needs. Convolutions are products of patches: row = output position,
column = (kernel position, input channel), gathered by tables of indices in pieces of bounded size.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

_PIECE_BYTES = 1 << 25  # float64 rows gathered at a time


@dataclasses.dataclass(frozen=True)
class Layout:
    """Rows of one weight's inputs and the matrix form of the weight.

    Attributes:
        groups: independent products.
        size: coordinates d of a row.
        rows: layer input, an array -> pieces (groups, rows, d) of X.
        to_matrix: weight of its own shape -> (groups, d, outputs).
        from_matrix: the inverse.
    """

    groups: int
    size: int
    rows: Callable[[np.ndarray], Iterator[np.ndarray]]
    to_matrix: Callable[[np.ndarray], np.ndarray]
    from_matrix: Callable[[np.ndarray], np.ndarray]

    def moments(self, inputs: np.ndarray) -> tuple[np.ndarray, int]:
        """Return X^T X (groups, d, d) in float64 and the number of rows of X."""
        total = np.zeros((self.groups, self.size, self.size))
        count = 0
        for piece in self.rows(inputs):
            x = np.asarray(piece, np.float64)
            total += x.transpose(0, 2, 1) @ x
            count += x.shape[1]
        return total, count


class TableLayout(Layout):
    """A lookup: X is one-hot, so each of the (vocabulary) tokens is a group of its own, d = 1.

    This is exact, X^T X being diagonal, and takes 8 bytes a token.
    """

    def moments(self, inputs: np.ndarray) -> tuple[np.ndarray, int]:
        """Return the number of times each token occurs (groups, 1, 1), and of all together."""
        counts = np.bincount(inputs.reshape(-1).astype(np.int64), minlength=self.groups)
        return counts.astype(np.float64).reshape(-1, 1, 1), inputs.size


def dense(shape: Sequence[int], parts: int = 1) -> Layout:
    """Return the layout of X W with all but the last axis of the kernel contracted.

    Args:
        shape: (..., outputs) of the kernel; the leading axes may be of size 1.
        parts: equal parts of the outputs that see inputs of their own; rows are then
            (parts, rows, d) arrays instead of (..., d).

    Example:
        >>> dense((3, 4)).to_matrix(np.ones((3, 4))).shape
        (1, 3, 4)
    """
    size, outputs = math.prod(shape[:-1]), shape[-1]

    def rows(inputs: np.ndarray) -> Iterator[np.ndarray]:
        yield from _in_pieces(inputs.reshape(parts, -1, size))

    split = (size, parts, outputs // parts)
    return Layout(parts, size, rows, *_rearranged(shape, split, (1, 0, 2), split[:2][::-1]))


def embedding(shape: tuple[int, int]) -> Layout:
    """Return the layout of a lookup in a table (vocabulary, width).

    Example:
        >>> embedding((5, 2)).moments(np.array([[1, 1, 4]]))[0].ravel().tolist()
        [0.0, 2.0, 0.0, 0.0, 1.0]
    """
    split = (shape[0], 1, shape[1])
    return TableLayout(shape[0], 1, iter, *_rearranged(shape, split, (0, 1, 2), split[:2]))


def einsum(equation: str, shape: Sequence[int]) -> Layout:
    """Return the layout of `np.einsum(equation, inputs, kernel)`.

    Labels of the kernel that the output lacks are contracted (d), those that the input lacks are
    outputs, and those that all three have are groups. Labels of the input alone are summed.

    Args:
        equation: "ab,bc->ac", with "..." allowed in the input and the output.
        shape: shape of the kernel.

    Raises:
        ValueError: if a label is repeated in an operand or in the kernel alone.

    Example:
        >>> layout = einsum("abc,cde->abde", (5, 2, 3))
        >>> layout.groups, layout.size
        (1, 5)
    """
    operands, output = equation.replace(" ", "").split("->")
    inputs, kernel = operands.split(",")
    if any(len(set(part)) != len(part) for part in (inputs.replace("...", ""), kernel)):
        raise ValueError(f"repeats a label in one operand of '{equation}'")
    if set(kernel) - set(inputs) - set(output):
        raise ValueError(f"sums over an axis of its kernel alone in '{equation}'")
    batch = [label for label in kernel if label in inputs and label in output]
    contracted = [label for label in kernel if label in inputs and label not in output]
    outputs = [label for label in kernel if label not in inputs]
    extent = dict(zip(kernel, shape))
    groups, size = (math.prod(extent[label] for label in part) for part in (batch, contracted))
    free = [label for label in inputs if label.isalpha() and label not in kernel + output]

    def rows(x: np.ndarray) -> Iterator[np.ndarray]:
        given = inputs.replace("...", _spare_labels(equation, x.ndim + 3 - len(inputs)))
        summed = [given.index(label) for label in free]
        x, given = x.sum(axis=tuple(summed)), "".join(c for c in given if c not in free)
        samples = [label for label in given if label not in kernel]
        order = [given.index(label) for label in (*batch, *samples, *contracted)]
        yield from _in_pieces(x.transpose(order).reshape(groups, -1, size))

    order = [kernel.index(label) for label in (*batch, *contracted, *outputs)]
    return Layout(groups, size, rows, *_rearranged(shape, shape, order, (groups, size)))


def convolution(
    shape: Sequence[int],
    tables: Callable[[Sequence[int]], list[np.ndarray]],
    *,
    groups: int = 1,
    depthwise: bool = False,
    transposed: bool = False,
    channels_first: bool = False,
) -> Layout:
    """Return the layout of a convolution's kernel.

    Args:
        shape: (*kernel positions, input channels / groups, filters); for a transposed convolution
            (*kernel positions, filters, input channels); for a depthwise one
            (*kernel positions, channels, multiplier).
        tables: spatial sizes of the input -> one table an axis, as `window_table` makes them.
        groups: groups of input channels, each seen by an equal share of the filters.
        depthwise: whether every input channel is a group.
        transposed: whether the last two axes of the kernel are swapped.
        channels_first: whether inputs are (batch, channels, ...) instead of (batch, ..., channels).

    Example:
        >>> layout = convolution((3, 2, 8), lambda sizes: [window_table(sizes[0], 3)])
        >>> layout.groups, layout.size
        (1, 6)
    """
    positions = math.prod(shape[:-2])
    channels, filters = (shape[-1], shape[-2]) if transposed else (shape[-2], shape[-1])
    groups = channels if depthwise else groups
    members = 1 if depthwise else channels

    def rows(x: np.ndarray) -> Iterator[np.ndarray]:
        x = np.moveaxis(x, 1, -1) if channels_first else x
        for patch in _patches(x, tables(x.shape[1:-1])):
            split = patch.reshape(-1, positions, groups, members).transpose(2, 0, 1, 3)
            yield split.reshape(groups, -1, positions * members)

    if depthwise:
        split, order = (positions, channels, filters), (1, 0, 2)
    elif transposed:
        split, order = (positions, filters, channels), (0, 2, 1)
    else:
        split, order = (positions * channels, groups, filters // groups), (1, 0, 2)
    size = positions * members
    return Layout(groups, size, rows, *_rearranged(shape, split, order, (groups, size)))


def window_table(
    size: int, kernel: int, *, stride: int = 1, padding: str = "valid", dilation: int = 1
) -> np.ndarray:
    """Return the input index that each kernel position sees at each output position.

    Args:
        size: entries of the input along this axis.
        kernel: positions of the kernel.
        stride, dilation: as in Keras.
        padding: "valid", "same" or "causal".

    Returns:
        (output positions, kernel) integers in [0, size]; `size` stands for padding.

    Example:
        >>> window_table(4, 3, stride=2, padding="same")
        array([[0, 1, 2],
               [2, 3, 4]])
    """
    span = (kernel - 1) * dilation + 1
    if padding == "valid":
        count, before = (size - span) // stride + 1, 0
    else:
        count = -(-size // stride)
        # An odd number of padded entries leaves the larger half at the end.
        before = max((count - 1) * stride + span - size, 0) // 2
    if padding == "causal":
        before = span - 1
    index = np.arange(count)[:, None] * stride + np.arange(kernel) * dilation - before
    return np.where((index >= 0) & (index < size), index, size)


def transposed_table(
    size: int, kernel: int, output: int, *, stride: int, padding: str, dilation: int
) -> np.ndarray:
    """Return `window_table` of a transposed convolution, the gradient of a convolution.

    Output o gets input i through kernel position k where o = i * stride + k * dilation - before.

    Args:
        size, output: entries of the input and of the output along this axis.
        kernel, stride, padding, dilation: as in `window_table`; no "causal".

    Example:
        >>> transposed_table(2, 2, 4, stride=2, padding="valid", dilation=1).tolist()
        [[0, 2], [2, 0], [1, 2], [2, 1]]
    """
    span = (kernel - 1) * dilation + 1
    before = max((size - 1) * stride + span - output, 0) // 2 if padding == "same" else 0
    offset = np.arange(output)[:, None] + before - np.arange(kernel) * dilation
    index, rest = np.divmod(offset, stride)
    return np.where((rest == 0) & (index >= 0) & (index < size), index, size)


def _patches(x: np.ndarray, tables: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield pieces (examples, *output positions, *kernel positions, channels) of the patches."""
    widths = math.prod(table.shape[1] for table in tables) * x.shape[-1] * 8
    line = max(1, widths * math.prod(len(table) for table in tables[1:]))
    lines = max(1, _PIECE_BYTES // line)
    examples = max(1, lines // max(1, len(tables[0])))
    rank = len(tables)
    order = [0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1]
    for start in range(0, len(x), examples):
        # One more entry of zeros at the end of each axis, where the tables send padding.
        padded = np.pad(x[start : start + examples], [(0, 0), *[(0, 1)] * rank, (0, 0)])
        for top in range(0, len(tables[0]), lines):
            patch = padded
            for axis, table in enumerate([tables[0][top : top + lines], *tables[1:]]):
                patch = np.take(patch, table, axis=1 + 2 * axis)
            yield patch.transpose(order)


def _in_pieces(rows: np.ndarray) -> Iterator[np.ndarray]:
    groups, count, size = rows.shape
    step = max(1, _PIECE_BYTES // max(1, 8 * groups * size))
    for start in range(0, count, step):
        yield rows[:, start : start + step]


def _rearranged(
    shape: Sequence[int], split: Sequence[int], order: Sequence[int], leading: Sequence[int]
) -> tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """Return weight -> matrix (*leading, outputs) by split, transposition and merge; inverse."""
    moved = [split[axis] for axis in order]

    def to_matrix(weight: np.ndarray) -> np.ndarray:
        return np.asarray(weight).reshape(split).transpose(order).reshape(*leading, -1)

    def from_matrix(matrix: np.ndarray) -> np.ndarray:
        return np.asarray(matrix).reshape(moved).transpose(np.argsort(order)).reshape(shape)

    return to_matrix, from_matrix


def _spare_labels(equation: str, count: int) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return "".join([letter for letter in letters if letter not in equation][:count])
