"""Which operators of a subgraph the XNNPACK delegate runs, and in which parts."""

from collections.abc import Iterator

from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file import flatbuffer
from tfprune.export.file.decoding import Constants
from tfprune.export.file.subgraph import OPERATORS, TYPES, subgraphs
from tfprune.export.file.tables import Model, Operator
from tfprune.export.predict.nchw import Setting

MIXED = "float16 and float32 constants in one operator give wrong outputs in WebAssembly"

_CHAIN = (OPERATORS.DENSIFY, OPERATORS.DEQUANTIZE)
_DELEGATED = frozenset(
    getattr(OPERATORS, name)
    for name in (
        "ABS ADD AVERAGE_POOL_2D BATCH_MATMUL CEIL CONCATENATION CONV_2D COS DEPTH_TO_SPACE "
        "DEPTHWISE_CONV_2D DEQUANTIZE DIV ELU EXP EXPAND_DIMS FLOOR FULLY_CONNECTED GELU "
        "HARD_SWISH LEAKY_RELU LOG LOGISTIC MAX_POOL_2D MAXIMUM MEAN MINIMUM MUL NEG PAD PRELU "
        "QUANTIZE RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR ROUND RSQRT SIN "
        "SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQRT SQUARE SQUARED_DIFFERENCE STRIDED_SLICE SUB SUM "
        "TANH TRANSPOSE TRANSPOSE_CONV"
    ).split()
)
_DELEGATED_TYPES = (TYPES.FLOAT32, TYPES.INT8, TYPES.UINT8)
_DELEGATED_ACTIVATIONS = (
    schema.ActivationFunctionType.NONE,
    schema.ActivationFunctionType.RELU,
    schema.ActivationFunctionType.RELU6,
    schema.ActivationFunctionType.RELU_N1_TO_1,
)


def delegated(model: Model) -> frozenset[tuple[int, int]]:
    """The operators of a model that XNNPACK runs: subgraph and position there."""
    return frozenset(
        (number, position)
        for number, subgraph in enumerate(subgraphs(model))
        for setting in [Setting(subgraph, Constants(subgraph))]
        for position, operator in enumerate(subgraph.operators)
        if not refusal(setting, operator)
    )


def parts(setting: Setting) -> dict[int, int]:
    """Position of each operator that XNNPACK runs -> the number of its part.

    As in TFLite, each part takes, in running order, all operators of one kind, delegated or not,
    whose inputs are there.

    Args:
        setting: The subgraph.

    Returns:
        The parts. Operators that only expand constants are in none: they run once, on loading.
    """
    subgraph = setting.subgraph
    waiting = [
        (position, operator, not refusal(setting, operator))
        for position, operator in enumerate(subgraph.operators)
        if not setting.constants.is_expanded(operator)
    ]
    missing = {int(index) for _, operator, _ in waiting for index in operator.outputs}
    found: dict[int, int] = {}
    number = 0
    while waiting:
        kind, left = waiting[0][2], []
        for place, (position, operator, delegated) in enumerate(waiting):
            ready = all(int(index) not in missing for index in operator.inputs)
            if place and not (delegated == kind and ready):
                left.append((position, operator, delegated))
                continue
            missing -= {int(index) for index in operator.outputs}
            if delegated:
                found[position] = number
        waiting = left
        number += 1
    return found


def misread(setting: Setting) -> Iterator[str]:
    """Which operators find nothing where a constant should be, one sentence each.

    XNNPACK takes over a DENSIFY and the DEQUANTIZE after it, for whatever reads the result. An
    operator that is left to LiteRT's own kernels then reads memory that nobody wrote.

    Args:
        setting: The subgraph.
    """
    subgraph, constants = setting.subgraph, setting.constants
    for operator in subgraph.operators:
        chained = [
            index
            for index in map(int, operator.inputs)
            if index in constants and constants.source(index)[1] == _CHAIN
        ]
        if chained and not constants.is_expanded(operator) and refusal(setting, operator):
            name = subgraph.name(constants.source(chained[0])[0])
            kind = flatbuffer.OPERATOR_NAMES.get(subgraph.code(operator), "an operator")
            yield (
                f"breaks the file: {kind}, not run by XNNPACK, reads {name!r} after DENSIFY and "
                "DEQUANTIZE, which XNNPACK leaves unwritten"
            )


def refusal(setting: Setting, operator: Operator) -> str:
    """Why XNNPACK does not run an operator; empty if it does.

    Args:
        setting: Its subgraph.
        operator: The operator.
    """
    subgraph = setting.subgraph
    inputs = setting.inputs(operator)
    activation = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
    if (
        subgraph.code(operator) not in _DELEGATED
        or activation not in _DELEGATED_ACTIVATIONS
        or not inputs
        or subgraph.tensor(inputs[0]).type not in _DELEGATED_TYPES
        or any(subgraph.tensor(index).sparsity is not None for index in inputs)
    ):
        return "not run by XNNPACK"
    if not setting.mixed and _is_mixed(setting, inputs):
        return MIXED
    return ""


def _is_mixed(setting: Setting, inputs: list[int]) -> bool:
    """Whether some constants among the inputs are stored in float16 and others in float32."""
    found = set()
    for index in inputs:
        source, steps = setting.constants.source(index)
        kind = setting.subgraph.tensor(source).type
        if kind == TYPES.FLOAT16 and OPERATORS.DEQUANTIZE in steps:
            found.add(kind)
        elif kind == TYPES.FLOAT32 and index in setting.constants:
            found.add(kind)
    return len(found) > 1
