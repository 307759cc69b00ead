"""Channels masked while training, alike in all layers that make them, and removed at the end."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tfprune import channels

X = np.random.default_rng(0).normal(size=(32, 8, 8, 3)).astype("float32")
Y = np.random.default_rng(0).integers(0, 4, 32)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def residual(padding="same", kernel=1):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 1, name="stem")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(8, kernel, use_bias=False, name="block", padding=padding)(x)
    x = layers.ReLU()(x + layers.BatchNormalization()(y))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(4, name="head")(x))


def trained(model, scorer="magnitude", around=None, structure=tfprune.Channel(), **options):
    schedule = tfprune.PolynomialDecay(0.0, 0.5, 0, 12, 4)
    rules = [("head/.*", None)]
    pruned = tfprune.prune(
        model, schedule, scorer=scorer, structure=structure, rules=rules, **options
    )
    whole = around(pruned) if around else pruned
    whole.compile("adam", LOSS)
    needs = scorer != "magnitude"
    step = tfprune.UpdatePruningStep(data=(X, Y) if needs else None)
    whole.fit(X, Y, batch_size=8, epochs=4, callbacks=[step], verbose=0)
    return pruned


def masks_of(pruned):
    """Whether each filter of the two layers that are added up has a weight."""
    kept = {
        layer.name: layer.pruned[0].mask.numpy().any(axis=(0, 1, 2))
        for layer in pruned.layers
        if isinstance(layer, tfprune.PrunedLayer)
    }
    return kept["stem"], kept["block"]


@pytest.mark.parametrize("scorer", ["magnitude", tfprune.scorers.Taylor(on="gates")], ids=repr)
@pytest.mark.parametrize("distribution", ["uniform", "global"])
def test_layers_that_are_added_up_lose_the_same_channels(scorer, distribution):
    first, second = masks_of(trained(residual(), scorer, distribution=distribution))
    assert np.array_equal(first, second) and first.sum() == 4


def test_they_do_so_where_the_distribution_gives_each_layer_its_own_share():
    first, second = masks_of(trained(residual(kernel=3), distribution="erk"))
    assert np.array_equal(first, second) and 1 < first.sum() < 8


def test_they_do_so_by_the_number_of_the_axis_from_the_front():
    first, second = masks_of(trained(residual(), structure=tfprune.Channel(3)))
    assert np.array_equal(first, second) and first.sum() == 4


class Outer(keras.Model):
    """A model without a graph around one that has one."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, inputs, training=None):
        return self.inner(inputs, training=training)


@pytest.mark.parametrize("around", [Outer, lambda model: tfprune.distill(model, residual())])
def test_they_do_so_as_a_part_of_a_model_that_is_trained(around):
    first, second = masks_of(trained(residual(), around=around))
    assert np.array_equal(first, second) and first.sum() == 4


def test_one_shot_pruning_takes_the_same_channels_too():
    pruned, _ = tfprune.one_shot(
        residual(), 0.5, "magnitude", structure=tfprune.Channel(), rules=[("head/.*", None)]
    )
    kernels = [tfprune.strip_pruning(pruned).get_layer(n).kernel.numpy() for n in ("stem", "block")]
    zero = [(kernel == 0).all(axis=(0, 1, 2)) for kernel in kernels]
    assert np.array_equal(*zero) and zero[0].sum() == 4


def test_layers_of_one_name_in_a_nested_model_and_outside_are_told_apart():
    inputs = keras.Input((8,))
    back = keras.Model(inputs, layers.Dense(8, name="a")(inputs), name="back")
    inputs = keras.Input((4,))
    x = layers.add([layers.Dense(8, name="a")(inputs), layers.Dense(8, name="b")(inputs)])
    model = keras.Model(inputs, layers.Dense(2, name="h")(back(x)))
    options = {"structure": tfprune.Channel(), "rules": [("h/.*", None)]}
    pruned = tfprune.prune(model, tfprune.OneShot(0.5), **options)
    small = tfprune.strip_pruning(pruned, shrink=True)
    widths = [found.get_layer("a").units for found in (small, small.get_layer("back"))]
    assert [*widths, small.get_layer("b").units] == [4, 4, 4]


def test_masked_channels_are_removed_at_the_end_and_outputs_stay():
    pruned = trained(residual())
    plain = tfprune.strip_pruning(pruned)
    small = tfprune.strip_pruning(pruned, shrink=True)
    assert small.get_layer("stem").filters == small.get_layer("block").filters == 4
    assert np.allclose(small(X), plain(X), rtol=1e-4, atol=1e-5)
    assert np.allclose(plain(X), pruned(X), rtol=1e-5, atol=1e-6)


def test_the_moving_mean_behind_takes_a_constant_over_where_there_is_no_bias():
    pruned = trained(residual())
    shifted = tfprune.strip_pruning(pruned)
    small = tfprune.strip_pruning(pruned, shrink=True)
    assert small.get_layer("block").bias is None
    assert np.abs(shifted.get_layer("stem").bias.numpy()).max() >= 0  # the stem keeps its own
    assert np.allclose(small(X), shifted(X), rtol=1e-4, atol=1e-5)


def test_shrinking_warns_where_padding_keeps_a_constant_from_being_taken_over():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="a", bias_initializer="ones")(inputs)
    x = layers.Conv2D(4, 3, name="b", padding="same")(x)
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.GlobalMaxPooling2D()(x)))
    rules = [("(b|head)/.*", None)]
    pruned, _ = tfprune.one_shot(model, 0.5, "magnitude", structure=tfprune.Channel(), rules=rules)
    with pytest.warns(UserWarning, match="differ a little: b cannot take over everywhere"):
        small = tfprune.strip_pruning(pruned, shrink=True)
    plain = tfprune.strip_pruning(pruned)
    middle = [
        keras.Model(found.input, found.get_layer("b").output)(X)[:, 1:-1, 1:-1]
        for found in (small, plain)
    ]
    assert np.allclose(*middle, rtol=1e-4, atol=1e-5)


def test_there_must_be_a_channel_to_remove():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.Dense(2, name="out")])
    half = {"structure": tfprune.NofM(2, 4), "rules": [("out/.*", None)]}  # of each channel
    pruned, _ = tfprune.one_shot(model, 0.5, "random", **half)
    with pytest.raises(ValueError, match="must have channels to remove"):
        tfprune.strip_pruning(pruned, shrink=True)


@pytest.mark.parametrize("reader", ["wrapped", "recurrent"])
def test_a_plan_says_where_a_constant_is_read_inside_of_a_layer(reader):
    inner = layers.Dense(4, name="inner")
    behind = layers.TimeDistributed(inner) if reader == "wrapped" else layers.LSTM(4, name="inner")
    dense = layers.Dense(6, name="a", bias_initializer="ones")
    model = keras.Sequential([keras.Input((5, 3)), dense, behind, layers.Dense(2, name="head")])
    dense.kernel.assign(dense.kernel.numpy() * [1, 1, 1, 0, 0, 0])
    plan = channels.plan(model, 0.3, rules=[("(inner|.*/inner)/.*", None)])
    assert plan.left_behind == ("inner",) and not plan.exact
