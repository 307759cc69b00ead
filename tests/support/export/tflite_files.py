"""Small .tflite files made without the converter."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.encode import layouts
from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import OPERATORS, Subgraph


def empty_graph():
    """A model with one graph, in which nothing is."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT()], []
    model.subgraphs = [graph]
    graph.tensors, graph.operators = [], []
    graph.inputs, graph.outputs = np.zeros(0, np.int32), np.zeros(0, np.int32)
    return Subgraph(model, graph)


def linear(weight):
    """A model that multiplies (1, n) inputs by a dense weight of shape (m, n)."""
    graph = empty_graph()
    floats = schema.TensorType.FLOAT32
    source = graph.add_tensor((1, weight.shape[1]), floats, name="source")
    target = graph.add_tensor((1, weight.shape[0]), floats, name="target")
    constant = graph.add_constant(weight, name="weight")
    operator = graph.operator(
        OPERATORS.FULLY_CONNECTED,
        [source, constant, -1],
        [target],
        schema.FullyConnectedOptionsT(),
    )
    graph.operators.append(operator)
    graph.table.inputs = np.array([source], np.int32)
    graph.table.outputs = np.array([target], np.int32)
    return graph.model


def expanding(weight, layout):
    """A model without inputs that expands a sparse constant."""
    graph = empty_graph()
    constant = graph.add_constant(weight, name="constant")
    encoded = layouts.encode(weight, layout)
    tensor = graph.tensor(constant)
    tensor.sparsity = layouts.parameters(encoded)
    tensor.buffer = flatbuffer.add_buffer(graph.model, encoded.values)
    target = graph.add_tensor(weight.shape, schema.TensorType.FLOAT32, name="dense")
    graph.operators.append(graph.operator(OPERATORS.DENSIFY, [constant], [target]))
    graph.table.outputs = np.array([target], np.int32)
    return graph.model


def custom():
    """A model whose only operator is one that no runtime has."""
    model = linear(np.ones((2, 3), np.float32))
    (code,) = model.operatorCodes
    code.builtinCode = code.deprecatedBuiltinCode = OPERATORS.CUSTOM
    code.customCode = b"Mystery"
    (operator,) = model.subgraphs[0].operators
    operator.builtinOptions, operator.builtinOptionsType = None, 0
    return model


def write(folder, model, name="model.tflite"):
    """Write a model into a folder; return the path."""
    path = folder / name
    path.write_bytes(flatbuffer.pack(model))
    return str(path)


def lone(code):
    """A model of one operator from one tensor to another, whatever it needs."""
    graph = empty_graph()
    source, target = (graph.add_tensor((1, 4), schema.TensorType.FLOAT32, name=n) for n in "ab")
    graph.operators.append(graph.operator(code, [source], [target]))
    graph.table.inputs = np.array([source], np.int32)
    graph.table.outputs = np.array([target], np.int32)
    return graph.model


def integer_linear(weight, scales, bias, input_scale):
    """A model that multiplies int8 inputs by an int8 weight "dense/kernel" and adds a bias."""
    model = linear(weight)
    graph = Subgraph(model, model.subgraphs[0])
    (operator,) = graph.operators
    names = (b"source", b"dense/kernel", b"dense/bias", b"target")
    operator.inputs[2] = graph.add_constant(bias, name="dense/bias")
    each = (input_scale, scales, input_scale * np.asarray(scales), 0.1)
    for index, name, steps in zip([*operator.inputs, *operator.outputs], names, each, strict=True):
        tensor = graph.tensor(index)
        tensor.name, tensor.quantization = name, schema.QuantizationParametersT()
        tensor.quantization.scale = np.atleast_1d(np.float32(steps))
        tensor.quantization.zeroPoint = np.zeros(np.size(steps), np.int64)
        tensor.quantization.quantizedDimension = 0
    for index in (*operator.inputs[:1], *operator.outputs):
        graph.tensor(index).type = schema.TensorType.INT8
    return model
