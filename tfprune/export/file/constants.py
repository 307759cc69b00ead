"""The constants of a .tflite model that can be stored in another form.

Tensors, in one subgraph or in several, may share a buffer. They are stored anew together or not at
all: otherwise the dense values would stay in the file beside the new ones.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfprune.export.file.subgraph import OPERATORS, TYPES, Subgraph, subgraphs
from tfprune.export.file.tables import Model, Operator

_STORED_ANEW = {TYPES.FLOAT32, TYPES.INT8}


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Where an operator reads its constants.

    Attributes:
        weight: The place of its weight.
        bias: The place of its bias, None for operators without.
        axis: The axis of the weight along which every output channel has a scale of its own.
    """

    weight: int
    bias: int | None
    axis: int


INPUTS: dict[int, Inputs] = {
    OPERATORS.CONV_2D: Inputs(1, 2, 0),
    OPERATORS.CONV_3D: Inputs(1, 2, 4),
    OPERATORS.DEPTHWISE_CONV_2D: Inputs(1, 2, 3),
    OPERATORS.FULLY_CONNECTED: Inputs(1, 2, 0),
    OPERATORS.GATHER: Inputs(0, None, -1),
    OPERATORS.TRANSPOSE_CONV: Inputs(1, 3, 0),
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
        is_bias: Whether it is read as a bias.
        channel_axis: The axis of the output channels. Of a table that rows are taken from, it is
            the last one: what is taken has it too.
    """

    name: str
    buffer: int
    uses: tuple[Use, ...]
    values: np.ndarray
    is_bias: bool
    channel_axis: int

    @property
    def readers(self) -> list[tuple[Subgraph, Operator]]:
        """The operators that read it, with their subgraphs."""
        return [(use.subgraph, reader) for use in self.uses for reader in use.readers]

    @property
    def codes(self) -> set[int]:
        """The kinds of the operators that read it."""
        return {subgraph.code(reader) for subgraph, reader in self.readers}

    @property
    def fully_connected(self) -> bool:
        """Whether FULLY_CONNECTED alone reads it, as its weight."""
        return not self.is_bias and self.codes == {OPERATORS.FULLY_CONNECTED}

    @property
    def is_table(self) -> bool:
        """Whether whole rows are taken from it, and nothing else is done with it."""
        options = [reader.builtinOptions for _, reader in self.readers]
        return (
            self.codes == {OPERATORS.GATHER}
            and self.values.ndim > 1
            and not any(each is not None and (each.axis or each.batchDims) for each in options)
        )


@dataclasses.dataclass(frozen=True)
class _Role:
    """How one operator reads a constant."""

    is_bias: bool
    axis: int


def inputs_of(subgraph: Subgraph, operator: Operator) -> tuple[int | None, int | None]:
    """The tensors that an operator reads as its weight and as its bias, None where it has none."""
    known = INPUTS.get(subgraph.code(operator))
    if known is None:
        return None, None
    return _at(operator, known.weight), _at(operator, known.bias)


def _at(operator: Operator, place: int | None) -> int | None:
    if place is None or place >= len(operator.inputs) or operator.inputs[place] < 0:
        return None
    return int(operator.inputs[place])


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
    known = INPUTS.get(subgraph.code(operator))
    positions = [place for place, read in enumerate(operator.inputs) if read == index]
    if known is None or positions not in ([known.weight], [known.bias]):
        return None
    return _Role(positions == [known.bias], known.axis if positions == [known.weight] else 0)


def _weight(buffer: int, uses: list[Use], roles: set[_Role]) -> Weight | None:
    first = uses[0]
    values = first.subgraph.constant(first.index)
    shapes = {use.subgraph.shape(use.index) for use in uses}
    kinds = {use.subgraph.tensor(use.index).type for use in uses}
    if values is None or values.ndim == 0 or not kinds <= _STORED_ANEW:
        return None
    if len({role.is_bias for role in roles}) != 1 or len(shapes) != 1 or len(kinds) != 1:
        return None
    # A table that is also a kernel has the scales of the kernel.
    axes = {role.axis for role in roles if role.axis >= 0} or {role.axis for role in roles}
    axis = min(axes)
    if len(axes) != 1 or axis >= values.ndim:
        return None
    return Weight(
        name=first.subgraph.name(first.index),
        buffer=buffer,
        uses=tuple(uses),
        values=values,
        is_bias=roles.pop().is_bias,
        channel_axis=axis % values.ndim,
    )
