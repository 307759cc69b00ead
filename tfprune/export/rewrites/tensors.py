"""Small questions about tensors, and new tensors like old ones."""

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator

# They say otherwise which axes there are, and move nothing.
RENAMING = (OPERATORS.RESHAPE, OPERATORS.EXPAND_DIMS, OPERATORS.SQUEEZE)


def is_spatial(subgraph: Subgraph, index: int) -> bool:
    """Whether a tensor is (batch, height, width, channels) with more than one place."""
    sizes = subgraph.shape(index)
    return len(sizes) == 4 and (sizes[1] * sizes[2] != 1 or has_free_places(subgraph, index))


def has_free_places(subgraph: Subgraph, index: int) -> bool:
    """Whether the height or width is known only when the model runs."""
    signature = subgraph.tensor(index).shapeSignature
    return signature is not None and len(signature) == 4 and -1 in signature[1:3]


def like(subgraph: Subgraph, index: int, sizes: Sequence[int], suffix: str) -> int:
    """Append a tensor of other sizes behind the batch and return its index.

    Args:
        subgraph: The subgraph.
        index: The tensor whose type, quantization, batch (which may be free) and name it takes.
        sizes: Its shape.
        suffix: What to append to the name.
    """
    old = subgraph.tensor(index)
    name = f"{short_name(subgraph, index)}/{suffix}"
    made = subgraph.add_tensor(sizes, old.type, name=name, like=index)
    if old.shapeSignature is not None and len(old.shapeSignature):
        signature = [int(old.shapeSignature[0]), *sizes[1:]]
        subgraph.tensor(made).shapeSignature = np.array(signature, np.int32)
    return made


def short_name(subgraph: Subgraph, index: int) -> str:
    """The name of a tensor; of the many that the converter joins for fused layers, the first."""
    return subgraph.name(index).split(";", maxsplit=1)[0]


def describe(subgraph: Subgraph, operator: Operator, kind: str) -> str:
    """An operator in a sentence: its kind and the name of what it writes."""
    return f"{kind} {short_name(subgraph, operator.outputs[0])!r}"


def reshape(subgraph: Subgraph, source: int, result: int) -> Operator:
    """A RESHAPE from one tensor to another, for any size of the first axis."""
    sizes = np.array([-1, *subgraph.shape(result)[1:]], np.int32)
    name = f"{short_name(subgraph, result)}/shape"
    options = schema.ReshapeOptionsT()
    options.newShape = sizes
    shape = subgraph.add_constant(sizes, name=name)
    return subgraph.operator(OPERATORS.RESHAPE, [source, shape], [result], options)
