"""Taking a network into XNNPACK's sparse mode, operator by operator.

Everything behind a first convolution is written in the mode's terms as far as it can be. An
operator that cannot, and all that needs its result, stays as it was; what it reads leaves the mode.
"""

import math

from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import tensors, windows
from tfprune.export.rewrites.lowered import (
    convolutions,
    entry,
    exits,
    joins,
    patterns,
    pools,
    shifts,
    vectors,
)
from tfprune.export.rewrites.lowered.image import PLACE, Block, Image, made_like

_MIN_SPARSITY = 2 / 3  # XNNPACK's own limit; must be exceeded
_STEM_WEIGHTS = 4096  # of so many, zeros make no difference
_SHOWN = 3
_NONE = schema.ActivationFunctionType.NONE


def apply(subgraph: Subgraph, *, block: Block, kernels: bool) -> tuple[str, ...]:
    """Take a network into the sparse mode as far as it goes.

    Args:
        subgraph: The subgraph, changed in place.
        block: Rows and columns that are channels of one place, where the network begins with other
            than the mode's own first convolution; of networks along one axis, one row.
        kernels: Whether to take in convolutions of more than one place, strided ones and maxima.

    Returns:
        A sentence on what was written in other terms, and one on where the mode ends before that.
    """
    walk = _Walk(subgraph, block, kernels)
    walk.run()
    said = []
    if walk.lowered:
        said.append(f"Layers written as 1x1 convolutions, shifts and sums: {walk.lowered}.")
    if walk.left:
        ends = [
            f"{tensors.short_name(subgraph, index)!r} for {reader}"
            for index, reader in walk.left.items()
        ]
        more = f" and {len(ends) - _SHOWN} more" if len(ends) > _SHOWN else ""
        said.append(f"The sparse mode is left at {', '.join(ends[:_SHOWN])}{more}.")
    return tuple(said)


class _Walk:
    """Writes a subgraph anew; arguments as `apply`."""

    def __init__(self, subgraph: Subgraph, block: Block, kernels: bool) -> None:
        self.subgraph, self.block, self.kernels = subgraph, block, kernels
        self.emitter = shifts.Emitter(subgraph)
        self.producers = subgraph.producers()
        self.readers = subgraph.readers()
        self.images: dict[int, Image] = {}  # tensor of the network before -> where it is now
        self.entries: dict[int, Image] = {}
        self.averages: dict[int, Operator] = {}  # of height and width -> the MEAN
        self.pads: dict[int, Operator] = {}  # what they write -> those not written yet
        self.left: dict[int, str] = {}  # tensor of the network before -> what reads it outside
        self.skipped: set[Operator] = set()  # parts of what is written already
        self.made: list[Operator] = []
        self.lowered = 0

    def run(self) -> None:
        """Write all operators; the subgraph changes."""
        for operator in list(self.subgraph.operators):
            before, moved = len(self.made), dict(self.emitter.moved)
            if not self._take(operator):
                del self.made[before:]
                self.emitter.moved = moved
                kind = flatbuffer.OPERATOR_NAMES[self.subgraph.code(operator)]
                for index in map(int, operator.inputs):
                    self._leave(index, kind)
                self.made.append(operator)
        for index in self.subgraph.outputs:
            self._leave(index, "an output")
        self.subgraph.table.operators = self.made

    def _leave(self, index: int, reader: str) -> None:
        """Write an image where what reads it, outside, looks for it."""
        if index in self.pads:
            pad = self.pads.pop(index)
            self._leave(int(pad.inputs[0]), "PAD")
            self.made.append(pad)
        if index not in self.images or index in self.left:
            return
        self.left[index] = reader
        if index in self.averages:
            self._mean(self.averages[index], index)
        else:
            self.made += exits.leave(self.emitter, self.images[index], index)

    def _take(self, operator: Operator) -> bool:
        """Write an operator in the mode's terms, if it reads images and can be."""
        code = self.subgraph.code(operator)
        if operator in self.skipped:
            return True
        if code in windows.CONVOLUTIONS:
            return self._convolution(operator)
        if code in windows.POOLS:
            return self._pool(operator)
        if code == OPERATORS.TRANSPOSE_CONV:
            return self._transpose(operator)
        images = [self.images[i] for i in map(int, operator.inputs) if i in self.images]
        if not images:
            return False
        if code == OPERATORS.MEAN:
            return self._average(operator, images[0])
        if code == OPERATORS.RESHAPE:
            return self._reshape(operator, images[0])
        # A PAD belongs to the convolution behind it, which says what it reads.
        if code == OPERATORS.PAD and self._is_fused(operator):
            self.pads[int(operator.outputs[0])] = operator
            return True
        moves = code in (OPERATORS.CONCATENATION, OPERATORS.RESIZE_NEAREST_NEIGHBOR)
        return self._add(operator, self._same(operator, images), lowered=moves)

    def _same(self, operator: Operator, images: list[Image]) -> convolutions.Made | None:
        """An operator that is in the mode what it was outside, on values in other places."""
        emitter, code = self.emitter, self.subgraph.code(operator)
        if code in vectors.SINGLE:
            return joins.single(emitter, operator, images[0])
        if code in vectors.PAIRS:
            first, second = (self.images.get(int(index)) for index in operator.inputs)
            return joins.pair(emitter, operator, first, second)
        if code == OPERATORS.CONCATENATION:
            return joins.side_by_side(emitter, operator, images)
        if code == OPERATORS.RESIZE_NEAREST_NEIGHBOR:
            return joins.resized(emitter, operator, images[0])
        if code == OPERATORS.RESIZE_BILINEAR:
            return joins.interpolated(emitter, operator, images[0])
        if code == OPERATORS.DEPTH_TO_SPACE:
            return joins.unfolded(emitter, operator, images[0])
        if code == OPERATORS.FULLY_CONNECTED:
            return vectors.dense(emitter, operator, images[0])
        return None

    def _add(
        self, operator: Operator, made: convolutions.Made | None, *, lowered: bool = True
    ) -> bool:
        if made is None:
            return False
        self.made += made[0]
        self.images[int(operator.outputs[0])] = made[1]
        self.lowered += lowered
        return True

    def _is_fused(self, pad: Operator) -> bool:
        index = int(pad.outputs[0])
        alone = index not in self.subgraph.outputs and windows.zeros_of(self.subgraph, pad)
        return bool(alone) and all(
            self.subgraph.code(reader) in windows.CONVOLUTIONS | windows.POOLS
            for reader in self.readers[index]
        )

    def _convolution(self, operator: Operator) -> bool:
        window = windows.read(self.subgraph, operator, self.producers)
        source = self.images.get(window.source)
        if source is not None:
            return self._following(operator, window, source, first=False)
        small = self.subgraph.shape(window.source)[3] <= entry.CHANNELS
        image = small and all(axis.outputs > 1 for axis in window.axes)
        if not (image or self._is_line(window)):
            return False
        return self.subgraph.code(operator) == OPERATORS.CONV_2D and self._first(operator, window)

    def _first(self, operator: Operator, window: windows.Window) -> bool:
        """A convolution of an image outside of the mode, which leads into it."""
        subgraph = self.subgraph
        if self.block == PLACE and entry.is_entry(subgraph, operator, window):
            rows, columns = window.axes
            grid = (rows.outputs, columns.outputs)
            result = made_like(subgraph, int(operator.outputs[0]), grid, PLACE)
            made = joins.on_values(subgraph, operator, list(operator.inputs), result)
            padded = windows.set_padding(subgraph, made, window.source, ((1, 1), (1, 1)))
            return self._add(operator, (padded, result), lowered=False)
        if window.source not in self.entries:
            enter = entry.enter_line if self._is_line(window) else entry.enter
            steps, source = enter(self.emitter, window.source, self.block)
            self.made += steps
            self.entries[window.source] = source
        if self._following(operator, window, self.entries[window.source], first=True):
            return True
        del self.entries[window.source]
        return False

    def _is_line(self, window: windows.Window) -> bool:
        """Whether a convolution reads an image of one row, before any image has left the mode."""
        rows, columns = window.axes
        row = self.block[0] == rows.size == rows.outputs == rows.kernel == 1
        return row and columns.outputs > 1 and not self.left

    def _following(
        self, operator: Operator, window: windows.Window, source: Image, *, first: bool
    ) -> bool:
        subgraph = self.subgraph
        options = operator.builtinOptions
        bias = int(operator.inputs[2]) if len(operator.inputs) > 2 else -1
        activation, output = options.fusedActivationFunction, int(operator.outputs[0])
        result = {"bias": bias, "activation": activation, "output": output}
        single = all(axis.kernel == axis.stride == 1 for axis in window.axes)
        depths = subgraph.code(operator) == OPERATORS.DEPTHWISE_CONV_2D
        if depths and source.block == PLACE:
            kernel = subgraph.values(int(operator.inputs[1]))[0]
            if kernel.shape[2] != source.channels:
                return False
            made = convolutions.depthwise(self.emitter, source, kernel, window, **result)
            return self._add(operator, made, lowered=False)
        taps = convolutions.taps_of(subgraph, operator, window)
        if taps is None:
            return False
        if not (single or first or depths):
            few = taps.kernel.size <= _STEM_WEIGHTS or taps.sparsity > _MIN_SPARSITY
            if not (self.kernels and few):
                return False
        made = convolutions.convolution(self.emitter, source, taps, window, **result)
        return self._add(operator, made, lowered=not single)

    def _pool(self, operator: Operator) -> bool:
        subgraph, output = self.subgraph, int(operator.outputs[0])
        window = windows.read(subgraph, operator, self.producers)
        source = self.images.get(window.source)
        activation = operator.builtinOptions.fusedActivationFunction
        if source is None:
            return False
        if subgraph.code(operator) == OPERATORS.AVERAGE_POOL_2D:
            made = pools.average(self.emitter, source, window, activation, output)
            return self._add(operator, made)
        if activation != _NONE or not self.kernels:
            return False
        return self._add(
            operator, pools.largest(self.emitter, source, window, output, self.producers)
        )

    def _average(self, operator: Operator, source: Image) -> bool:
        subgraph, output = self.subgraph, int(operator.outputs[0])
        axes = subgraph.constant(int(operator.inputs[1]))
        reduced = set() if axes is None else {int(axis) % 4 for axis in axes.ravel()}
        if reduced != {1, 2} or not source.is_whole(subgraph):
            return False
        if not vectors.meets_image(subgraph, output):
            self._mean(operator, output)
            return True
        sizes = (subgraph.shape(output)[0], 1, 1, source.channels)
        index = tensors.like(subgraph, source.index, sizes, "vector")
        self._mean(operator, index, keep=True)
        self.images[output] = Image(index, PLACE, 1, 1, source.channels)
        self.averages[output] = operator
        return True

    def _mean(self, operator: Operator, output: int, keep: bool | None = None) -> None:
        source = self.images[int(operator.inputs[0])]
        self.made += vectors.mean(self.emitter, operator, source, output, keep)

    def _reshape(self, operator: Operator, source: Image) -> bool:
        """A vector between two axes and four, or the first of several operators that are one."""
        repeated = patterns.repetition(self.subgraph, operator, self.readers)
        if repeated is not None:
            chain, factor = repeated
            return self._replace(chain, joins.enlarged(self.emitter, source, factor, _last(chain)))
        dealt = patterns.shuffle(self.subgraph, operator, self.readers)
        if dealt is not None:
            chain, order = dealt
            return self._replace(chain, joins.shuffled(self.emitter, source, order, _last(chain)))
        shape = self.subgraph.shape(int(operator.outputs[0]))
        same = shape[-1] == source.channels and math.prod(shape[1:-1]) == 1
        if (source.rows, source.columns) != (1, 1) or not same or source.places > 1:
            return False
        if not vectors.meets_image(self.subgraph, int(operator.outputs[0])):
            return False
        return self._add(operator, ([], source), lowered=False)

    def _replace(self, chain: list[Operator], made: convolutions.Made | None) -> bool:
        """Write several operators as one."""
        self.skipped |= set(chain) if made is not None else set()
        return self._add(chain[-1], made)

    def _transpose(self, operator: Operator) -> bool:
        """A transposed convolution, of which an image in larger blocks comes."""
        source = self.images.get(int(operator.inputs[2]))
        if source is None or not self.kernels:
            return False
        return self._add(operator, convolutions.transposed(self.emitter, source, operator))


def _last(chain: list[Operator]) -> int:
    return int(chain[-1].outputs[0])
