"""What tflite-micro cannot run of a file, and what to change.

The operators are those of the interpreter in the `tflite-micro` package, which has all that the
library ships; `tests/export/predict/test_micro_lint.py` asks it about each. Firmware that registers
fewer needs those of `operators`.
"""

import collections
import re
from collections.abc import Iterator

from tfprune.export.file import flatbuffer
from tfprune.export.file.constants import INPUTS, inputs_of
from tfprune.export.file.micro_decoding import DECODE, is_decoder
from tfprune.export.file.subgraph import OPERATORS, TYPES, Subgraph, subgraphs
from tfprune.export.file.tables import Model, Operator
from tfprune.export.predict.verdicts import Verdict

VERDICT = Verdict("dense", "tflite-micro multiplies by zeros, too: they save flash, no time")

_NAMES = """
    ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND
    BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTH_TO_SPACE
    DEPTHWISE_CONV_2D DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS
    FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH
    IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOG_SOFTMAX LOGICAL_AND
    LOGICAL_NOT LOGICAL_OR LOGISTIC MAX_POOL_2D MAXIMUM MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL
    PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE
    RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX
    SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE
    STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK
    VAR_HANDLE WHILE ZEROS_LIKE
"""
SUPPORTED = frozenset(_NAMES.split())

_CHANGES = {
    "CONV_3D": "use Conv2D over frames",
    "CONV_3D_TRANSPOSE": "use Conv2DTranspose over frames",
    "DENSIFY": "export it with target='microcontroller'",
    "GELU": "use another activation, such as relu",
    "ONE_HOT": "feed one-hot vectors, or use an Embedding",
    "POW": "use products or squares",
    "REDUCE_PROD": "use products of slices",
    "REVERSE_SEQUENCE": "reverse whole axes, without masks",
    "SELECT": "if it is an Embedding's, feed one-hot vectors to a Dense layer",
    "SIGN": "use comparisons",
    "TILE": "use Concatenate, or broadcasting",
    "TOPK_V2": "select on the host, from the scores",
}
_NODE = re.compile(r"Node \w+ \(number (\d+)\)")
_OTHER_CHANGE = "replace the layer, or register a kernel of your own in the firmware"
_PRODUCTS = frozenset(INPUTS) - {OPERATORS.GATHER}


def operators(model: Model) -> tuple[str, ...]:
    """The operators that firmware has to register for a file, each once, in alphabetical order."""
    return tuple(
        sorted(
            {_name(subgraph, each) for subgraph in subgraphs(model) for each in subgraph.operators}
        )
    )


def defects(model: Model) -> tuple[str, ...]:
    """Why tflite-micro refuses a file or misreads it, one sentence each, with what to change.

    Args:
        model: A parsed model.
    """
    found = [text for subgraph in subgraphs(model) for text in _defects(subgraph)]
    return tuple(dict.fromkeys(found))


def _defects(subgraph: Subgraph) -> Iterator[str]:
    lacking: dict[str, list[str]] = collections.defaultdict(list)
    for operator in subgraph.operators:
        name = _name(subgraph, operator)
        if name not in SUPPORTED and not is_decoder(subgraph, operator):
            lacking[name].append(_layer(subgraph, operator))
        elif _is_hybrid(subgraph, operator):
            yield (
                f"tflite-micro has no {name} of float32 by int8, as in {_layer(subgraph, operator)}"
                ": export with quantize='int8' or without quantization"
            )
    for name, layers in lacking.items():
        more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
        change = _CHANGES.get(name, _OTHER_CHANGE)
        yield f"tflite-micro has no operator {name}, which {layers[0]}{more} needs: {change}"
    for index, tensor in enumerate(subgraph.table.tensors):
        if tensor.sparsity is not None:
            yield (
                "tflite-micro takes the stored values of sparse tensors for dense ones, as of "
                f"{subgraph.name(index)!r}: export with target='microcontroller'"
            )
            return
        if tensor.type == TYPES.FLOAT16:
            yield (
                f"tflite-micro has no float16, as in {subgraph.name(index)!r}: export with "
                "quantize='int8' or without quantization"
            )
            return


def _name(subgraph: Subgraph, operator: Operator) -> str:
    if is_decoder(subgraph, operator):
        return DECODE
    return flatbuffer.operator_name(subgraph.model, operator)


def refused(dense: Model, encoded: Model, reason: str) -> str:
    """What tflite-micro said of an encoded file, with the layer of the operator that it names.

    Args:
        dense: The parsed dense file, which has the names of tensors.
        encoded: What it became: the same operators, and decoders.
        reason: The words of the interpreter.
    """
    found = _NODE.search(reason)
    before, after = subgraphs(dense)[0], subgraphs(encoded)[0]
    if found is None or int(found[1]) >= len(after.operators):
        return reason
    decoders = sum(is_decoder(after, each) for each in after.operators[: int(found[1])])
    layer = _layer(before, before.operators[int(found[1]) - decoders])
    return f"{reason}: it is {layer}; use another one, or another `quantize`"


def _layer(subgraph: Subgraph, operator: Operator) -> str:
    """What names an operator for a user: a tensor with its layer's name.

    That is the one that it writes, but for outputs of the model, which have names of their own;
    else its weight, or what it reads.
    """
    ends = tuple(subgraph.name(index) for index in (*subgraph.outputs, *subgraph.inputs))
    tensors = [
        int(index)
        for index in (*operator.outputs, inputs_of(subgraph, operator)[0], *operator.inputs)
        if index is not None and index >= 0
    ]
    names = [name for name in map(subgraph.name, tensors) if name and not name.startswith(ends)]
    return f"the layer {names[0]!r}" if names else "the last layer"


def _is_hybrid(subgraph: Subgraph, operator: Operator) -> bool:
    """Whether an operator multiplies floats by int8 weights."""
    weight, _ = inputs_of(subgraph, operator)
    outputs = [int(index) for index in operator.outputs]
    if subgraph.code(operator) not in _PRODUCTS or weight is None or not outputs:
        return False
    kinds = subgraph.tensor(weight).type, subgraph.tensor(outputs[0]).type
    return kinds == (TYPES.INT8, TYPES.FLOAT32)
