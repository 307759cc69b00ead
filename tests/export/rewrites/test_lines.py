"""Networks along one axis in the sparse mode, some steps as channels of one place."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.support.export.rewrite_cases import EXACT, largest_difference, randomize, rewrite
from tfprune.export import builder
from tfprune.export.convert import converter
from tfprune.export.encode.sparse import encode_model
from tfprune.export.file import signature
from tfprune.export.predict import linting
from tfprune.export.rewrites import Way, ways
from tfprune.targets.target import TARGETS

LEFT = "The sparse mode is left at"


def conv(filters, kernel=3, **options):
    return layers.Conv1D(filters, kernel, **{"padding": "same", "activation": "relu", **options})


def mean(x):
    return layers.Dense(3)(layers.GlobalAveragePooling1D()(x))


def pooled():
    source = keras.Input((64, 5))
    x = layers.MaxPooling1D(2)(conv(8, 5)(source))
    x = layers.AveragePooling1D(2)(conv(12, 5)(x))
    return keras.Model(source, mean(conv(8)(x)))


def causal():
    source = keras.Input((64, 16))
    x = layers.Conv1D(16, 1)(source)
    for rate in (1, 2, 4, 16):
        y = layers.BatchNormalization()(conv(16, 3, padding="causal", dilation_rate=rate)(x))
        x = layers.ReLU()(layers.Add()([x, layers.Conv1D(16, 1)(y)]))
    return keras.Model(source, mean(x))


def gated():
    """Two convolutions of the same steps, which the converter splits up into batches."""
    source = keras.Input((64, 1))
    x = layers.Conv1D(8, 2, padding="causal")(source)
    for rate in (1, 2, 4, 8):
        options = {"padding": "causal", "dilation_rate": rate}
        y = conv(8, 2, activation="tanh", **options)(x)
        y = layers.Multiply()([y, conv(8, 2, activation="sigmoid", **options)(x)])
        x = layers.Add()([x, layers.Conv1D(8, 1)(y)])
    return keras.Model(source, mean(x))


def strided():
    source = keras.Input((64, 12))
    x = conv(8, 7, strides=2)(source)
    for filters in (12, 16):
        y = conv(filters, activation=None)(conv(filters, strides=2)(x))
        x = layers.ReLU()(layers.Add()([layers.Conv1D(filters, 1, strides=2)(x), y]))
    return keras.Model(source, mean(x))


def separable():
    source = keras.Input((64, 20))
    x = conv(12, strides=2, use_bias=False)(source)
    for kernel in (3, 5):
        x = layers.SeparableConv1D(12, kernel, padding="same")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(source, mean(x))


def column():
    """Steps along the height, as in networks for spoken words."""
    source = keras.Input((64, 1, 10))
    x = layers.Conv2D(8, (3, 1), padding="same", activation="relu")(source)
    y = layers.Conv2D(8, (5, 1), padding="same")(x)
    x = layers.MaxPooling2D((2, 1))(layers.ReLU()(layers.Add()([x, y])))
    return keras.Model(source, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def joined():
    source = keras.Input((64, 4))
    x = layers.Concatenate()([conv(6)(source), conv(6, 1)(source)])
    return keras.Model(source, layers.Conv1D(6, 1)(layers.Dense(8, "relu")(x)))


NETWORKS = {
    "pooled": pooled,
    "causal": causal,
    "gated": gated,
    "strided": strided,
    "separable": separable,
    "column": column,
    "joined": joined,
}


def on_line(block):
    return Way(rotated=False, block=block, kernels=True, line=True)


def coverage(rewritten):
    model, _ = encode_model(rewritten.graph.model, target=TARGETS["wasm"])
    return linting.coverage(model, "the file", TARGETS["wasm"])


@pytest.mark.parametrize("block", [1, 2, 4, 8])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_along_one_axis_compute_the_same_in_blocks_of_every_size(name, block):
    rewritten = rewrite(NETWORKS[name](), sparsity=0.9, way=on_line(block))
    assert largest_difference(rewritten) < EXACT
    assert not coverage(rewritten).defects


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_along_one_axis_run_sparsely_from_one_end_to_the_other(name):
    rewritten = rewrite(NETWORKS[name](), sparsity=0.9, way=on_line(8))
    assert coverage(rewritten).sparse_convolutions > 4
    said = " ".join(rewritten.said)
    assert LEFT not in said or "for an output" in said or "for RESHAPE" in said
    assert not rewritten.operators["SPACE_TO_BATCH_ND"] + rewritten.operators["MAX_POOL_2D"]


def test_a_free_batch_of_lines_stays_free():
    rewritten = rewrite(pooled(), sparsity=0.9, way=on_line(8), free_batch=True)
    assert largest_difference(rewritten, batch=3) < EXACT


def test_steps_that_fill_no_whole_block_stay_outside_where_zeros_would_be_read():
    source = keras.Input((50, 4))
    model = keras.Model(source, mean(conv(8)(conv(8)(source))))
    rewritten = rewrite(model, sparsity=0.9, way=on_line(4))
    assert LEFT in rewritten.said[-1]
    assert largest_difference(rewritten) < EXACT


def test_a_row_is_moved_by_small_kernels_one_place_after_the_other():
    source = keras.Input((64, 3))
    far = conv(8, 2, padding="causal", dilation_rate=16)(conv(8, 1)(source))
    rewritten = rewrite(keras.Model(source, mean(far)), way=on_line(4))
    assert largest_difference(rewritten) < EXACT
    shifts = [
        rewritten.graph.shape(operator.inputs[1])[1:3]
        for operator in rewritten.graph.operators
        if rewritten.graph.code(operator) == 4  # DEPTHWISE_CONV_2D
    ]
    assert shifts == [(3, 3)] * 4


def test_networks_of_images_have_no_ways_of_lines():
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image)))
    dense = converter.convert(model, signature.signature_of(model)).model
    assert not any(way.line for way in ways(dense, True))
    line = converter.convert(pooled(), signature.signature_of(pooled())).model
    assert all(way.line for way in ways(line, True)[1:])


def test_a_temporal_network_of_ordinary_size_gets_sparse_kernels_and_a_small_one_none():
    def network(steps, filters):
        source = keras.Input((steps, 16))
        x = layers.Conv1D(filters, 1)(source)
        for rate in (1, 2, 4):
            y = conv(filters, 3, padding="causal", dilation_rate=rate)(x)
            x = layers.Add()([x, layers.Conv1D(filters, 1)(y)])
        return randomize(keras.Model(source, mean(x)))

    def built(model):
        for layer in model.layers[2:]:
            if isinstance(layer, layers.Conv1D):
                kernel = np.random.default_rng(0).random(layer.kernel.shape) > 0.9
                layer.kernel.assign(kernel * layer.kernel)
        dense = converter.convert(model, signature.signature_of(model))
        return builder.build(dense, target=TARGETS["wasm"], lower_conv3x3=True)

    assert built(network(64, 64)).coverage.sparse_convolutions > 7
    small = built(network(16, 8))
    assert not small.coverage.sparse_convolutions
    assert "on sparse kernels, the network would take" in small.notes[0]
