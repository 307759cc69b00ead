"""Which operators XNNPACK can run with channels first, as its sparse 1x1 kernels do.

The rules are those of `xnn_check_nchw_compatibility` in XNNPACK's src/subgraph.c, on TFLite's
operators. An operator may stand inside a cluster of such operators, enter it from channels last
(the stem), or leave it to channels last (MEAN); most can do none of these.
"""

import dataclasses
import enum

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file.decoding import Constants
from tfprune.export.file.subgraph import OPERATORS, TYPES, Subgraph
from tfprune.export.file.tables import Operator

_FLOATS = (TYPES.FLOAT32, TYPES.FLOAT16)
_UNARY = frozenset(
    getattr(OPERATORS, name)
    for name in (
        "ABS CEIL COS ELU EXP FLOOR GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC NEG RELU RELU6 "
        "RELU_0_TO_1 RELU_N1_TO_1 ROUND RSQRT SIN SQRT SQUARE TANH"
    ).split()
)
_STEM_CHANNELS = 3
_DEPTHWISE_KERNELS = (3, 5)

# Operators of which XNNPACK reads the first input only; the others are options to it.
_ONE_INPUT = frozenset(
    {
        OPERATORS.MEAN,
        OPERATORS.SUM,
        OPERATORS.PAD,
        OPERATORS.RESHAPE,
        OPERATORS.RESIZE_BILINEAR,
        OPERATORS.STRIDED_SLICE,
        OPERATORS.SLICE,
        OPERATORS.TRANSPOSE,
        OPERATORS.EXPAND_DIMS,
    }
)


class Role(enum.Flag):
    """Where an operator may stand in a cluster with channels first."""

    NONE = 0
    INSIDE = enum.auto()
    ENTRY = enum.auto()
    EXIT = enum.auto()


Padding = tuple[int, int, int, int]  # top, bottom, left, right


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the rules look at.

    Attributes:
        subgraph: The subgraph.
        constants: Its constants.
        mixed: Whether an operator may have one constant in float16 and another in float32. In
            WebAssembly (LiteRT.js 2.5.3) that gave wrong outputs, and slowly.
        expanded: Whether to take it that a DENSIFY expands some weight, as of a model that is yet
            to be encoded.
    """

    subgraph: Subgraph
    constants: Constants
    mixed: bool = True
    expanded: bool = False

    def inputs(self, operator: Operator) -> list[int]:
        """The tensors that XNNPACK reads, weights included."""
        indices = [int(index) for index in operator.inputs if index >= 0]
        return indices[:1] if self.subgraph.code(operator) in _ONE_INPUT else indices

    def rank(self, index: int) -> int:
        """The number of axes of a tensor."""
        return len(self.subgraph.shape(index))


def is_product(setting: Setting, operator: Operator) -> bool:
    """Whether XNNPACK's sparse kernel may run it: a 1x1 convolution or Dense over an image."""
    code = setting.subgraph.code(operator)
    if code == OPERATORS.FULLY_CONNECTED:
        image = setting.rank(int(operator.inputs[0])) == 4
        return image and bool(operator.builtinOptions.keepNumDims)
    return code == OPERATORS.CONV_2D and _kernel(setting, operator) == (1, 1)


def role(setting: Setting, operator: Operator, padded: Padding) -> tuple[Role, str]:
    """Where an operator may stand.

    Args:
        setting: Its subgraph.
        operator: The operator.
        padded: What a PAD before it adds, which XNNPACK fuses into it.

    Returns:
        Its roles and, where there are none, the reason.
    """
    subgraph = setting.subgraph
    code = subgraph.code(operator)
    inputs = setting.inputs(operator)
    values = inputs + [int(index) for index in operator.outputs]
    if not inputs:
        return Role.NONE, "has no input"
    if any(subgraph.tensor(index).type not in _FLOATS for index in values):
        return Role.NONE, "does not compute in float"
    rule = _RULES.get(code)
    if rule is not None:
        return rule(setting, operator, padded)
    image = setting.rank(inputs[0]) == 4
    if code in _UNARY:
        return (Role.INSIDE, "") if image else (Role.NONE, "works on other than images")
    if code in (OPERATORS.MEAN, OPERATORS.SUM):
        return (Role.INSIDE | Role.EXIT, "") if image else (Role.NONE, "works on no image")
    if code == OPERATORS.DEPTH_TO_SPACE:
        return Role.EXIT, ""
    return Role.NONE, "has no channels-first kernel"


def own_padding(setting: Setting, operator: Operator) -> Padding | None:
    """The explicit padding of a convolution; None for TensorFlow's SAME with strides."""
    options = operator.builtinOptions
    if options.padding == schema.Padding.VALID:
        return (0, 0, 0, 0)
    if (options.strideH, options.strideW) != (1, 1):
        return None
    height, width = _kernel(setting, operator)
    rows = (height - 1) * options.dilationHFactor
    columns = (width - 1) * options.dilationWFactor
    return (rows // 2, rows - rows // 2, columns // 2, columns - columns // 2)


def _convolution(setting: Setting, operator: Operator, padded: Padding) -> tuple[Role, str]:
    subgraph, options = setting.subgraph, operator.builtinOptions
    kernel, stride = _kernel(setting, operator), (options.strideH, options.strideW)
    channels = subgraph.shape(int(operator.inputs[0]))[-1]
    padding = _total(own_padding(setting, operator), padded)
    if subgraph.shape(int(operator.inputs[1]))[-1] != channels:
        return Role.NONE, "grouped convolution"
    if (options.dilationHFactor, options.dilationWFactor) != (1, 1):
        return Role.NONE, "dilated convolution"
    if kernel == (1, 1):
        if stride != (1, 1):
            return Role.NONE, f"1x1 stride {stride}"
        if padding is None or any(padding):
            return Role.NONE, "1x1 convolution with padding"
        return Role.INSIDE, ""
    if kernel != (3, 3):
        return Role.NONE, f"{kernel[0]}x{kernel[1]} convolution"
    if stride != (2, 2) or channels != _STEM_CHANNELS:
        return Role.NONE, "3x3 convolution"
    if padding != (1, 1, 1, 1):
        return Role.NONE, f"3x3 stem padded by {_padding(padding)} instead of 1 on every side"
    return Role.ENTRY, ""


def _depthwise(setting: Setting, operator: Operator, padded: Padding) -> tuple[Role, str]:
    options = operator.builtinOptions
    kernel, stride = _kernel(setting, operator), (options.strideH, options.strideW)
    padding = _total(own_padding(setting, operator), padded)
    channels = setting.subgraph.shape(int(operator.inputs[0]))[-1]
    if setting.subgraph.shape(int(operator.inputs[1]))[-1] != channels:
        return Role.NONE, "depthwise convolution with several filters a channel"
    if (options.dilationHFactor, options.dilationWFactor) != (1, 1):
        return Role.NONE, "dilated depthwise convolution"
    if stride not in ((1, 1), (2, 2)):
        return Role.NONE, f"depthwise stride {stride}"
    if kernel[0] != kernel[1] or kernel[0] not in _DEPTHWISE_KERNELS:
        return Role.NONE, f"{kernel[0]}x{kernel[1]} depthwise convolution"
    half = kernel[0] // 2
    if padding != (half,) * 4:
        return Role.NONE, f"depthwise padded by {_padding(padding)} instead of {half} on every side"
    return Role.INSIDE, ""


def _fully_connected(setting: Setting, operator: Operator, padded: Padding) -> tuple[Role, str]:
    del padded
    if is_product(setting, operator):
        return Role.INSIDE, ""
    return Role.NONE, "works on no image"


def _binary(setting: Setting, operator: Operator, padded: Padding) -> tuple[Role, str]:
    del padded
    subgraph, inputs = setting.subgraph, setting.inputs(operator)
    if len(inputs) != 2 or any(setting.rank(index) != 4 for index in inputs):
        return Role.NONE, "has an operand that is not of rank 4"
    # XNNPACK looks at the shape of the first operand whichever of the two is constant.
    constant = any(index in setting.constants for index in inputs)
    if constant and sum(size != 1 for size in subgraph.shape(inputs[0])) > 1:
        return Role.NONE, "has a constant as its second operand, or one that is no vector"
    return Role.INSIDE, ""


def _resize(setting: Setting, operator: Operator, padded: Padding) -> tuple[Role, str]:
    del padded
    shape = setting.subgraph.shape(int(operator.inputs[0]))
    if len(shape) == 4 and min(shape[1:3]) > 1:
        return Role.INSIDE, ""
    return Role.NONE, "resizes a single row or column"


_RULES = {
    OPERATORS.ADD: _binary,
    OPERATORS.CONV_2D: _convolution,
    OPERATORS.DEPTHWISE_CONV_2D: _depthwise,
    OPERATORS.FULLY_CONNECTED: _fully_connected,
    OPERATORS.MUL: _binary,
    OPERATORS.RESIZE_BILINEAR: _resize,
}


def fused_padding(setting: Setting, pad: Operator, reader: Operator) -> Padding | None:
    """What a PAD adds, if XNNPACK fuses it into its only reader.

    Args:
        setting: Their subgraph.
        pad: The PAD.
        reader: The operator that reads it.

    Returns:
        The padding, or None where it stays an operator of its own.
    """
    subgraph = setting.subgraph
    if subgraph.code(reader) not in (OPERATORS.CONV_2D, OPERATORS.DEPTHWISE_CONV_2D):
        return None
    amounts = subgraph.constant(int(pad.inputs[1])) if len(pad.inputs) == 2 else None
    if amounts is None or amounts.shape != (4, 2) or np.any(amounts[[0, 3]]):
        return None
    if own_padding(setting, reader) is None or int(reader.inputs[0]) != int(pad.outputs[0]):
        return None
    top, bottom, left, right = (int(amount) for amount in amounts[1:3].ravel())
    return (top, bottom, left, right)


def _kernel(setting: Setting, operator: Operator) -> tuple[int, int]:
    """Height and width of a kernel, which lies (outputs, height, width, inputs)."""
    _, height, width, _ = setting.subgraph.shape(int(operator.inputs[1]))
    return (height, width)


def _total(own: Padding | None, padded: Padding) -> Padding | None:
    if own is None:
        return None
    top, bottom, left, right = (first + second for first, second in zip(own, padded))
    return (top, bottom, left, right)


def _padding(padding: Padding | None) -> str:
    return "SAME" if padding is None else "{}, {}, {}, {}".format(*padding)
