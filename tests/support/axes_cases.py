"""One built layer for each class in the table of axes, with what it is called with."""

from functools import partial

import numpy as np
from keras import layers

_RNG = np.random.default_rng(0)


def _normal(*shape):
    return _RNG.normal(size=shape).astype("float32")


def _called(layer, x):
    layer(x)  # builds it
    return layer, (x,)


def _cell(cell, x, *states):
    cell.build(x.shape)
    return cell, (x, list(states))


def _conv_lstm(layer, shape):
    layer.build((2, 1, *shape))
    states = layer.cell.get_initial_state(2)
    return layer, (_normal(2, *shape), [_normal(*state.shape) for state in states])


def _embedding(layer):
    layer.build()
    return layer, (np.arange(7, dtype="int32").reshape(1, 7),)


LINE, IMAGE, VIDEO = (2, 7, 6), (2, 5, 4, 6), (2, 3, 4, 3, 6)


def _norm(layer, *shape):
    layer, arguments = _called(layer, _normal(*shape))
    for variable in layer.variables:  # the default moments are 0 and 1
        variable.assign(0.5 + _RNG.random(variable.shape))
    return layer, arguments


def _shape(equation):
    extents = dict(zip("abcde", (2, 3, 6, 4, 5)))
    labels = equation.split(",")[0].replace("...", "ae" if equation[0] == "." else "e")
    return [extents[label] for label in labels]


def _einsum(equation, output, bias_axes):
    return _called(
        layers.EinsumDense(equation, output, bias_axes=bias_axes), _normal(*_shape(equation))
    )


# name -> function that returns the layer and the arguments of its call (of its cell's)
CASES = {
    "Dense": lambda: _called(layers.Dense(5), _normal(2, 6)),
    "Dense of a sequence": lambda: _called(layers.Dense(5), _normal(*LINE)),
    "Conv1D": lambda: _called(layers.Conv1D(4, 3, padding="causal"), _normal(*LINE)),
    "Conv2D": lambda: _called(layers.Conv2D(4, (3, 2), strides=2), _normal(*IMAGE)),
    "Conv2D in groups": lambda: _called(layers.Conv2D(4, 3, groups=2), _normal(*IMAGE)),
    "Conv3D": lambda: _called(layers.Conv3D(4, 2), _normal(*VIDEO)),
    "Conv1DTranspose": lambda: _called(layers.Conv1DTranspose(4, 3), _normal(*LINE)),
    "Conv2DTranspose": lambda: _called(layers.Conv2DTranspose(4, 3, strides=2), _normal(*IMAGE)),
    "Conv3DTranspose": lambda: _called(layers.Conv3DTranspose(4, 2), _normal(*VIDEO)),
    "DepthwiseConv1D": lambda: _called(layers.DepthwiseConv1D(3), _normal(*LINE)),
    "DepthwiseConv2D": lambda: _called(
        layers.DepthwiseConv2D(3, depth_multiplier=2), _normal(*IMAGE)
    ),
    "SeparableConv1D": lambda: _called(layers.SeparableConv1D(4, 3), _normal(*LINE)),
    "SeparableConv2D": lambda: _called(
        layers.SeparableConv2D(4, 3, depth_multiplier=2), _normal(*IMAGE)
    ),
    "Embedding": lambda: _embedding(layers.Embedding(7, 4)),
    "ReversibleEmbedding": lambda: _embedding(layers.ReversibleEmbedding(7, 4, tie_weights=False)),
    "SimpleRNNCell": lambda: _cell(layers.SimpleRNNCell(5), _normal(2, 6), _normal(2, 5)),
    "LSTMCell": lambda: _cell(layers.LSTMCell(5), _normal(2, 6), _normal(2, 5), _normal(2, 5)),
    "GRUCell": lambda: _cell(layers.GRUCell(5), _normal(2, 6), _normal(2, 5)),
    "GRUCell reset before": lambda: _cell(
        layers.GRUCell(5, reset_after=False), _normal(2, 6), _normal(2, 5)
    ),
    "ConvLSTM1D": lambda: _conv_lstm(layers.ConvLSTM1D(4, 3), (7, 6)),
    "ConvLSTM2D": lambda: _conv_lstm(layers.ConvLSTM2D(4, 2), (5, 4, 6)),
    "ConvLSTM3D": lambda: _conv_lstm(layers.ConvLSTM3D(4, 2), (3, 4, 3, 6)),
    "BatchNormalization": lambda: _norm(layers.BatchNormalization(), *IMAGE),
    "BatchNormalization of axis 1": lambda: _norm(layers.BatchNormalization(axis=1), *IMAGE),
    "LayerNormalization": lambda: _norm(layers.LayerNormalization(), *LINE),
    "LayerNormalization of two axes": lambda: _norm(layers.LayerNormalization([1, 2]), *LINE),
    "GroupNormalization": lambda: _norm(layers.GroupNormalization(2), *IMAGE),
    "RMSNormalization": lambda: _norm(layers.RMSNormalization(), *LINE),
    "PReLU": lambda: _norm(layers.PReLU(), *IMAGE),
    "PReLU of shared axes": lambda: _norm(layers.PReLU(shared_axes=[1, 2]), *IMAGE),
    **{
        f"EinsumDense {equation} {bias_axes}": partial(_einsum, equation, output, bias_axes)
        for equation, output, bias_axes in (
            ("ab,bc->ac", 4, "c"),
            ("abc,cde->abde", (None, 2, 4), "de"),  # query, key and value of attention
            ("abc,cde->abde", (None, 2, 4), "d"),
            ("abde,dec->abc", (None, 3), "c"),  # its output
            ("...b,bc->...c", 4, "c"),
            ("ab...,bc->ac...", 4, "c"),
            ("abc,bcd->abd", (3, 4), "bd"),  # one kernel an index b
            ("abc,cd->ad", 4, None),  # b is summed
            ("abc,dc->abd", (None, 4), None),
        )
    },
}
