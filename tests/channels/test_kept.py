"""What models cost: multiply-adds by hand, of one example."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tests.support.channel_models import MODELS, unsettle
from tfprune import channels
from tfprune.channels.coupling.reading import read
from tfprune.channels.kept import Costs
from tfprune.keras_graph.private_keras import attention_projections

_GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}


def cost(model):
    reading = read(model)
    return Costs(reading, reading.book.ledger.settle()).of(np.zeros(0, int))


def counted(shape, layer):
    return cost(keras.Sequential([keras.Input(shape), layer])).multiply_adds


def at_steps(layer):
    return layers.TimeDistributed(layer)


# shape of the input, layer, places times the size of its kernel
CASES = {
    "dense": ((8,), lambda: layers.Dense(20), 8 * 20),
    "dense at places": ((10, 8), lambda: layers.Dense(20), 10 * 8 * 20),
    "open length": ((None, 8), lambda: layers.Dense(20), 8 * 20),
    "steps": ((10, 8), lambda: at_steps(layers.Dense(20)), 10 * 8 * 20),
    "open steps": ((None, 8), lambda: at_steps(layers.Dense(20)), 8 * 20),
    "steps of steps": ((3, 4, 8), lambda: at_steps(at_steps(layers.Dense(5))), 12 * 8 * 5),
    "frames": ((20, 8, 8, 3), lambda: at_steps(layers.Conv2D(16, 3)), 20 * 36 * 27 * 16),
    "recurrent steps": ((3, 7, 4), lambda: at_steps(layers.LSTM(5)), 3 * 7 * 4 * (4 + 5) * 5),
    "convolution": (
        (8, 9, 3),
        lambda: layers.Conv2D(16, 3, strides=2, padding="same"),
        4 * 5 * 27 * 16,
    ),
    "dilated": ((8, 9, 3), lambda: layers.Conv2D(16, 3, dilation_rate=2), 4 * 5 * 27 * 16),
    "causal": ((8, 3), lambda: layers.Conv1D(4, 3, padding="causal"), 8 * 9 * 4),
    "volume": ((4, 4, 4, 2), lambda: layers.Conv3D(5, 3), 8 * 27 * 2 * 5),
    "grouped": ((8, 8, 4), lambda: layers.Conv2D(8, 3, groups=2), 36 * 9 * 2 * 8),
    "depthwise": ((8, 8, 4), lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), 36 * 9 * 8),
    "separable": (
        (8, 8, 4),
        lambda: layers.SeparableConv2D(6, 3, depth_multiplier=2),
        36 * (9 * 8 + 8 * 6),
    ),
    "separable steps": (
        (8, 4),
        lambda: layers.SeparableConv1D(6, 3, depth_multiplier=2),
        6 * (3 * 8 + 8 * 6),
    ),
    "transposed": ((8, 8, 4), lambda: layers.Conv2DTranspose(6, 3, strides=2), 64 * 9 * 4 * 6),
    **{
        name: ((7, 4), lambda name=name, g=gates: getattr(layers, name)(5), 7 * gates * (4 + 5) * 5)
        for name, gates in _GATES.items()
    },
    "both ways": ((7, 4), lambda: layers.Bidirectional(layers.GRU(5)), 2 * 7 * 3 * (4 + 5) * 5),
    "convolutional cell": (
        (5, 8, 8, 3),
        lambda: layers.ConvLSTM2D(4, 3),
        5 * 36 * 9 * (3 + 4) * 4 * 4,
    ),
    "einsum": ((6, 8), lambda: layers.EinsumDense("abc,cde->abde", (6, 3, 5)), 6 * 8 * 15),
    "einsum of open length": (
        (6, 8),
        lambda: layers.EinsumDense("abc,cd->abd", (None, 10)),
        6 * 8 * 10,
    ),
    "einsum with dots": ((6, 3, 8), lambda: layers.EinsumDense("...c,cd->...d", (10,)), 18 * 80),
    "einsum of positions": ((6, 8), lambda: layers.EinsumDense("abc,bd->adc", (10, 8)), 8 * 6 * 10),
    "einsum of heads": (
        (6, 3, 8),
        lambda: layers.EinsumDense("abhc,hcd->abhd", (6, 3, 10)),
        6 * 3 * 8 * 10,
    ),
    "lookup": ((6,), lambda: layers.Embedding(10, 4), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_multiply_adds_are_those_by_hand(name):
    shape, layer, by_hand = CASES[name]
    assert counted(shape, layer()) == by_hand


@pytest.mark.parametrize(
    "product, by_hand",
    [
        (lambda q, k: ops.matmul(q, ops.transpose(k, (0, 2, 1))), 6 * 9 * 4),
        (lambda q, k: ops.einsum("bqc,bkc->bqk", q, k), 6 * 9 * 4),
        (lambda q, k: ops.einsum("...qc,...kc->...qk", q, k), 6 * 9 * 4),
        (lambda q, k: layers.Dot(axes=(2, 2))([q, k]), 6 * 9 * 4),
        (lambda q, k: layers.Dot(axes=-1)([q, k]), 6 * 9 * 4),
        (lambda q, k: ops.matmul(q, np.ones((4, 7), "float32")), 6 * 4 * 7),
        (lambda q, k: ops.dot(q, np.ones((4, 7), "float32")), 6 * 4 * 7),
    ],
)
def test_products_of_tensors_count_whether_channels_come_in_or_not(product, by_hand):
    query, key = keras.Input((6, 4)), keras.Input((9, 4))
    assert cost(keras.Model([query, key], product(query, key))).multiply_adds == by_hand
    made = layers.Dense(4)(query), layers.Dense(4)(key)
    whole = cost(keras.Model([query, key], product(*made))).multiply_adds
    whole -= cost(keras.Model([query, key], made)).multiply_adds
    assert whole in (by_hand, by_hand - 9 * 4 * 4)  # a key that is not read is no part of a model


def test_a_product_that_does_not_show_what_it_sums_over_is_named():
    query, weights = keras.Input((6, 4)), np.ones((4, 7), "float32")
    made = ops.einsum("bqc,cd->bqd", layers.Dense(4)(query), weights)
    model = keras.Model(query, layers.Dense(2)(layers.Dense(8)(layers.Flatten()(made))))
    plan = channels.plan(model, 0.5)
    (name,) = plan.uncounted
    assert f"not counted: the multiply-adds of '{name}'" in str(plan)


def test_attention_counts_its_projections_its_scores_and_what_they_weigh():
    query, value = keras.Input((6, 8)), keras.Input((4, 7))
    model = keras.Model([query, value], layers.MultiHeadAttention(2, 5, value_dim=3)(query, value))
    projections = 6 * 8 * 2 * 5 + 4 * 7 * 2 * (5 + 3) + 6 * 2 * 3 * 8
    assert cost(model).multiply_adds == projections + 2 * 6 * 4 * (5 + 3)
    model = keras.Model(query, layers.GroupQueryAttention(5, 4, 2)(query, query))
    projections = 6 * 8 * 4 * 5 + 2 * 6 * 8 * 2 * 5 + 6 * 4 * 5 * 8
    assert cost(model).multiply_adds == projections + 4 * 6 * 6 * (5 + 5)
    for kind in (layers.Attention, layers.AdditiveAttention):
        model = keras.Model(query, kind()([query, query]))
        assert cost(model).multiply_adds == 6 * 6 * (8 + 8)


@pytest.mark.parametrize(("axes", "compared"), [(None, 3 * 6), (2, 6), (-2, 6), ((1, 2), 3 * 6)])
def test_tokens_are_compared_along_the_axes_of_attention_alone(axes, compared):
    inputs = keras.Input((3, 6, 8))
    attention = layers.MultiHeadAttention(2, 5, attention_axes=axes)
    projections = 3 * 6 * 4 * 8 * 2 * 5
    found = cost(keras.Model(inputs, attention(inputs, inputs))).multiply_adds
    assert found == projections + 2 * 3 * 6 * compared * (5 + 5)


def mixer():
    inputs = keras.Input((6, 8))
    x = layers.Permute((2, 1))(layers.Dense(16)(inputs))
    x = layers.Permute((2, 1))(layers.Dense(10)(layers.Dense(64, "gelu")(x)))
    return keras.Model(inputs, layers.Dense(2)(x))


def test_a_dense_layer_that_mixes_positions_multiplies_once_a_channel():
    model = mixer()
    assert cost(model).multiply_adds == 6 * 8 * 16 + 16 * (6 * 64 + 64 * 10) + 10 * 16 * 2
    plan = channels.plan(model, macs=0.5)
    (kept,) = {part.kept for part in plan.groups if part.removed.any()}
    left = 6 * 8 * kept + kept * (6 * 64 + 64 * 10) + 10 * kept * 2
    assert plan.after.multiply_adds == left
    assert cost(channels.prune(model, plan)) == plan.after


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_cost_of_a_plan_is_that_of_the_smaller_model(name):
    model, _ = MODELS[name]()
    unsettle(model)
    plan = channels.plan(model, 0.5, scorer="random", scope="layer")
    assert cost(channels.prune(model, plan)) == plan.after


class Doubled(layers.Dense):
    def call(self, inputs):
        return 2 * super().call(inputs)


class Own(layers.Layer):
    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], 16))

    def call(self, inputs):
        return inputs @ self.matrix

    def compute_output_shape(self, shape):
        return (*shape[:-1], 16)


@pytest.mark.parametrize("mode", ["int8", "int4", "float8", "lora"])
@pytest.mark.parametrize("kind", ["Dense", "EinsumDense"])
def test_kernels_in_another_form_count_as_plain_ones(kind, mode):
    made = {"Dense": (16,), "EinsumDense": ("abc,cd->abd", (6, 16))}[kind]
    model = keras.Sequential(
        [keras.Input((6, 8)), getattr(layers, kind)(*made), layers.Dense(12), layers.Dense(4)]
    )
    layer = model.layers[0]
    layer.enable_lora(2) if mode == "lora" else layer.quantize(mode)
    assert cost(model).multiply_adds == 6 * (8 * 16 + 16 * 12 + 12 * 4)
    plan = channels.plan(model, 0.5)
    assert list(plan.unknown) == [layer.name] and not plan.uncounted


def test_a_class_of_ones_own_counts_as_the_layer_it_is_derived_from():
    model = keras.Sequential(
        [keras.Input((6, 8)), layers.Dense(12), Doubled(16), layers.Dense(12), layers.Dense(4)]
    )
    whole = 6 * (8 * 12 + 12 * 16 + 16 * 12 + 12 * 4)
    assert cost(model).multiply_adds == whole
    plan = channels.plan(model, 0.5)
    assert plan.after.multiply_adds == whole - 6 * 6 * (16 + 4)
    assert "counted" not in str(plan)


def test_what_a_layer_that_stays_multiplies_is_not_taken_for_channels_of_others():
    class Attention(layers.MultiHeadAttention):
        def call(self, query, value, key=None, **options):
            return super().call(query, value, key, **options)

    inputs = keras.Input((6, 8))
    x = layers.Dense(8)(inputs)
    model = keras.Model(inputs, layers.Dense(4)(layers.Dense(12)(Attention(2, 5)(x, x))))
    attention = 6 * 4 * 8 * 10 + 2 * 6 * 6 * (5 + 5)
    plan = channels.plan(model, 0.5)
    assert plan.before.multiply_adds == attention + 6 * (8 * 8 + 8 * 12 + 12 * 4)
    assert plan.after.multiply_adds == attention + 6 * (8 * 8 + 8 * 6 + 6 * 4)


def test_attention_with_quantized_projections_is_left_out_of_the_count():
    inputs = keras.Input((6, 8))
    attention = layers.MultiHeadAttention(2, 5, name="attention")
    x = attention(layers.Dense(8)(inputs), inputs)
    model = keras.Model(inputs, layers.Dense(4)(layers.Dense(12)(x)))
    for part in attention_projections(attention):
        part.quantize("int8")
    plan = channels.plan(model, 0.5)
    assert plan.uncounted == ("attention",)
    assert "or they are in another form; its multiply-adds are not counted" in str(plan)


@pytest.mark.parametrize("before", [[], [layers.Dense(8)]], ids=["inputs", "channels"])
def test_the_plan_says_what_is_left_out_of_the_count(before):
    model = keras.Sequential(
        [keras.Input((6, 8)), *before, Own(name="own"), layers.Dense(12), layers.Dense(4)]
    )
    assert cost(model).multiply_adds == 6 * (len(before) * 8 * 8 + 16 * 12 + 12 * 4)
    plan = channels.plan(model, 0.5)
    assert plan.uncounted == ("own",)
    assert "kept as it is: 'own', since what Own does with channels is not known; its" in str(plan)
    assert "its multiply-adds are not counted" in str(plan)


def test_a_wrapped_layer_that_is_not_understood_is_left_out_of_the_count():
    wrapped = layers.TimeDistributed(Own(), name="wrapped")
    model = keras.Sequential(
        [keras.Input((6, 8)), layers.Dense(8), wrapped, layers.Dense(12), layers.Dense(4)]
    )
    plan = channels.plan(model, 0.5)
    assert plan.uncounted == ("wrapped",)
