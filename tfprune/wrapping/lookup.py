"""Masking a lookup: the rows that are read are masked, not the whole table.

    rows of (mask * table) = (rows of mask) * (rows of table)

So the gradient of the table stays sparse (TensorFlow's IndexedSlices): a step costs what it costs
without pruning, however large the vocabulary is.
"""

from collections.abc import Sequence

import keras

from tfprune.support.tensors import Tensor
from tfprune.wrapping.masking import PrunedWeight


def lookup_table(layer: keras.layers.Layer, pruned: Sequence[PrunedWeight]) -> PrunedWeight | None:
    """Return the pruned table of a layer that does nothing but look rows up in it; else None.

    Args:
        layer: built.
        pruned: its pruned weights.

    Example:
        >>> lookup_table(keras.layers.Dense(2), []) is None
        True
    """
    plain = type(layer).call is keras.layers.Embedding.call
    if not plain or len(pruned) != 1 or pruned[0].rounding is not None:
        return None
    return pruned[0]


def masked_rows(rows: Tensor, table: PrunedWeight, indices: Tensor) -> Tensor:
    """Return the rows with zeros where the mask of the table has them.

    Args:
        rows: (..., width) entries of the table at `indices`.
        table: from `lookup_table`.
        indices: (...) row numbers, integers or whole floats.

    Example:
        >>> mask = keras.Variable([[True, False], [True, True]], dtype="bool")
        >>> table = PrunedWeight(keras.Variable([[1.0, 2.0], [3.0, 4.0]]), mask, lambda step: 0.2)
        >>> rows = keras.ops.array([[1.0, 2.0]])
        >>> keras.ops.convert_to_numpy(masked_rows(rows, table, keras.ops.array([0]))).tolist()
        [[1.0, 0.0]]
    """
    kept = keras.ops.take(table.mask.value, keras.ops.cast(indices, "int32"), axis=0)
    masked = rows * keras.ops.cast(kept, rows.dtype)
    return masked if table.rounding is None else table.rounding(masked)
