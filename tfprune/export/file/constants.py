"""The constants of a .tflite model that can be stored in another form.

Tensors, in one subgraph or in several, may share a buffer. They are stored anew together or not at
all: otherwise the dense values would stay in the file beside the new ones.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfprune.export.file.subgraph import OPERATORS, Subgraph, subgraphs
from tfprune.export.file.tables import Model, Operator

# For each operator: the input that holds its weight, its bias, and the axis of the weight along
# which every output channel has a scale of its own.
_INPUTS: dict[int, tuple[int, int | None, int]] = {
    OPERATORS.CONV_2D: (1, 2, 0),
    OPERATORS.CONV_3D: (1, 2, 4),
    OPERATORS.DEPTHWISE_CONV_2D: (1, 2, 3),
    OPERATORS.FULLY_CONNECTED: (1, 2, 0),
    OPERATORS.GATHER: (0, None, 0),
    OPERATORS.TRANSPOSE_CONV: (1, 3, 0),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Use:
    """A tensor over a buffer: its subgraph, its index there, and the operators that read it."""

    subgraph: Subgraph
    index: int
    readers: list[Operator]


@dataclasses.dataclass(frozen=True, eq=False)
class Weight:
    """A dense constant that only weight or bias inputs read.

    Attributes:
        name: The name of its first tensor.
        buffer: The index of its buffer.
        uses: The tensors over that buffer.
        values: Its values, float32 or int8, in its shape.
        channel_axis: The axis of the output channels; None for a bias.
        fully_connected: Whether FULLY_CONNECTED alone reads it, as its weight.
    """

    name: str
    buffer: int
    uses: tuple[Use, ...]
    values: np.ndarray
    channel_axis: int | None
    fully_connected: bool

    @property
    def is_matrix(self) -> bool:
        """Whether it is a weight, not a bias."""
        return self.channel_axis is not None


@dataclasses.dataclass(frozen=True)
class _Role:
    """How one operator reads a constant."""

    code: int
    channel_axis: int | None


def inputs_of(subgraph: Subgraph, operator: Operator) -> tuple[int | None, int | None]:
    """The tensors that an operator reads as its weight and as its bias, None where it has none."""
    weight, bias, _ = _INPUTS.get(subgraph.code(operator), (None, None, 0))
    found = [
        int(operator.inputs[place]) if place is not None and place < len(operator.inputs) else -1
        for place in (weight, bias)
    ]
    return found[0] if found[0] >= 0 else None, found[1] if found[1] >= 0 else None


def constant_weights(model: Model) -> Iterator[Weight]:
    """The constants that can be stored in another form, in the order of their buffers' tensors.

    Args:
        model: A parsed model. It may be changed between two weights.

    Yields:
        Weights, biases and tables, float32 or int8.
    """
    uses: dict[int, list[Use]] = {}
    roles: dict[int, set[_Role]] = {}
    blocked = {entry.buffer for entry in model.metadata or ()}
    for subgraph in subgraphs(model):
        readers = subgraph.readers()
        ends = {*subgraph.inputs, *subgraph.outputs}
        for index, tensor in enumerate(subgraph.table.tensors):
            reading = [_role(subgraph, operator, index) for operator in readers.get(index, ())]
            uses.setdefault(tensor.buffer, []).append(Use(subgraph, index, readers.get(index, [])))
            if index in ends or not reading or None in reading or tensor.sparsity is not None:
                blocked.add(tensor.buffer)
            else:
                roles.setdefault(tensor.buffer, set()).update(filter(None, reading))
    for buffer, found in uses.items():
        if buffer not in blocked:
            weight = _weight(buffer, found, roles[buffer])
            if weight is not None:
                yield weight


def _role(subgraph: Subgraph, operator: Operator, index: int) -> _Role | None:
    """How an operator reads a tensor; None if not as its weight or bias alone."""
    code = subgraph.code(operator)
    positions = [place for place, read in enumerate(operator.inputs) if read == index]
    weight, bias, axis = _INPUTS.get(code, (None, None, None))
    if positions == [weight]:
        return _Role(code, axis)
    return _Role(code, None) if positions == [bias] else None


def _weight(buffer: int, uses: list[Use], roles: set[_Role]) -> Weight | None:
    first = uses[0]
    values = first.subgraph.constant(first.index)
    axes = {role.channel_axis for role in roles}
    shapes = {use.subgraph.shape(use.index) for use in uses}
    kinds = {use.subgraph.tensor(use.index).type for use in uses}
    if values is None or values.dtype not in (np.float32, np.int8):
        return None
    if len(axes) != 1 or len(shapes) != 1 or len(kinds) != 1:
        return None
    axis = axes.pop()
    if axis is not None and axis >= values.ndim:
        return None
    return Weight(
        name=first.subgraph.name(first.index),
        buffer=buffer,
        uses=tuple(uses),
        values=values,
        channel_axis=axis,
        fully_connected=roles == {_Role(OPERATORS.FULLY_CONNECTED, 0)},
    )
