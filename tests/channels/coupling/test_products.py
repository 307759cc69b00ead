"""Products and comparisons: what keeps the channels beside them."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfprune import channels
from tfprune.channels.coupling.reading import read


def reasons(model, name="before"):
    """Why the channels that a layer makes stay, and the layers that are not understood."""
    book = read(model).book
    settled = book.ledger.settle()
    kernel = model.get_layer(name).kernel
    (labels,) = (lies.labels for lies in book.weights if lies.weight is kernel and lies.makes)
    return {settled.reasons.get(int(root)) for root in settled.of(labels)}, book.unknown


def test_an_activation_over_the_axis_of_channels_keeps_them():
    inputs = keras.Input((6, 5))
    x = layers.Permute((2, 1))(layers.Dense(8, name="before")(inputs))
    for activation in (lambda t: ops.softmax(t, axis=1), "softmax"):
        found = layers.Dense(3, activation=activation)(x)
        (why,) = reasons(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(found))))[0]
        assert (why is None) == (activation == "softmax")


@pytest.mark.parametrize(
    "compared",
    [
        lambda x, numbers: ops.cast(ops.greater(x, numbers), "float32"),
        lambda x, numbers: ops.cast(ops.less_equal(numbers, x), "float32"),
        lambda x, numbers: ops.cast(ops.not_equal(x, tuple(numbers)), "float32"),
        lambda x, numbers: ops.where([number > 4 for number in numbers], x, 0.0),
    ],
)
def test_a_list_of_numbers_beside_channels_keeps_them(compared):
    inputs = keras.Input((5,))
    x = compared(layers.Dense(8, name="before")(inputs), [float(n) for n in range(8)])
    (why,) = reasons(keras.Model(inputs, layers.Dense(2)(x)))[0]
    assert why is not None and "a constant array" in why


def test_a_list_of_tensors_beside_channels_is_not_an_array():
    inputs = keras.Input((5,))
    one = layers.Dense(1)(inputs)[:, 0]
    x = ops.cast(ops.greater(layers.Dense(2, name="before")(inputs), [one, one]), "float32")
    (why,) = reasons(keras.Model(inputs, layers.Dense(2)(x)))[0]
    assert why is not None


@pytest.mark.parametrize("change", [("enable_lora", 2), ("quantize", "int8"), ("quantize", "int4")])
def test_a_changed_table_of_both_directions_stays_whole(change):
    name, value = change
    inputs, table = keras.Input((5,), dtype="int32"), layers.ReversibleEmbedding(20, 8)
    x = layers.Dense(8)(layers.Dense(8, name="free")(layers.Dense(8, name="before")(table(inputs))))
    model = keras.Model(inputs, table(x, reverse=True))
    getattr(table, name)(value)
    plan = channels.plan(model, 0.5, rules=[("free/.*", 0.5), (".*", None)])
    assert "weights in another form" in plan.unknown[table.name]
    x = np.arange(5)[None]
    assert channels.verify(model, plan, channels.prune(model, plan), x) < 1e-5
