"""One small file for each operator that reads a weight, in float32 or in int8 arithmetic."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.support.export.tflite_files import empty_graph
from tfprune.export.encode import layouts, narrowing, plans, sparse
from tfprune.export.file.constants import constant_weights
from tfprune.export.file.subgraph import OPERATORS, TYPES

NONE = schema.ActivationFunctionType.NONE
TANH = schema.ActivationFunctionType.TANH  # which no convolution of XNNPACK has


def pruned(shape, sparsity=0.9):
    rng = np.random.default_rng(sum(shape))
    return (rng.standard_normal(shape) * (rng.random(shape) >= sparsity)).astype(np.float32)


class _File:
    """A subgraph with one input and one output, between which operators are put."""

    def __init__(self, shape, kind=TYPES.FLOAT32):
        self.graph = empty_graph()
        self.source = self.tensor(shape, kind)
        self.graph.table.inputs = np.array([self.source], np.int32)

    def tensor(self, shape, kind=TYPES.FLOAT32):
        return self.graph.add_tensor(shape, kind, name=f"value{len(self.graph.table.tensors)}")

    def constant(self, values):
        return self.graph.add_constant(values, name=f"constant{len(self.graph.table.tensors)}")

    def bias(self, size):
        return self.constant(np.linspace(-1, 1, size, dtype=np.float32))

    def add(self, code, inputs, output, options=None, version=1):
        made = self.graph.operator(code, inputs, [output], options, version=version)
        self.graph.operators.append(made)
        self.graph.table.outputs = np.array([output], np.int32)
        return self.graph.model


def window(kind, activation):
    options = getattr(schema, f"{kind}OptionsT")()
    options.padding = schema.Padding.SAME
    options.fusedActivationFunction = activation
    for name in vars(options):
        if name.startswith(("stride", "dilation")):
            setattr(options, name, 1)
    return options


def fully_connected():
    file = _File((1, 64))
    inputs = [file.source, file.constant(pruned((48, 64))), file.bias(48)]
    options = schema.FullyConnectedOptionsT()
    return file.add(OPERATORS.FULLY_CONNECTED, inputs, file.tensor((1, 48)), options)


def convolution(activation=NONE):
    file = _File((1, 8, 8, 16))
    inputs = [file.source, file.constant(pruned((32, 3, 3, 16))), file.bias(32)]
    options = window("Conv2D", activation)
    return file.add(OPERATORS.CONV_2D, inputs, file.tensor((1, 8, 8, 32)), options)


def depthwise(activation=NONE):
    file = _File((1, 8, 8, 128))
    inputs = [file.source, file.constant(pruned((1, 5, 5, 128))), file.bias(128)]
    options = window("DepthwiseConv2D", activation)
    options.depthMultiplier = 1
    return file.add(OPERATORS.DEPTHWISE_CONV_2D, inputs, file.tensor((1, 8, 8, 128)), options)


def transposed(activation=NONE):
    file = _File((1, 8, 8, 16))
    sizes = file.constant(np.array([1, 16, 16, 16], np.int32))
    inputs = [sizes, file.constant(pruned((16, 3, 3, 16))), file.source, file.bias(16)]
    options = window("TransposeConv", activation)
    options.strideH = options.strideW = 2
    return file.add(OPERATORS.TRANSPOSE_CONV, inputs, file.tensor((1, 16, 16, 16)), options, 3)


def volume():
    file = _File((1, 4, 6, 6, 8))
    inputs = [file.source, file.constant(pruned((3, 3, 3, 8, 16))), file.bias(16)]
    return file.add(
        OPERATORS.CONV_3D, inputs, file.tensor((1, 4, 6, 6, 16)), window("Conv3D", NONE)
    )


def table():
    file = _File((1, 5), TYPES.INT32)
    inputs = [file.constant(pruned((512, 32))), file.source]
    return file.add(OPERATORS.GATHER, inputs, file.tensor((1, 5, 32)), schema.GatherOptionsT())


def columns_of_a_table():
    """Not rows are taken, so scales of the last axis would not stay with their columns."""
    file = _File((5,), TYPES.INT32)
    options = schema.GatherOptionsT()
    options.axis = 1
    inputs = [file.constant(pruned((64, 32))), file.source]
    return file.add(OPERATORS.GATHER, inputs, file.tensor((64, 5)), options)


def tied():
    """A table that is also the kernel of the last layer, as in language models."""
    file = _File((1, 5), TYPES.INT32)
    kernel = file.constant(pruned((64, 32)))
    taken, bent = file.tensor((1, 5, 32)), file.tensor((1, 5, 32))
    file.add(OPERATORS.GATHER, [kernel, file.source], taken, schema.GatherOptionsT())
    file.add(OPERATORS.TANH, [taken], bent)
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = True
    output = file.tensor((1, 5, 64))
    return file.add(OPERATORS.FULLY_CONNECTED, [bent, kernel, file.bias(64)], output, options)


READERS = {
    "FULLY_CONNECTED": fully_connected,
    "CONV_2D": convolution,
    "CONV_2D, tanh": lambda: convolution(TANH),
    "DEPTHWISE_CONV_2D": depthwise,
    "DEPTHWISE_CONV_2D, tanh": lambda: depthwise(TANH),
    "TRANSPOSE_CONV": transposed,
    "TRANSPOSE_CONV, tanh": lambda: transposed(TANH),
    "CONV_3D": volume,
    "GATHER": table,
    "GATHER of columns": columns_of_a_table,
    "GATHER and FULLY_CONNECTED": tied,
}


def inputs_of_file(model):
    """Random values for its only input; numbers of rows and columns that every table has."""
    main = model.subgraphs[0]
    tensor = main.tensors[int(main.inputs[0])]
    rng = np.random.default_rng(1)
    if tensor.type == TYPES.INT32:
        return [rng.integers(0, 32, tensor.shape).astype(np.int32)]
    return [rng.standard_normal(tensor.shape).astype(np.float32)]


def stored(model, made):
    """A model, changed in place, with its only weight stored as `made` says of it."""
    (weight,) = [weight for weight in constant_weights(model) if not weight.is_bias]
    sparse._store(model, weight, made(weight))
    return model


def chained(reader, quantize="float16"):
    """The same with a DENSIFY and a DEQUANTIZE before the weight, whatever reads it."""

    def made(weight):
        narrowed = narrowing.narrow(weight, quantize)
        return plans.Plan(narrowed, layouts.smallest(narrowed.values))

    return stored(READERS[reader](), made)
