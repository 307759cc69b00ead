"""Which weights make the same channels, in whole axes and in parts of them."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tfprune.channels.coupling.shared import shared_channels
from tfprune.layer_classes.prunable import prunable_weights
from tfprune.wrapping.ranges.ranged_layer import RangedLayer


def shared(model, axes=None):
    """name of the layer (and weight, if it has several) -> numbers, from 0 within the model."""
    weights = {weight.path.removesuffix("/kernel"): weight for weight in prunable_weights(model)}
    axes = axes or {}
    found = shared_channels(model, {n: (w, axes.get(n, -1)) for n, w in weights.items()})
    every = np.unique(np.concatenate([*found.values()] or [[]]))
    return {name: np.searchsorted(every, numbers).tolist() for name, numbers in found.items()}


def conv(name, filters=4, **options):
    return layers.Conv2D(filters, 3, padding="same", name=name, **options)


def image():
    return keras.Input((8, 8, 4))


def stream(norm):
    inputs = keras.Input((5, 6))
    x = layers.Dense(8, name="embed")(inputs)
    x = norm(x + layers.MultiHeadAttention(2, 4, name="attend")(x, x))
    x = x + layers.Dense(8, name="down")(layers.Dense(16, name="up")(x))
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


NORMS = [layers.Identity, layers.BatchNormalization, layers.LayerNormalization]


@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: norm.__name__)
def test_the_output_of_attention_is_that_of_the_stream(norm):
    names = ("embed", "attend/attention_output", "down")
    assert shared(stream(norm())) == dict.fromkeys(names, list(range(8)))


def test_branches_of_a_concatenation_are_parts_of_what_is_added_to_it():
    inputs = image()
    joined = layers.concatenate([conv("a", 2)(inputs), conv("b", 3)(inputs)])
    model = keras.Model(inputs, conv("head")(joined + conv("whole", 5)(inputs)))
    assert shared(model) == {"a": [0, 1], "b": [2, 3, 4], "whole": [0, 1, 2, 3, 4]}


def test_a_concatenation_that_nothing_is_added_to_couples_nothing():
    inputs = image()
    joined = layers.concatenate([conv("a")(inputs), conv("b")(inputs)])
    assert shared(keras.Model(inputs, conv("head")(joined))) == {}


def test_transposed_convolutions_have_their_channels_on_the_axis_before_the_last():
    inputs = image()
    x = layers.Conv2DTranspose(4, 2, strides=2, name="up")(conv("down", strides=2)(inputs))
    model = keras.Model(inputs, conv("head")(x + conv("skip")(inputs)))
    assert shared(model) == {}
    joined = {"up": [0, 1, 2, 3], "skip": [0, 1, 2, 3]}
    assert shared(model, {"up": -2}) == shared(model, {"up": 2}) == joined


def test_wrappers_are_seen_through():
    model = stream(layers.BatchNormalization())
    assert shared(tfprune.prune(model, tfprune.OneShot(0.5))) == shared(model) != {}
    inputs = keras.Input((5,))
    ranged = RangedLayer(layers.Dense(2, "gelu", name="a"))(inputs)
    found = shared(keras.Model(inputs, ranged + layers.Dense(2, name="b")(inputs)))
    assert found == {"a/a": [0, 1], "b": [0, 1]}


def test_a_model_without_a_graph_has_what_its_parts_have():
    class Outer(keras.Model):
        def __init__(self, *parts):
            super().__init__()
            self.parts = list(parts)

        def call(self, inputs):
            return [part(inputs) for part in self.parts]

    first = stream(layers.Identity())
    inputs = keras.Input((5, 6))
    both = [layers.Dense(2, name=name)(inputs) for name in ("a", "b")]
    second = keras.Model(inputs, layers.add(both))
    model = Outer(first, second)
    model(np.zeros((1, 5, 6), "float32"))
    found = shared(model)
    assert found["embed"] == found["down"] == list(range(8))
    assert found["a"] == found["b"] == [8, 9]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_channels_that_only_go_together_are_shared_with_whole_axes_alone(groups):
    """Behind a group normalization the channels of a layer are no single one."""
    inputs = image()
    added = layers.GroupNormalization(groups)(conv("a")(inputs) + conv("b")(inputs))
    model = keras.Model(inputs, conv("head")(added))
    assert shared(model) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3]}
    joined = layers.concatenate([conv("c", 2)(inputs), conv("d", 2)(inputs)])
    normalized = layers.GroupNormalization(1)(joined + conv("e")(inputs))
    assert shared(keras.Model(inputs, conv("head")(normalized))) == {}


def test_grouped_convolutions_are_joined_channel_by_channel():
    inputs = image()
    added = conv("a", groups=2)(inputs) + conv("b")(inputs)
    model = keras.Model(inputs, conv("head")(added))
    assert shared(model) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3]}


def test_kernels_with_gates_side_by_side_share_nothing():
    inputs = keras.Input((5, 6))
    x = layers.LSTM(4, name="lstm")(inputs) + layers.SimpleRNN(4, name="rnn")(inputs)
    x = x + layers.Dense(4, name="a")(layers.GlobalAveragePooling1D()(inputs))
    found = shared(keras.Model(inputs, layers.Dense(2, name="head")(x)))
    assert len(found) == 3 and not any("lstm" in name for name in found)
    assert all(numbers == [0, 1, 2, 3] for numbers in found.values())


def test_depthwise_kernels_do_not_keep_a_stream_from_being_joined():
    inputs = image()
    x = conv("stem")(inputs)
    y = layers.DepthwiseConv2D(3, padding="same", name="spread")(x)
    model = keras.Model(inputs, conv("head")(x + conv("block")(y)))
    assert shared(model) == dict.fromkeys(("stem", "block"), [0, 1, 2, 3])
