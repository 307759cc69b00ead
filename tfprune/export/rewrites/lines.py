"""Networks along one axis on one row: (batch, 1, steps, channels).

The converter writes Conv1D as a RESHAPE to four axes, a CONV_2D of a 1xK kernel and a RESHAPE back,
and what stands between on three axes. Other networks have their steps along the height, with one
column. On one row, all of them are images, of which no RESHAPE stands between two convolutions.
"""

import copy
from collections.abc import Sequence

import numpy as np

from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors, windows

_ELEMENTWISE = frozenset(
    getattr(OPERATORS, name)
    for name in (
        "ABS ADD CEIL ELU FLOOR GELU HARD_SWISH LEAKY_RELU LOGISTIC MUL NEG RELU RELU6 "
        "RELU_N1_TO_1 ROUND SQUARE SUB TANH"
    ).split()
)

Line = tuple[int, int, int]


def apply(subgraph: Subgraph) -> tuple[str, ...]:
    """Let convolutions along one axis, and what stands between them, work on one row.

    Args:
        subgraph: The subgraph, changed in place.

    Returns:
        One sentence if there was any.
    """
    if not has_lines(subgraph):
        return ()
    lines = _Lines(subgraph)
    lines.run()
    return (f"Operators along one axis that work on images of one row: {lines.moved}.",)


def has_lines(subgraph: Subgraph) -> bool:
    """Whether there is a convolution along one axis."""
    return any(
        subgraph.code(operator) in windows.CONVOLUTIONS and _is_along_line(subgraph, operator)
        for operator in subgraph.operators
    )


def _line(sizes: Sequence[int]) -> Line | None:
    """Batch, steps and channels of a tensor that has no further axis; None if it has."""
    if len(sizes) == 4 and 1 in sizes[1:3]:
        return sizes[0], sizes[1] * sizes[2], sizes[3]
    return (sizes[0], sizes[1], sizes[2]) if len(sizes) == 3 else None


def _is_along_line(subgraph: Subgraph, operator: Operator) -> bool:
    """Whether a convolution or pool reads and writes lines, and nothing beside them."""
    options = operator.builtinOptions
    if subgraph.code(operator) in windows.POOLS:
        sizes: tuple[int, ...] = (options.filterHeight, options.filterWidth)
    else:
        sizes = subgraph.shape(operator.inputs[1])[1:3]
    shapes = [subgraph.shape(index) for index in (operator.inputs[0], operator.outputs[0])]
    # Where all is one place, it is the width that has the steps.
    across = next((axis for axis in (0, 1) if shapes[0][1 + axis] == 1), None)
    if across is None or shapes[0][2 - across] == 1:
        return False
    return sizes[across] == shapes[1][1 + across] == 1


class _Lines:
    """Writes a subgraph anew; remembers which tensors there are on one row."""

    def __init__(self, subgraph: Subgraph) -> None:
        self.subgraph = subgraph
        self.rows: dict[int, int] = {}  # tensor -> the same on one row
        self.written = set(subgraph.inputs)  # tensors that exist as they were
        self.wanted = self._wanted()
        self.made: list[Operator] = []
        self.moved = 0

    def run(self) -> None:
        for operator in list(self.subgraph.operators):
            if self._is_renamed(operator):
                self.rows[int(operator.outputs[0])] = self.rows[int(operator.inputs[0])]
            elif self._is_moved(operator):
                self.made.append(self._move(operator))
                self.moved += 1
            else:
                for index in map(int, operator.inputs):
                    self._write(index)
                self.made.append(operator)
                self.written |= set(map(int, operator.outputs))
        for index in self.subgraph.outputs:
            self._write(index)
        self.subgraph.table.operators = self.made

    def _wanted(self) -> set[int]:
        """What reaches a convolution through nothing but PADs: the PADs belong to it."""
        wanted: set[int] = set()
        for operator in reversed(self.subgraph.operators):
            code = self.subgraph.code(operator)
            convolution = code in windows.CONVOLUTIONS
            if convolution and _is_along_line(self.subgraph, operator):
                wanted.add(int(operator.inputs[0]))
            elif code in (OPERATORS.PAD, *tensors.RENAMING) and int(operator.outputs[0]) in wanted:
                wanted.add(int(operator.inputs[0]))
        return wanted

    def _is_renamed(self, operator: Operator) -> bool:
        """Whether an operator only says otherwise which axes of a line there are."""
        source = int(operator.inputs[0])
        if self.subgraph.code(operator) not in tensors.RENAMING or source not in self.rows:
            return False
        ends = (operator.inputs[0], operator.outputs[0])
        before, after = (_line(self.subgraph.shape(index)) for index in ends)
        return before is not None and before == after

    def _is_moved(self, operator: Operator) -> bool:
        code = self.subgraph.code(operator)
        if code in windows.CONVOLUTIONS | windows.POOLS:
            known = code in windows.CONVOLUTIONS or int(operator.inputs[0]) in self.rows
            return known and _is_along_line(self.subgraph, operator)
        read = [int(index) for index in operator.inputs if index >= 0]
        if code == OPERATORS.PAD:
            known = read[0] in self.rows or int(operator.outputs[0]) in self.wanted
            return known and self._pads(operator) is not None
        if not any(index in self.rows for index in read):
            return False
        if code == OPERATORS.MEAN:
            return self._is_global_mean(operator)
        if code == OPERATORS.FULLY_CONNECTED:
            dense = bool(operator.builtinOptions.keepNumDims)
            return dense and _line(self.subgraph.shape(operator.outputs[0])) is not None
        shape = self.subgraph.shape(operator.outputs[0])
        if code == OPERATORS.CONCATENATION:
            last = operator.builtinOptions.axis % len(shape) == len(shape) - 1
            return last and all(self._is_operand(index, constants=False) for index in read)
        return code in _ELEMENTWISE and all(self._is_operand(index) for index in read)

    def _is_operand(self, index: int, constants: bool = True) -> bool:
        if (values := self.subgraph.constant(index)) is not None:
            return constants and (values.ndim < 2 or _line(values.shape) is not None)
        return _line(self.subgraph.shape(index)) is not None

    def _is_global_mean(self, operator: Operator) -> bool:
        """Whether a MEAN averages all steps away."""
        rank = len(self.subgraph.shape(operator.inputs[0]))
        axes = self.subgraph.constant(int(operator.inputs[1]))
        reduced = set() if axes is None else {int(axis) % rank for axis in axes.ravel()}
        return reduced == set(range(1, rank - 1))

    def _pads(self, operator: Operator) -> tuple[int, int] | None:
        """What a PAD adds before and behind the steps; None if it is no PAD of a line."""
        sizes = self.subgraph.shape(operator.inputs[0])
        pads = self.subgraph.constant(int(operator.inputs[1]))
        if _line(sizes) is None or pads is None or pads.shape != (len(sizes), 2):
            return None
        steps = 2 if len(sizes) == 4 and sizes[1] == 1 else 1
        if np.delete(pads, steps, axis=0).any():
            return None
        return int(pads[steps, 0]), int(pads[steps, 1])

    def _move(self, operator: Operator) -> Operator:
        """The operator on one row."""
        subgraph, code = self.subgraph, self.subgraph.code(operator)
        made = copy.deepcopy(operator)
        if code in windows.CONVOLUTIONS | windows.POOLS:
            self._turn(made)
        elif code == OPERATORS.PAD:
            pads = np.array([(0, 0), (0, 0), self._pads(operator), (0, 0)], np.int32)
            name = f"{subgraph.name(operator.inputs[1])}/row"
            made.inputs = np.array(
                [operator.inputs[0], subgraph.add_constant(pads, name=name)], np.int32
            )
        elif code == OPERATORS.MEAN:
            axes = subgraph.add_constant(np.array([1, 2], np.int32), name="height_and_width")
            made.inputs = np.array([operator.inputs[0], axes], np.int32)
        elif code == OPERATORS.CONCATENATION:
            made.builtinOptions.axis = 3
        elif code != OPERATORS.FULLY_CONNECTED:
            made.inputs = np.array([self._constant(int(i)) for i in operator.inputs], np.int32)
        for index in dict.fromkeys(map(int, made.inputs)):
            if index >= 0 and subgraph.constant(index) is None:
                subgraph.replace_input(made, index, self._read(index))
        output = int(operator.outputs[0])
        if _line(subgraph.shape(output)) is None:  # of a mean
            self.written.add(output)
            return made
        self.rows[output] = self._row(output)
        if self.rows[output] == output:
            self.written.add(output)
        made.outputs = np.array([self.rows[output]], np.int32)
        return made

    def _turn(self, operator: Operator) -> None:
        """Exchange height and width of what works on one column."""
        subgraph, options = self.subgraph, operator.builtinOptions
        if subgraph.shape(operator.inputs[0])[1] == 1:
            options.strideH = 1
            return
        options.strideW, options.strideH = options.strideH, 1
        if subgraph.code(operator) in windows.POOLS:
            options.filterHeight, options.filterWidth = 1, options.filterHeight
            return
        options.dilationWFactor, options.dilationHFactor = options.dilationHFactor, 1
        index = int(operator.inputs[1])
        name = f"{tensors.short_name(subgraph, index)}/row"
        kernel = np.ascontiguousarray(np.swapaxes(subgraph.values(index), 1, 2))
        made = subgraph.add_constant(kernel, name=name, like=index)
        subgraph.replace_input(operator, index, made)

    def _constant(self, index: int) -> int:
        """A constant beside lines, on four axes; any other tensor itself."""
        values = self.subgraph.constant(index)
        if values is None or values.ndim < 2:
            return index
        batch, steps, channels = _line(values.shape) or values.shape
        name = f"{tensors.short_name(self.subgraph, index)}/row"
        row = values.reshape(batch, 1, steps, channels)
        return self.subgraph.add_constant(row, name=name, like=index)

    def _read(self, index: int) -> int:
        """A tensor on one row."""
        if index not in self.rows:
            self.rows[index] = self._row(index)
            if self.rows[index] != index:
                self.made.append(tensors.reshape(self.subgraph, index, self.rows[index]))
        return self.rows[index]

    def _row(self, index: int) -> int:
        """A new tensor on one row like another; that itself if it is on one."""
        sizes = self.subgraph.shape(index)
        batch, steps, channels = _line(sizes) or (0, 0, 0)
        row = (batch, 1, steps, channels)
        return index if sizes == row else tensors.like(self.subgraph, index, row, "row")

    def _write(self, index: int) -> None:
        """Write a tensor as it was where it is only on one row."""
        if index in self.rows and index not in self.written:
            self.written.add(index)
            self.made.append(tensors.reshape(self.subgraph, self.rows[index], index))
