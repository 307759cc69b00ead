"""What Keras writes as several operators on more axes, and is one on an image."""

import numpy as np

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator

_RESHAPE, _TILE, _TRANSPOSE = OPERATORS.RESHAPE, OPERATORS.TILE, OPERATORS.TRANSPOSE


def repetition(
    subgraph: Subgraph, first: Operator, readers: dict[int, list[Operator]]
) -> tuple[list[Operator], int] | None:
    """The operators that repeat each row and column, and how often: UpSampling2D.

    Args:
        subgraph: The subgraph.
        first: A RESHAPE.
        readers: `subgraph.readers()`.
    """
    chain = _chain(subgraph, first, readers, (_RESHAPE, _TILE, _RESHAPE, _TILE, _RESHAPE))
    if chain is None:
        return None
    batch, height, width, channels = _four(subgraph, int(first.inputs[0]))
    _, rows, columns, last = _four(subgraph, int(chain[-1].outputs[0]))
    factor = rows // max(1, height)
    shapes = [subgraph.shape(int(operator.outputs[0])) for operator in chain]
    wanted = [
        (batch, height, 1, width, channels),
        (batch, height, factor, width, channels),
        (batch, rows, width, 1, channels),
        (batch, rows, width, factor, channels),
        (batch, factor * height, factor * width, channels),
    ]
    same = shapes == wanted and (rows, columns, last) == wanted[-1][1:]
    return (chain, factor) if same and factor > 1 else None


def shuffle(
    subgraph: Subgraph, first: Operator, readers: dict[int, list[Operator]]
) -> tuple[list[Operator], np.ndarray] | None:
    """The operators that put the channels of an image into another order, and that order.

    Args:
        subgraph: The subgraph.
        first: A RESHAPE.
        readers: `subgraph.readers()`.
    """
    chain = _chain(subgraph, first, readers, (_RESHAPE, _TRANSPOSE, _RESHAPE))
    if chain is None:
        return None
    shape = _four(subgraph, int(first.inputs[0]))
    dealt = subgraph.shape(int(chain[0].outputs[0]))
    axes = subgraph.constant(int(chain[1].inputs[1]))
    if len(dealt) != 5 or dealt[:3] != shape[:3] or axes is None:
        return None
    if axes.tolist() != [0, 1, 2, 4, 3] or subgraph.shape(int(chain[2].outputs[0])) != shape:
        return None
    return chain, np.arange(shape[3]).reshape(dealt[3:]).T.ravel()


def _chain(
    subgraph: Subgraph,
    first: Operator,
    readers: dict[int, list[Operator]],
    codes: tuple[int, ...],
) -> list[Operator] | None:
    """Operators of these kinds of which each alone reads the one before."""
    if len(subgraph.shape(int(first.inputs[0]))) != 4:
        return None
    chain, outputs = [first], set(subgraph.outputs)
    for code in codes[1:]:
        index = int(chain[-1].outputs[0])
        following = readers.get(index, [])
        if index in outputs or len(following) != 1 or subgraph.code(following[0]) != code:
            return None
        chain += following
    return chain if len(subgraph.shape(int(chain[-1].outputs[0]))) == 4 else None


def _four(subgraph: Subgraph, index: int) -> tuple[int, int, int, int]:
    batch, height, width, channels = subgraph.shape(index)
    return batch, height, width, channels
