"""Models and files for the tests of lint."""

import keras
import numpy as np
from keras import layers

from tfprune.export.convert import converter
from tfprune.export.encode import layouts
from tfprune.export.file import flatbuffer, signature
from tfprune.export.file.subgraph import OPERATORS, subgraphs
from tfprune.export.predict.linting import coverage
from tfprune.targets.target import MACHINES

CHANNELS = 16


def image():
    return keras.Input((16, 16, 3))


def body(x, *, symmetric=True, stem_stride=2):
    """A stem, then 1x1, depthwise and 1x1 convolutions; `symmetric` as XNNPACK wants it."""
    if symmetric:
        x = layers.ZeroPadding2D(1)(x)
    padding = "valid" if symmetric else "same"
    x = layers.Conv2D(8, 3, strides=stem_stride, padding=padding, name="stem")(x)
    x = layers.Conv2D(CHANNELS, 1, activation="relu", name="first")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    return layers.Conv2D(CHANNELS, 1, activation="relu", name="second")(x)


def head(x):
    return layers.Dense(4, name="head")(layers.GlobalAveragePooling2D()(x))


def pruned(inputs, outputs, sparsity=0.9):
    """The model with that share of zeros in each 1x1 convolution."""
    model = keras.Model(inputs, outputs)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1):
            kernel = layer.kernel.numpy()
            flat = kernel.ravel()
            flat[: round(sparsity * flat.size)] = 0
            layer.kernel.assign(flat.reshape(kernel.shape))
    return model


def dense_file(model):
    return converter.convert(model, signature.signature_of(model))


def parsed(content):
    return flatbuffer.parse(content, "the test's model")


def densified(file, *, edit=None):
    """The parsed model in which each 1x1 weight comes from a DENSIFY, however small it is."""
    model = flatbuffer.copied(file.model)
    graph = subgraphs(model)[0]
    if edit is not None:
        edit(graph)
    made = {}
    for operator in list(graph.operators):
        weight = int(operator.inputs[1]) if len(operator.inputs) > 1 else -1
        if graph.code(operator) != OPERATORS.CONV_2D or graph.shape(weight)[1:3] != (1, 1):
            continue
        if weight not in made:
            made[weight] = _densify(graph, weight)
        graph.replace_input(operator, weight, made[weight])
    return model


def _densify(graph, weight):
    encoded = layouts.smallest(graph.constant(weight))
    tensor = graph.tensor(weight)
    tensor.buffer = flatbuffer.add_buffer(graph.model, encoded.values)
    tensor.sparsity = layouts.parameters(encoded)
    dense = graph.add_tensor(graph.shape(weight), tensor.type, name="densified")
    graph.operators.insert(0, graph.operator(OPERATORS.DENSIFY, [weight], [dense]))
    return dense


def lint_of(inputs, outputs, *, sparsity=0.9, target="arm64", edit=None):
    file = dense_file(pruned(inputs, outputs, sparsity))
    return coverage(densified(file, edit=edit), "test", MACHINES[target])


def row(found, name):
    """The only layer whose kernel is that of the Keras layer of this name."""
    (layer,) = [layer for layer in found.layers if layer.name == f"{name}/kernel"]
    return layer


def blocks(shape, size, sparsity):
    """Random values in which whole blocks along the second axis are zero."""
    rng = np.random.default_rng(0)
    kept = np.repeat(rng.random((shape[0], shape[1] // size)) >= sparsity, size, axis=1)
    return (kept * rng.standard_normal(shape)).astype(np.float32)
