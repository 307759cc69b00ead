"""Models inside of which a `call` of their own computes something else than the graph shows."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfprune import channels
from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.copying import in_class_of


class Mixed(keras.Model):
    """Keras mixes its class of Functional models in."""

    def call(self, x, training=None, mask=None):
        return ops.softmax(super().call(x))


class Made(Mixed):
    """Keras clones it to a model of its own class, as the constructor is another."""

    def __init__(self, inputs, outputs, **kwargs):
        super().__init__(inputs, outputs, **kwargs)


class OfFunctional(type(keras.Model(x := keras.Input((1,)), x))):
    def __call__(self, x, **kwargs):
        return ops.softmax(super().__call__(x, **kwargs))


class OfSequential(keras.Sequential):
    def call(self, x, training=None, mask=None):
        return ops.softmax(super().call(x))


class Trained(keras.Model):
    """Another training step, the same call."""

    def train_step(self, *args):
        return super().train_step(*args)


def functional(made):
    inputs = keras.Input((5,))
    return made(inputs, layers.Dense(8, name="a")(inputs))


OWN = {
    "mixed": lambda: functional(Mixed),
    "constructor": lambda: functional(Made),
    "__call__": lambda: functional(OfFunctional),
    "sequential": lambda: OfSequential([keras.Input((5,)), layers.Dense(8, name="a")]),
}
every_kind = pytest.mark.parametrize("make", OWN.values(), ids=OWN)


def around(inner):
    inputs = keras.Input((3,))
    x = layers.Dense(5, name="before")(inputs)
    x = layers.Dense(6, name="after")(inner(x))
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


@pytest.mark.parametrize("kind", ["mixed", "constructor", "sequential"])
def test_a_nested_model_with_a_call_of_its_own_keeps_its_channels(kind):
    inner = OWN[kind]()
    model = around(inner)
    plan = channels.plan(model, 0.5)
    why = f"what {type(inner).__name__} does with channels is not known"
    assert plan.unknown == {inner.name: why}
    small = channels.prune(model, plan)
    assert [small.get_layer(name).units for name in ("before", "after")] == [5, 3]
    assert type(small.get_layer(inner.name)) is type(inner)
    assert channels.verify(model, plan, small) < 1e-5


def test_a_model_with_another_way_to_be_called_keeps_its_channels():
    plan = channels.plan(around(OWN["__call__"]()), 0.5)
    assert [name.startswith("of_functional") for name in plan.unknown] == [True]


@every_kind
def test_a_model_with_a_call_of_its_own_is_refused(make):
    model = make()
    with pytest.raises(ValueError, match="must be a built Sequential.*with its own `call`"):
        channels.plan(model, 0.5)


@every_kind
def test_graphs_are_not_read_where_a_call_ignores_them(make):
    assert graph_of(make()) is None


def test_a_class_with_another_training_step_is_read():
    inner = functional(Trained)
    plan = channels.plan(around(inner), 0.5)
    assert graph_of(inner) is inner and not plan.unknown


class Numbered(Mixed):
    def __init__(self, number):
        inputs = keras.Input((5,))
        super().__init__(inputs, layers.Dense(number)(inputs))


class Beside(Mixed):
    def __init__(self, inputs, outputs, **kwargs):
        super().__init__(inputs, outputs, **kwargs)
        self.beside = layers.Dense(8)
        self.beside.build((None, 8))


@pytest.mark.parametrize("make", [lambda: Numbered(8), lambda: functional(Beside)])
def test_a_call_that_a_copy_would_lose_is_refused(make):
    model = around(make())
    plan = channels.plan(model, 0.5)
    with pytest.raises(ValueError, match="cannot be copied with its own `call`"):
        channels.prune(model, plan)


def test_the_copy_of_a_call_computes_the_same():
    model = functional(Made)
    copy = in_class_of(model, keras.models.clone_model(model))
    copy.set_weights(model.get_weights())
    batch = np.ones((2, 5), "float32")
    np.testing.assert_allclose(copy(batch), model(batch), rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Dense(8, name="q"),
        lambda: layers.EinsumDense("ab,bc->ac", 8, bias_axes="c", name="q"),
    ],
)
def test_layers_quantized_to_float8_are_copied_by_the_names_of_their_weights(make):
    inputs = keras.Input((5,))
    x = make()(layers.Dense(8, name="a")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="o")(layers.Dense(6, name="d")(x)))
    layer = model.get_layer("q")
    layer.quantize("float8")
    layer.bias.assign(np.arange(8.0))
    plan = channels.plan(model, 0.5)
    small = channels.prune(model, plan)
    copied = {weight.name: weight for weight in small.get_layer("q").weights}
    for weight in layer.weights:
        np.testing.assert_array_equal(copied[weight.name], weight)
    assert channels.verify(model, plan, small) < 1e-2
