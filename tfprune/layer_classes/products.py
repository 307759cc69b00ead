"""How weights meet their inputs: layer input -> rows X, weight -> matrix W, output = X W.

A product is pure NumPy and follows from the axes of one weight. It splits the computation into
`slices`, independent products X (rows, d) times W (d, outputs), so that X^T X says all that
layer-wise reconstruction needs. Convolutions are products of patches: row = output position,
column = (kernel position, input channel), gathered by tables of indices in pieces of bounded size.
Inputs in single precision are multiplied in it, a piece at a time, and summed in double precision.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.linalg import blas

from tfprune.layer_classes.equations import Equation
from tfprune.layer_classes.weight_axes import WeightAxes
from tfprune.layer_classes.windows import Windows

_PIECE_BYTES = 1 << 23  # of rows gathered at a time

Chosen = Callable[[int], np.ndarray | None]  # number of rows -> indices of those to use, or all


def every_row(count: int) -> None:
    """Choose all rows."""


@dataclasses.dataclass(frozen=True)
class Product:
    """Rows of one weight's inputs and the matrix form of the weight.

    Attributes:
        slices: independent products.
        size: coordinates d of a row.
        rows: layer input, an array, and the choice of rows -> pieces (slices, rows, d) of X.
        to_matrix: weight of its own shape -> (slices, d, outputs).
        from_matrix: the inverse.
    """

    slices: int
    size: int
    rows: Callable[[np.ndarray, Chosen], Iterator[np.ndarray]]
    to_matrix: Callable[[np.ndarray], np.ndarray]
    from_matrix: Callable[[np.ndarray], np.ndarray]

    def moments(self, inputs: np.ndarray, chosen: Chosen = every_row) -> tuple[np.ndarray, int]:
        """Return X^T X (slices, d, d) in float64 and the number of rows of X.

        Args:
            inputs: of the layer.
            chosen: number of rows -> sorted indices of those to use; None for all.
        """
        total = np.zeros((self.slices, self.size, self.size))
        count = 0
        for piece in self.rows(_as_float(inputs), chosen):
            total += piece.transpose(0, 2, 1) @ piece if self.slices > 1 else _lower_gram(piece[0])
            count += piece.shape[1]
        if self.slices == 1:
            total[0] += np.tril(total[0], -1).T
        return total, count


class TableProduct(Product):
    """A lookup: X is one-hot, so each of the (vocabulary) tokens is a slice of its own, d = 1.

    This is exact, X^T X being diagonal, and takes 8 bytes a token.
    """

    def moments(self, inputs: np.ndarray, chosen: Chosen = every_row) -> tuple[np.ndarray, int]:
        """Return the number of times each token occurs (slices, 1, 1), and of all together."""
        counts = np.bincount(inputs.reshape(-1).astype(np.int64), minlength=self.slices)
        return counts.astype(np.float64).reshape(-1, 1, 1), inputs.size


def product_of(axes: WeightAxes, shape: Sequence[int]) -> Product:
    """Return how a weight is multiplied.

    Its columns are the spatial and input axes, its slices the depthwise axes or the `groups` of the
    output axis; of a lookup, each row of the table is a slice.

    Args:
        axes: of a weight that is multiplied with something.
        shape: of the weight.

    Raises:
        ValueError: for what is no product of inputs and weight.

    Example:
        >>> from tfprune.layer_classes.weight_axes import matrix
        >>> product_of(matrix(), (3, 4)).to_matrix(np.ones((3, 4))).shape
        (1, 3, 4)
    """
    batch, contracted = axes.depthwise, (*axes.spatial, *axes.inputs)
    if axes.is_lookup:
        batch, contracted = axes.inputs, ()
    extent, split = math.prod(shape[axis] for axis in batch), list(shape)
    size = math.prod(shape[axis] for axis in contracted)
    order = [*batch, *contracted, *axes.outputs]
    if axes.groups > 1:
        split[-1:] = [axes.groups, shape[-1] // axes.groups]
        order = [len(shape) - 1, *contracted, len(shape)]
    slices = extent * axes.groups
    forms = _rearranged(shape, split, order, (slices, size))
    if axes.is_lookup:
        return TableProduct(slices, size, _no_rows, *forms)
    return Product(slices, size, _rows(axes, slices, size), *forms)


def _no_rows(inputs: np.ndarray, chosen: Chosen) -> Iterator[np.ndarray]:
    return iter(())


def _as_float(inputs: np.ndarray) -> np.ndarray:
    """Return inputs that products can be made of: float32, or float64 for what does not fit it."""
    fits = np.can_cast(inputs.dtype, np.float32)
    return np.asarray(inputs, np.float32 if fits else np.float64)


def _lower_gram(x: np.ndarray) -> np.ndarray:
    """Return the lower triangle of X^T X."""
    x = np.ascontiguousarray(x)
    product = blas.ssyrk if x.dtype == np.float32 else blas.dsyrk
    return product(1.0, x.T, lower=1)


def _rows(
    axes: WeightAxes, slices: int, size: int
) -> Callable[[np.ndarray, Chosen], Iterator[np.ndarray]]:
    if isinstance(axes.product, Windows):
        return _rows_of_patches(axes.product, slices, size)
    if not isinstance(axes.product, Equation):
        raise ValueError("is not multiplied with its inputs")
    axes.product.require_product()
    if axes.groups > 1:  # the operands of the slices come one after the other
        return lambda inputs, chosen: _in_pieces(inputs.reshape(slices, -1, size), chosen)
    return _rows_of_equation(axes.product, slices, size)


def _rows_of_equation(
    equation: Equation, slices: int, size: int
) -> Callable[[np.ndarray, Chosen], Iterator[np.ndarray]]:
    """Labels of all three are slices, those of the input alone are summed."""
    inputs, kernel, output = equation.inputs, equation.kernel, equation.output
    batch = [label for label in kernel if label in inputs and label in output]
    contracted = [label for label in kernel if label in inputs and label not in output]
    free = [label for label in inputs if label.isalpha() and label not in kernel + output]

    def rows(x: np.ndarray, chosen: Chosen) -> Iterator[np.ndarray]:
        spare = _spare_labels(inputs + kernel + output, x.ndim + 3 - len(inputs))
        given = inputs.replace("...", spare)
        if free:
            x = x.sum(axis=tuple(given.index(label) for label in free))
        given = "".join(label for label in given if label not in free)
        samples = [label for label in given if label not in kernel]
        order = [given.index(label) for label in (*batch, *samples, *contracted)]
        yield from _in_pieces(x.transpose(order).reshape(slices, -1, size), chosen)

    return rows


def _rows_of_patches(
    windows: Windows, slices: int, size: int
) -> Callable[[np.ndarray, Chosen], Iterator[np.ndarray]]:
    positions = math.prod(windows.size)
    members = size // positions

    def rows(x: np.ndarray, chosen: Chosen) -> Iterator[np.ndarray]:
        x = np.moveaxis(x, 1, -1) if windows.channels_first else x
        if windows.is_single and slices == 1:
            yield from _in_pieces(x.reshape(1, -1, size), chosen)
            return
        for patch in _patches(x, windows.tables(x.shape[1:-1]), chosen):
            split = patch.reshape(-1, positions, slices, members).transpose(2, 0, 1, 3)
            yield split.reshape(slices, -1, size)

    return rows


def _patches(x: np.ndarray, tables: list[np.ndarray], chosen: Chosen) -> Iterator[np.ndarray]:
    """Yield pieces (rows, *kernel positions, channels) of the patches."""
    outputs = [len(table) for table in tables]
    rows = chosen(len(x) * math.prod(outputs))
    if rows is None:
        rows = np.arange(len(x) * math.prod(outputs))
    # One more entry of zeros at the end of each axis, where the tables send padding.
    padded = np.pad(x, [(0, 0), *[(0, 1)] * len(tables), (0, 0)])
    width = math.prod(table.shape[1] for table in tables) * x.shape[-1] * x.itemsize
    step = max(1, _PIECE_BYTES // width)
    for start in range(0, len(rows), step):
        example, *places = np.unravel_index(rows[start : start + step], (len(x), *outputs))
        index = [example.reshape(-1, *[1] * len(tables))]
        for axis, (table, place) in enumerate(zip(tables, places)):
            ones = [1] * len(tables)
            ones[axis] = table.shape[1]
            index.append(table[place].reshape(-1, *ones))
        yield padded[tuple(index)]


def _in_pieces(rows: np.ndarray, chosen: Chosen) -> Iterator[np.ndarray]:
    slices, count, size = rows.shape
    picked = chosen(count)
    if picked is not None:
        rows = rows[:, picked]
    step = max(1, _PIECE_BYTES // max(1, rows.itemsize * slices * size))
    for start in range(0, rows.shape[1], step):
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


def _spare_labels(known: str, count: int) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return "".join([letter for letter in letters if letter not in known][:count])
