"""Layer classes of one's own: what counts as the layer of Keras, and what stays as it is."""

import keras
import pytest
from keras import layers, ops

from tests.channels.coupling.test_rules import draws
from tests.support.channel_models import unsettle
from tfprune import channels
from tfprune.channels.coupling.rules import register


@keras.saving.register_keras_serializable("custom_classes")
class Standardized(layers.Conv2D):
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel - ops.mean(kernel, axis=(0, 1, 2)))


@keras.saving.register_keras_serializable("custom_classes")
class NormalizedSum(layers.Add):
    def _merge_function(self, inputs):
        return ops.softmax(super()._merge_function(inputs))


@keras.saving.register_keras_serializable("custom_classes")
class AcrossHeads(layers.MultiHeadAttention):
    def _compute_attention(self, query, key, value, **options):
        output, scores = super()._compute_attention(query, key, value, **options)
        return output / (1 + ops.mean(ops.abs(output), axis=(2, 3), keepdims=True)), scores


@keras.saving.register_keras_serializable("custom_classes")
class Averaged(layers.Attention):
    def _calculate_scores(self, query, key):
        return super()._calculate_scores(query, key) / query.shape[-1]


@keras.saving.register_keras_serializable("custom_classes")
class NormalizedKernel(layers.Dense):
    @property
    def kernel(self):
        return ops.softmax(super().kernel)


@keras.saving.register_keras_serializable("custom_classes")
class SoftmaxCell(layers.LSTMCell):
    def call(self, inputs, states, training=False):
        output, states = super().call(inputs, states, training=training)
        return ops.softmax(output), states


@keras.saving.register_keras_serializable("custom_classes")
class OwnCell(layers.LSTM):
    def __init__(self, units, **options):
        super().__init__(units, **options)
        self.cell = SoftmaxCell(units)


@keras.saving.register_keras_serializable("custom_classes")
class OtherCell(layers.SimpleRNN):
    def __init__(self, units, **options):
        super().__init__(units, **options)
        self.cell = layers.GRUCell(units)


class NoLayer:
    units, state_size, output_size = 4, [4, 4], 4

    def __call__(self, inputs, states, training=False):
        return inputs[:, :4], states


class WithoutCell(layers.LSTM):
    def __init__(self, units, **options):
        super().__init__(units, **options)
        self.cell = NoLayer()


@keras.saving.register_keras_serializable("custom_classes")
class SoftmaxUnits(layers.LSTM):
    def call(self, *args, **options):
        return ops.softmax(super().call(*args, **options))


class Mixin:
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, ops.softmax(kernel))


@keras.saving.register_keras_serializable("custom_classes")
class Mixed(Mixin, layers.Conv1D):
    pass


@keras.saving.register_keras_serializable("custom_classes")
class Wide(layers.Dense):
    def __init__(self, units, **options):
        """Say whatever `Dense` says."""
        super().__init__(units, **options)

    @classmethod
    def from_config(cls, config):
        return super().from_config(config)

    def __repr__(self):
        return "wide"


@keras.saving.register_keras_serializable("custom_classes")
class Twice(layers.Layer):
    def __init__(self, inner, **options):
        super().__init__(**options)
        self.inner = inner

    def build(self, shape):
        self.built = True

    def call(self, inputs):
        return 2 * self.inner(inputs)

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.inner)
        return {**super().get_config(), "inner": inner}

    @classmethod
    def from_config(cls, config):
        inner = keras.saving.deserialize_keras_object(config.pop("inner"))
        return cls(inner, **config)


OWN = {
    "convolution": ((6, 6, 4), lambda x: Standardized(8, 3, name="x")(x)),
    "mixin": ((6, 4), lambda x: Mixed(8, 3, name="x")(x)),
    "kernel": ((6, 4), lambda x: NormalizedKernel(8, name="x")(x)),
    "heads": ((6, 4), lambda x: AcrossHeads(4, 3, name="x")(x, x)),
    "cell": ((6, 4), lambda x: OwnCell(8, name="x")(x)),
    "other cell": ((6, 4), lambda x: OtherCell(8, name="x")(x)),
    "directions": ((6, 4), lambda x: layers.Bidirectional(SoftmaxUnits(6), name="x")(x)),
    "cells of directions": ((6, 4), lambda x: layers.Bidirectional(OwnCell(6), name="x")(x)),
    "steps": ((5, 6, 4), lambda x: layers.TimeDistributed(OwnCell(8), name="x")(x)),
}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("first", [True, False])
def test_a_class_that_overrides_what_keras_calls_stays_and_is_named(name, first):
    shape, layer = OWN[name]
    inputs = keras.Input(shape)
    x = layer(inputs if first else layers.Dense(10, name="a")(inputs))
    model = unsettle(keras.Model(inputs, layers.Dense(3)(layers.Dense(12, name="b")(x))))
    plan = channels.plan(model, 0.5, scope="layer")
    assert list(plan.unknown) == ["x"]
    assert [part.group.name for part in plan.groups if part.kept < part.size] == ["b"]
    small = channels.prune(model, plan)
    assert [w.shape for w in small.get_layer("x").weights] == [
        w.shape for w in model.get_layer("x").weights
    ]


def test_a_cell_that_is_no_layer_is_named():
    inputs = keras.Input((6, 4))
    x = layers.Dense(8, name="b")(WithoutCell(4, name="x")(inputs))
    plan = channels.plan(keras.Model(inputs, layers.Dense(2)(x)), 0.5, scope="layer")
    assert [part.group.name for part in plan.groups if part.kept < part.size] == ["b"]


WITHOUT_WEIGHTS = {
    "merge": lambda a, b: NormalizedSum(name="x")([a, b]),
    "scores": lambda a, b: Averaged(name="x")([a, b]),
}


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_a_merge_that_overrides_what_keras_calls_keeps_what_it_reads(name):
    inputs = keras.Input((6, 4))
    a, b = (layers.Dense(8, name=side)(inputs) for side in "ab")
    x = layers.Dense(12, name="c")(WITHOUT_WEIGHTS[name](a, b))
    plan = channels.plan(keras.Model(inputs, layers.Dense(3)(x)), 0.5, scope="layer")
    assert [part.group.name for part in plan.groups if part.kept < part.size] == ["c"]


def test_a_class_that_overrides_how_it_is_made_and_shown_is_cut_like_the_layer_of_keras():
    inputs = keras.Input((4,))
    model = unsettle(keras.Model(inputs, layers.Dense(3)(Wide(8, name="x")(inputs))))
    plan = channels.plan(model, 0.5)
    assert not plan.unknown and plan.groups[0].kept == 4
    assert channels.prune(model, plan).get_layer("x").units == 4


def test_a_cell_or_direction_that_says_what_it_computes_is_cut():
    @keras.saving.register_keras_serializable("custom_classes")
    class QuickCell(SoftmaxCell):
        computes_as = layers.LSTMCell

        def call(self, *args, **options):
            return layers.LSTMCell.call(self, *args, **options)

    @keras.saving.register_keras_serializable("custom_classes")
    class Quick(layers.LSTM):
        computes_as = layers.LSTM

        def __init__(self, units, **options):
            super().__init__(units, **options)
            self.cell = QuickCell(units)

        def inner_loop(self, *args, **options):
            return super().inner_loop(*args, **options)

    inputs = keras.Input((6, 4))
    for layer in (Quick(8), layers.Bidirectional(Quick(8))):
        model = unsettle(keras.Model(inputs, layers.Dense(3)(layer(inputs))))
        plan = channels.plan(model, 0.5)
        assert not plan.unknown and plan.groups[0].kept == 4


def test_a_direction_with_a_rule_of_its_own_stays():
    @keras.saving.register_keras_serializable("custom_classes")
    class Ruled(layers.LSTM):
        pass

    def rule(site):
        raise AssertionError("it is not for both directions")

    register(Ruled, rule)
    inputs = keras.Input((6, 4))
    x = layers.Bidirectional(Ruled(6), name="x")(inputs)
    model = keras.Model(inputs, layers.Dense(3)(layers.Dense(8, name="b")(x)))
    plan = channels.plan(model, 0.5)
    assert list(plan.unknown) == ["x"]


HOLDERS = {
    "SpectralNormalization": layers.SpectralNormalization,
    "own": Twice,
    "model": lambda inner: Twice(keras.Sequential([keras.Input((4,)), inner])),
}


@pytest.mark.parametrize("name", HOLDERS)
@pytest.mark.parametrize("last", [False, True])
def test_a_layer_that_an_unknown_one_also_calls_on_an_input_stays(name, last):
    inputs = keras.Input((4,))
    d = layers.Dense(8, name="d")
    holder = HOLDERS[name](d)
    y = ops.mean(holder(inputs), axis=-1, keepdims=True)
    x = layers.Concatenate()([y, d(inputs)] if last else [d(inputs), y])
    model = unsettle(keras.Model(inputs, layers.Dense(2)(layers.Dense(6, name="b")(x))))
    plan = channels.plan(model, 0.5, scope="layer")
    parts = {part.group.name: part for part in plan.groups}
    assert (parts["b"].kept, parts["d"].kept) == (3, 8)
    (reason,) = parts["d"].reasons
    assert reason.startswith(f"'{holder.name}' uses ") and reason.endswith("in a way not known")
    small = channels.prune(model, plan)
    assert channels.verify(model, plan, small, draws(5, 4)) < 1e-5
