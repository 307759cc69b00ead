"""Which graphs reach XNNPACK's sparse 1x1 kernels.

What is expected here was seen on networks of these kinds in WebAssembly (LiteRT.js 2.5.3). Where
lint says sparse, outputs differed from the dense file's in the last bits only; where it says
blocked, not at all; where it says broken, they were wrong or the file did not start.
"""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from tests.support.export.lint_models import CHANNELS, body, head, image, lint_of, row
from tfprune.export.file.subgraph import OPERATORS, TYPES
from tfprune.export.predict import delegation
from tfprune.export.predict.verdicts import LEADS_IN


def pointwise(x):
    return layers.Conv2D(CHANNELS, 1)(x)


def residual(x):
    return layers.Add()([x, pointwise(layers.DepthwiseConv2D(3, padding="same")(x))])


def squeeze_excite(x):
    scale = layers.GlobalAveragePooling2D(keepdims=True)(x)
    scale = layers.Conv2D(4, 1, activation="relu")(scale)
    return pointwise(layers.Multiply()([x, layers.Conv2D(CHANNELS, 1)(scale)]))


def strided_depthwise(x):
    x = layers.ZeroPadding2D(2)(x)
    return pointwise(layers.DepthwiseConv2D(5, strides=2)(x))


def hard_swish(x):
    return pointwise(layers.Activation("hard_swish")(x))


def upsampling(x):
    return pointwise(layers.UpSampling2D(2, interpolation="bilinear")(x))


@pytest.mark.parametrize(
    "middle", [residual, squeeze_excite, strided_depthwise, hard_swish, upsampling, pointwise]
)
def test_a_symmetric_network_is_covered(middle):
    inputs = image()
    found = lint_of(inputs, head(middle(body(inputs))))
    products = [layer for layer in found.layers if layer.shape[1:3] == (1, 1)]
    assert {layer.kernel for layer in products} == {"sparse 1x1 NCHW"}
    assert found.sparse_layers == found.sparse_convolutions == len(products)
    assert found.defects == ()
    assert set(found.blockers) == {LEADS_IN, "depthwise: dense by design", "no zeros"}


def test_without_rewriting_the_stem_blocks_a_network():
    inputs = image()
    found = lint_of(inputs, head(body(inputs, symmetric=False)))
    assert found.sparse_layers == 0
    assert "3x3 stem padded by SAME instead of 1 on every side" in row(found, "first").blocker
    assert row(found, "first").blocker == row(found, "second").blocker


def test_x86_has_no_sparse_convolutions():
    inputs = image()
    found = lint_of(inputs, head(body(inputs)), target="x86")
    assert found.sparse_layers == 0 and found.defects == ()
    assert "x86" in row(found, "first").blocker


def test_the_gate_is_two_thirds_of_the_cluster():
    for sparsity, count in ((0.6, 0), (0.7, 2)):
        inputs = image()
        found = lint_of(inputs, head(body(inputs)), sparsity=sparsity)
        assert found.sparse_layers == count
    assert "is not above 2/3" not in str(found)
    inputs = image()
    found = lint_of(inputs, head(body(inputs)), sparsity=0.6)
    assert row(found, "first").blocker == "sparsity 0.60 is not above 2/3"


def test_the_head_counts_neither_for_the_gate_nor_as_sparse():
    inputs = image()
    wide = layers.Dense(4000, name="head")(layers.GlobalAveragePooling2D()(body(inputs)))
    found = lint_of(inputs, wide)
    assert found.sparse_convolutions == 2 and row(found, "head").kernel == "dense"


def no_end(x):
    return x


def flattened(x):
    return layers.Dense(4)(layers.Flatten()(x))


def largest(x):
    return layers.Dense(4)(layers.GlobalMaxPooling2D()(x))


@pytest.mark.parametrize("end", [no_end, flattened, largest])
def test_a_network_that_does_not_end_in_a_mean_is_blocked(end):
    inputs = image()
    found = lint_of(inputs, end(body(inputs)))
    assert row(found, "first").blocker == "no MEAN, SUM or DEPTH_TO_SPACE ends the cluster"
    assert found.sparse_layers == 0 and found.defects == ()


def test_a_value_read_twice_or_outside_or_given_out_blocks_its_cluster():
    inputs = image()
    both = body(inputs)
    found = lint_of(inputs, [head(both), both])
    assert row(found, "first").blocker == "an output of the graph needs a value of the cluster"
    inputs = image()
    both = body(inputs)
    other = layers.Dense(4, name="other")(layers.GlobalMaxPooling2D()(both))
    found = lint_of(inputs, [head(pointwise(both)), other])
    assert row(found, "first").blocker.startswith("REDUCE_MAX ")
    inputs = image()
    both = body(inputs)
    found = lint_of(inputs, head(pointwise(layers.Add()([both, both]))))
    assert "reads one value twice" in row(found, "first").blocker
    assert found.sparse_layers == 0 and found.defects == ()


def test_convolutions_without_a_stem_are_blocked():
    inputs = keras.Input((8, 8, 8))
    found = lint_of(inputs, head(pointwise(layers.Conv2D(CHANNELS, 1, name="first")(inputs))))
    assert "reads an input, not a 3x3 stem" in row(found, "first").blocker
    assert found.sparse_layers == 0


def test_a_strided_1x1_convolution_is_named():
    inputs = image()
    found = lint_of(inputs, head(layers.Conv2D(8, 1, strides=2, name="strided")(body(inputs))))
    assert row(found, "strided").blocker == "1x1 stride (2, 2)"


def pooled(x):
    return pointwise(layers.MaxPooling2D(2)(x))


def convolved(x):
    return pointwise(layers.Conv2D(8, 3, padding="same")(x))


def wide_depthwise(x):
    return pointwise(layers.DepthwiseConv2D(7, padding="same")(x))


def one_padding_for_two(x):
    x = layers.ZeroPadding2D(1)(x)
    return pointwise(layers.Add()([layers.DepthwiseConv2D(3, strides=2)(x) for _ in range(2)]))


@pytest.mark.parametrize(
    ("middle", "reader"),
    [
        (pooled, "MAX_POOL_2D"),
        (convolved, "CONV_2D"),
        (wide_depthwise, "DEPTHWISE_CONV_2D"),
        (one_padding_for_two, "PAD"),
    ],
)
def test_an_operator_in_the_middle_that_xnnpack_misreads_is_a_defect(middle, reader):
    inputs = image()
    found = lint_of(inputs, head(middle(body(inputs))))
    (defect,) = found.defects
    assert defect.startswith(f"breaks the file: {reader} ")
    assert {row(found, name).kernel for name in ("first", "second")} == {"broken"}
    assert found.sparse_layers == 0 and f"defect: {defect}" in str(found)


def test_a_convolution_as_head_is_a_defect():
    inputs = image()
    x = layers.GlobalAveragePooling2D(keepdims=True)(body(inputs))
    found = lint_of(inputs, layers.Flatten()(layers.Conv2D(4, 1, name="head")(x)))
    assert "leaves channels-first" in found.defects[0]
    assert row(found, "head").kernel == "broken"


def stored_in_float16(graph, operator, places):
    for place in places:
        index = int(operator.inputs[place])
        half = graph.add_constant(graph.constant(index).astype(np.float16), name="half")
        single = graph.add_tensor(graph.shape(index), TYPES.FLOAT32, name="single")
        graph.replace_input(operator, index, single)
        options = schema.DequantizeOptionsT()
        made = graph.operator(OPERATORS.DEQUANTIZE, [half], [single], options)
        graph.operators.insert(0, made)


@pytest.mark.parametrize("places", [(1,), (2,), (1, 2)])
def test_mixed_float16_and_float32_constants_are_defects_in_webassembly(places):
    def edit(graph):
        product = [o for o in graph.operators if graph.code(o) == OPERATORS.DEPTHWISE_CONV_2D][0]
        stored_in_float16(graph, product, places)

    def lint_for(target):
        inputs = image()
        return lint_of(inputs, head(body(inputs)), target=target, edit=edit)

    assert lint_for("arm64").sparse_convolutions == 2
    found = lint_for("wasm")
    mixed = len(places) == 1
    assert found.sparse_convolutions == (0 if mixed else 2)
    assert (found.defects == (delegation.MIXED,)) is mixed


@keras.saving.register_keras_serializable("lint")
class Scaled(layers.Layer):
    def call(self, x):
        return x * 3.7


def test_a_scalar_must_be_the_first_operand_and_of_rank_4():
    def put(first):
        def edit(graph):
            (product,) = [o for o in graph.operators if graph.code(o) == OPERATORS.MUL]
            image_index = int(product.inputs[0])
            scalar = graph.add_constant(np.full((1, 1, 1, 1), 3.7, np.float32), name="scalar")
            order = [scalar, image_index] if first else [image_index, scalar]
            product.inputs = np.array(order, np.int32)

        return edit

    def lint_with(edit):
        inputs = image()
        scaled = layers.Activation("tanh")(Scaled()(body(inputs)))
        return lint_of(inputs, head(pointwise(scaled)), edit=edit)

    assert lint_with(put(first=True)).sparse_convolutions == 3
    assert "second operand" in lint_with(put(first=False)).defects[0]
    assert "not of rank 4" in lint_with(None).defects[0]
