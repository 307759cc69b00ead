"""The layers of a subgraph that multiply by constant weights, and the kernel that each runs on."""

import dataclasses
import math
from collections.abc import Iterator

from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file import flatbuffer
from tfprune.export.file.constants import INPUTS
from tfprune.export.file.decoding import Constants, integers
from tfprune.export.file.subgraph import OPERATORS, TYPES, Subgraph
from tfprune.export.file.tables import Operator, Sparsity
from tfprune.export.predict import payoff
from tfprune.export.predict.clusters import NO_DENSIFY, Prediction
from tfprune.targets.costs import Costs

BROKEN = "broken"
SPARSE_1X1 = "sparse 1x1 NCHW"
_DENSE = "dense"
_NO_ZEROS = "no zeros"
LEADS_IN = "leads into the sparse kernels: dense by design"
_NOT_IN_LAYOUT = "FULLY_CONNECTED skips zeros in its own sparse layouts, which would be faster"
_FOUR_BITS = "no sparse kernel reads weights of 4 bits"

# The operators that multiply by one weight; a table, from which rows are taken, is none.
_PRODUCTS = frozenset(INPUTS) - {OPERATORS.GATHER}

# The inputs that hold the weights of fused layers: of the gates from the input and from the state,
# of a projection, and the same backwards.
_LSTM = (*range(1, 9), 16)
_RECURRENT = {
    OPERATORS.BIDIRECTIONAL_SEQUENCE_LSTM: (*_LSTM, *range(18, 26), 33, *range(40, 48)),
    OPERATORS.BIDIRECTIONAL_SEQUENCE_RNN: (1, 2, 5, 6, 10, 11),
    OPERATORS.LSTM: _LSTM,
    OPERATORS.RNN: (1, 2),
    OPERATORS.SVDF: (1, 2),
    OPERATORS.UNIDIRECTIONAL_SEQUENCE_LSTM: _LSTM,
    OPERATORS.UNIDIRECTIONAL_SEQUENCE_RNN: (1, 2),
}
_BASIC_INPUTS, _BASIC_LSTM = 5, (2,)  # an LSTM with five inputs has one weight for all gates

# Operators that go over the places of an image, a row or a volume.
_PLACED = (
    OPERATORS.CONV_2D,
    OPERATORS.CONV_3D,
    OPERATORS.DEPTHWISE_CONV_2D,
    OPERATORS.TRANSPOSE_CONV,
)

# (weight type, size of blocks along the input) -> the kernel of FULLY_CONNECTED that reads them.
_NATIVE = {
    (TYPES.FLOAT32, 1): "sparse rows",
    (TYPES.FLOAT32, 4): "sparse 1x4",
    (TYPES.INT8, 16): "sparse 1x16",
}


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer with a constant weight; a fused one is a layer for each of its weights.

    Attributes:
        position: Its place in the subgraph's operators.
        operator: Its operator.
        weight: The tensor that it reads as weight.
        multiply_adds: Those of one run, zeros included.
    """

    position: int
    operator: Operator
    weight: int
    multiply_adds: int


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The kernel of a layer and, where it is not sparse, the reason."""

    kernel: str
    blocker: str = ""


def layers(subgraph: Subgraph, constants: Constants) -> list[Layer]:
    """The layers of a subgraph.

    Args:
        subgraph: The subgraph.
        constants: Its constants.

    Returns:
        Its layers in running order.
    """
    found = []
    for position, operator in enumerate(subgraph.operators):
        for weight in _weights(subgraph, constants, operator):
            count = _multiply_adds(subgraph, operator, weight)
            found.append(Layer(position, operator, weight, count))
    return found


def uncounted(subgraph: Subgraph, constants: Constants) -> Iterator[str]:
    """What a subgraph computes beside its layers, one text an operator."""
    for operator in subgraph.operators:
        code = subgraph.code(operator)
        name = flatbuffer.OPERATOR_NAMES.get(code, str(code))
        if code == OPERATORS.CUSTOM:
            own = flatbuffer.custom_name(subgraph.model, operator)
            yield f"custom operator {own!r}, whose weights, if any, are not in the table."
        elif code in _PRODUCTS or code in _RECURRENT or code == OPERATORS.BATCH_MATMUL:
            if not _weights(subgraph, constants, operator):
                yield f"{name} of two computed tensors, whose multiply-adds are not counted."
            elif code in _PLACED and _is_free(subgraph, operator):
                places = _size(subgraph.shape(int(operator.outputs[0]))[1:-1])
                yield f"{name} over a free height or width, counted at {places:,} places."


def sparsity(subgraph: Subgraph, constants: Constants, weight: int) -> float:
    """The fraction of zeros in a weight; 0 for types that are not read."""
    size = math.prod(subgraph.shape(weight))
    return (constants.zeros(weight) or 0) / max(1, size)


def verdict(
    subgraph: Subgraph,
    constants: Constants,
    layer: Layer,
    predicted: Prediction | None,
    costs: Costs | None = None,
) -> Verdict:
    """The kernel that a layer runs on.

    Args:
        subgraph: Its subgraph.
        constants: The constants of that.
        layer: The layer.
        predicted: What XNNPACK makes of the subgraph; None where it has no sparse 1x1 kernels.
        costs: What kernels cost there; None where that is not known.

    Returns:
        The kernel and what keeps it from being sparse.
    """
    source, steps = constants.source(layer.weight)
    code = subgraph.code(layer.operator)
    encoding = subgraph.tensor(source).sparsity
    zeros = sparsity(subgraph, constants, source)
    if encoding is not None and OPERATORS.DENSIFY not in steps:
        return _native(subgraph, layer, source)
    if predicted is not None:
        if layer.position in predicted.sparse:
            return Verdict(SPARSE_1X1)
        if layer.position in predicted.entries:
            return Verdict(_DENSE, LEADS_IN)
        if layer.position in predicted.broken:
            return Verdict(BROKEN, predicted.blockers[layer.position])
        if layer.position in predicted.blockers and code == OPERATORS.CONV_2D:
            reason = predicted.blockers[layer.position]
            # Nothing is expanded because nothing is there to leave out.
            return Verdict(_DENSE, _NO_ZEROS if reason == NO_DENSIFY and not zeros else reason)
    return Verdict(_DENSE, _dense_reason(subgraph, constants, layer, costs))


def _native(subgraph: Subgraph, layer: Layer, source: int) -> Verdict:
    """The kernel of an operator that reads a sparse tensor itself."""
    tensor = subgraph.tensor(source)
    code = subgraph.code(layer.operator)
    block = 0 if tensor.sparsity is None else _block(tensor.sparsity)
    kernel = _NATIVE.get((tensor.type, block)) if code == OPERATORS.FULLY_CONNECTED else None
    if kernel is not None and source == layer.weight:
        return Verdict(kernel)
    operator = flatbuffer.OPERATOR_NAMES[code]
    kind = flatbuffer.TYPE_NAMES.get(tensor.type, tensor.type)
    layout = "rows" if block == 1 else f"1x{block} blocks" if block else "this layout"
    refused = f"the runtime refuses {operator} with {kind} weights in {layout}"
    return Verdict(BROKEN, f"breaks the file: {refused}")


def _block(encoding: Sparsity) -> int:
    """The size of blocks along the input in a native layout, 1 for rows, 0 for any other layout."""
    levels, dense = encoding.dimMetadata or [], schema.DimensionType.DENSE
    order, blocks = integers(encoding.traversalOrder), integers(encoding.blockMap)
    if order[:2] != [0, 1] or levels[0].format != dense or levels[1].format == dense:
        return 0
    if not blocks and len(levels) == 2:
        return 1
    inside = len(levels) == 3 and blocks == [1] and levels[2].format == dense
    return int(levels[2].denseSize) if inside else 0


def _dense_reason(
    subgraph: Subgraph, constants: Constants, layer: Layer, costs: Costs | None
) -> str:
    code = subgraph.code(layer.operator)
    if code == OPERATORS.DEPTHWISE_CONV_2D:
        return "depthwise: dense by design"
    if code == OPERATORS.CONV_2D:
        _, height, width, _ = subgraph.shape(layer.weight)
        if (height, width) == (1, 1):
            return "XNNPACK has no sparse 1x1 kernels on x86 with AVX"
        return f"{height}x{width} convolution"
    if code != OPERATORS.FULLY_CONNECTED:
        return "no sparse kernel for this operator"
    source, steps = constants.source(layer.weight)
    zeros = sparsity(subgraph, constants, source)
    nonzero = constants.nonzero(source)
    if not zeros or nonzero is None:
        return _NO_ZEROS
    expanded = OPERATORS.DENSIFY in steps
    dense = "DENSIFY expands it" if expanded else f"stored dense, sparsity {zeros:.2f}"
    if costs is None or OPERATORS.DEQUANTIZE in steps:
        return dense
    if subgraph.tensor(source).type == TYPES.INT4:
        return f"{dense}: {_FOUR_BITS}"
    arithmetic = "float32"
    if subgraph.tensor(source).type == TYPES.INT8:
        given = subgraph.tensor(int(layer.operator.inputs[0])).type
        arithmetic = "dynamic" if given == TYPES.FLOAT32 else "int8"
    rows = subgraph.places(layer.operator)
    why = payoff.reason(nonzero.reshape(subgraph.shape(source)), costs, arithmetic, rows)
    return f"{dense}: {why or _NOT_IN_LAYOUT}"


def _weights(subgraph: Subgraph, constants: Constants, operator: Operator) -> list[int]:
    """The constants that an operator multiplies by."""
    code = subgraph.code(operator)
    inputs = [int(index) for index in operator.inputs]
    if code == OPERATORS.BATCH_MATMUL:
        known = [index for index in inputs if index in constants]
        return known if len(known) == 1 else []
    places: tuple[int, ...] = _RECURRENT.get(code, ())
    if code == OPERATORS.LSTM and len(inputs) == _BASIC_INPUTS:
        places = _BASIC_LSTM
    if code in _PRODUCTS:
        places = (INPUTS[code].weight,)
    return [inputs[place] for place in places if place < len(inputs) and inputs[place] in constants]


def _is_free(subgraph: Subgraph, operator: Operator) -> bool:
    """Whether the height or the width that an operator goes over is known only when it runs."""
    return any(
        (signature := subgraph.tensor(index).shapeSignature) is not None and -1 in signature[1:-1]
        for index in map(int, operator.outputs)
    )


def _multiply_adds(subgraph: Subgraph, operator: Operator, weight: int) -> int:
    """Every weight times the positions that it is applied at."""
    code, shape = subgraph.code(operator), subgraph.shape(weight)
    output = subgraph.shape(int(operator.outputs[0]))
    if code in _RECURRENT:  # in every step, for every example
        return math.prod(shape) * _size(subgraph.shape(int(operator.inputs[0]))[:-1])
    if code == OPERATORS.BATCH_MATMUL:
        return _size(output) * shape[-1 if operator.inputs[0] == weight else -2]
    if code == OPERATORS.TRANSPOSE_CONV:
        return math.prod(shape) * _size(subgraph.shape(int(operator.inputs[2]))[:-1])
    return math.prod(shape) * subgraph.places(operator)


def _size(shape: tuple[int, ...]) -> int:
    """The number of positions in a shape; free dimensions count as one."""
    return math.prod(max(1, size) for size in shape)
