"""Masked slices that are no channels: what strip_pruning(shrink=True) says of them."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tfprune.channels.masked_slices import zero_slices


def pruned(shape, *parts):
    """Half the slices along the last axis of each kernel masked, but for the head's."""
    model = keras.Sequential([keras.Input(shape), *parts, layers.Dense(2, name="head")], name="m")
    options = {"structure": tfprune.Channel(), "rules": [("(.*/)?head/.*", None)]}
    return tfprune.prune(model, tfprune.OneShot(0.5), **options)


def shrunk(model):
    """The smaller model, and what was said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small = tfprune.strip_pruning(model, shrink=True)
    return small, [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    ("kind", "gates"), [(layers.LSTM, 4), (layers.GRU, 3)], ids=lambda value: str(value)
)
def test_masked_gates_that_stay_are_told_with_their_numbers(kind, gates):
    model = pruned((5, 3), kind(8, name="r"), layers.Dense(8, name="d"))
    small, (said,) = shrunk(model)
    assert (small.get_layer("r").units, small.get_layer("d").units) == (8, 4)
    kernel, recurrent = (
        f"{4 * gates} of {8 * gates} along axis -1 of '{own.weight.path.removeprefix('m/')}'"
        for own in model.get_layer("r").pruned
    )
    assert "masked stay in the smaller model of 'm', at zero" in said
    assert said.count(f"{4 * gates} of {8 * gates} along axis -1 of ") == 2
    assert f"the {gates} gates of its units" in said and "tfprune.channels.plan" in said


def test_nothing_is_said_where_all_that_is_masked_goes():
    parts = [
        layers.Conv2D(8, 3, name="a"),
        layers.BatchNormalization(),
        layers.DepthwiseConv2D(3),
        layers.SeparableConv2D(8, 1, name="b"),
        layers.Flatten(),
        layers.Dense(8, name="c"),
    ]
    small, said = shrunk(pruned((6, 6, 3), *parts))
    assert said == [] and small.get_layer("b").filters == small.get_layer("c").units == 4


def test_the_last_axis_of_a_transposed_kernel_is_its_inputs():
    parts = [layers.Conv2D(8, 1, name="a"), layers.Conv2DTranspose(8, 2, name="t")]
    small, (said,) = shrunk(pruned((4, 4, 3), *parts, layers.Flatten()))
    assert (small.get_layer("a").filters, small.get_layer("t").filters) == (4, 8)
    zero = ~small.get_layer("t").kernel.numpy().any(axis=(0, 1, 2))
    assert f"{zero.sum()} of 4 along axis -1 of 'm/t/kernel' (where its inputs lie)" in said


def test_both_kernels_of_a_simple_rnn_lose_the_same_units():
    small, said = shrunk(pruned((5, 3), layers.SimpleRNN(8, name="r")))
    assert small.get_layer("r").units == 4 and said == []


def test_what_stays_because_other_layers_make_it_too_is_told():
    inputs = keras.Input((6,))
    x = layers.add([layers.Dense(8, name=name)(inputs) for name in "ab"])
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    rules = [("head/.*", None), ("b/.*", tfprune.OneShot(0.25))]
    options = {"structure": tfprune.Channel(), "rules": rules}
    small, (said,) = shrunk(tfprune.prune(model, tfprune.OneShot(0.5), **options))
    assert small.get_layer("a").units == small.get_layer("b").units == 6
    assert "2 of 6 along axis -1 of 'a/kernel' (not zero in all that makes these channels" in said
    assert said.count(" along axis -1 of ") == 1


@pytest.mark.parametrize(
    ("shape", "parts", "named"),
    [
        (
            (5, 3),
            lambda: [layers.LSTM(8)],
            "16 of 32 along axis -1 of .*where the 4 gates of its units",
        ),
        (
            (5, 3),
            lambda: [layers.Bidirectional(layers.GRU(8))],
            "12 of 24 .*'.*backward.*3 gates",
        ),
        (
            (6, 6, 8),
            lambda: [layers.Conv2D(8, 3, groups=4), layers.Flatten()],
            "4 of 8 along axis -1 of .*in 4 groups, which stay of one size",
        ),
    ],
    ids=["lstm", "bidirectional", "groups"],
)
def test_where_no_channel_can_go_the_error_names_what_is_masked(shape, parts, named):
    with pytest.raises(ValueError, match=f"must have channels to remove.*{named}.*channels.plan"):
        tfprune.strip_pruning(pruned(shape, *parts()), shrink=True)


def test_slices_are_counted_along_the_axis_of_the_structure():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, name="a")], name="m")
    rows = tfprune.prune(model, tfprune.OneShot(0.5), structure=tfprune.Channel(0))
    (found,) = zero_slices(rows, tfprune.strip_pruning(rows))
    assert (found.axis, found.count, found.size) == (0, 3, 6)
    assert str(found) == "3 of 6 along axis 0 of 'm/a/kernel' (where its inputs lie)"
    single = tfprune.prune(model, tfprune.OneShot(0.5))
    kernel = single.layers[0].pruned[0].weight
    kernel.assign(kernel * np.array([1.0] * 4 + [0.0] * 4, "float32"))
    assert zero_slices(single, tfprune.strip_pruning(single)) == []  # nobody asked for slices


def test_a_model_without_a_graph_is_refused_as_such():
    class Subclassed(keras.Model):
        def __init__(self, **config):
            super().__init__(**config)
            self.a = layers.Dense(8)

        def call(self, inputs):
            return self.a(inputs)

    model = Subclassed()
    model(np.zeros((1, 4), "float32"))
    masked = tfprune.prune(model, tfprune.OneShot(0.5), structure=tfprune.Channel())
    with pytest.raises(ValueError, match="built Sequential or Functional model"):
        tfprune.strip_pruning(masked, shrink=True)
