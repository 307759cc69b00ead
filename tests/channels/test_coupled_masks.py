"""Masks of `Channel` that the full analysis of a model joins: nothing of them stays at the end."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tfprune.layer_classes.prunable import owned_weights
from tfprune.wrapping.pruned_layer import pruned_layers

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
HALF = tfprune.OneShot(0.5)


def attention(norm):
    inputs = keras.Input((5, 6))
    x = layers.Dense(16, name="embed")(inputs)
    x = norm(x + layers.MultiHeadAttention(2, 4, name="attend")(x, x))
    x = x + layers.Dense(16, name="down")(layers.Dense(32, "relu", name="up")(x))
    return keras.Model(inputs, layers.Dense(3, name="head")(layers.GlobalAveragePooling1D()(x)))


def image_model(body):
    inputs = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(body(inputs)))
    return keras.Model(inputs, layers.Dense(3, name="head")(x))


def conv(name, filters=16, **options):
    return layers.Conv2D(filters, 3, padding="same", name=name, **options)


def concatenation():
    def body(x):
        return layers.concatenate([conv("a", 8)(x), conv("b", 8)(x)]) + conv("whole")(x)

    return image_model(body)


def transposed():
    def body(x):
        up = layers.Conv2DTranspose(16, 2, strides=2, name="up")
        return up(conv("down", strides=2)(x)) + conv("skip")(x)

    return image_model(body)


def residual():
    def body(x):
        x = conv("stem")(x)
        return x + conv("block")(x)

    return image_model(body)


class OutputChannels:
    """`Channel` along the axis of what a layer makes, that of transposed convolutions too."""

    def assign(self, layer):
        transposed = [isinstance(part, layers.Conv2DTranspose) for part, _ in owned_weights(layer)]
        return [tfprune.Channel(-2 if found else -1) for found in transposed]


def trained(model, schedule=HALF, rules=(), structure=tfprune.Channel(), **options):
    draws = np.random.default_rng(0)
    x = draws.normal(size=(32, *model.input_shape[1:])).astype("float32")
    y = draws.integers(0, 3, 32)
    rules = [("(head|.*/(query|key|value))/.*", None), *rules]
    pruned = tfprune.prune(model, schedule, structure=structure, rules=rules, **options)
    pruned.compile("adam", LOSS)
    step = tfprune.UpdatePruningStep(data=(x, y))
    pruned.fit(x, y, batch_size=8, epochs=4, callbacks=[step], verbose=0)
    return pruned


def shrunk(pruned):
    """The smaller model; nothing that is masked may stay in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of padding, which keeps constants from being taken over
        warnings.filterwarnings("error", "Slices that are masked stay")
        return tfprune.strip_pruning(pruned, shrink=True)


def kept_of(pruned):
    """name of the layer -> whether each of its channels is kept."""
    return {
        layer.name: layer.pruned[-1].mask.numpy().any(axis=tuple(range(own.mask.ndim - 1)))
        for layer in pruned_layers(pruned)
        for own in layer.pruned[-1:]
    }


@pytest.mark.parametrize("norm", [layers.Identity, layers.BatchNormalization])
@pytest.mark.parametrize("distribution", ["uniform", "global"])
def test_the_output_of_attention_loses_the_channels_of_its_stream(norm, distribution):
    pruned = trained(attention(norm()), distribution=distribution)
    kept = kept_of(pruned)
    assert np.array_equal(kept["embed"], kept["attend"])
    assert np.array_equal(kept["embed"], kept["down"])
    assert shrunk(pruned).get_layer("embed").units == kept["embed"].sum() < 16


@pytest.mark.parametrize("scorer", ["magnitude", "taylor"])
def test_what_is_added_to_a_concatenation_loses_the_channels_of_its_branches(scorer):
    schedule = tfprune.PolynomialDecay(0.0, 0.5, 0, 12, 4)
    pruned = trained(concatenation(), schedule, scorer=scorer, distribution="uniform")
    kept = kept_of(pruned)
    assert np.array_equal(kept["whole"], np.concatenate([kept["a"], kept["b"]]))
    small = shrunk(pruned)
    assert [small.get_layer(name).filters for name in ("a", "b", "whole")] == [4, 4, 8]


def test_transposed_convolutions_are_masked_along_the_axis_of_their_channels():
    small = shrunk(trained(transposed(), structure=OutputChannels()))
    assert [small.get_layer(name).filters for name in ("down", "up", "skip")] == [8, 8, 8]


def test_one_shot_pruning_joins_them_too():
    rules = [("head/.*", None)]
    options = {"structure": tfprune.Channel(), "rules": rules, "verbose": False}
    pruned, _ = tfprune.one_shot(concatenation(), 0.5, "magnitude", stages=2, **options)
    assert shrunk(pruned).get_layer("whole").filters == 8


GRADUAL = tfprune.PolynomialDecay(0.0, 0.5, 0, 12, 4)


@pytest.mark.parametrize(
    ("stem", "block"),
    [
        (HALF, GRADUAL),
        (GRADUAL, HALF),
        (tfprune.OneShot(0.5, step=7), tfprune.OneShot(0.5, step=3)),
        (tfprune.ConstantSparsity(0.5, frequency=5), GRADUAL),
    ],
    ids=["first", "second", "later", "without end"],
)
def test_layers_with_schedules_of_their_own_lose_the_same_channels(stem, block):
    pruned = trained(residual(), stem, [("block/.*", block)])
    kept = kept_of(pruned)
    assert np.array_equal(kept["stem"], kept["block"]) and kept["stem"].sum() == 8
    assert shrunk(pruned).get_layer("stem").filters == 8


def test_the_schedule_that_ends_first_decides():
    def kept(stem, block):
        keras.utils.set_random_seed(1)
        rules = [("block/.*", block)] if stem else [("stem/.*", None)]
        return kept_of(trained(residual(), stem or block, rules))

    early, late = tfprune.OneShot(0.5), tfprune.OneShot(0.5, step=4)
    assert np.array_equal(kept(early, late)["block"], kept(early, None)["stem"])
    assert np.array_equal(kept(late, early)["stem"], kept(None, early)["block"])


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_of_different_sparsities_the_lower_one_takes_what_the_higher_one_takes(share):
    pruned = trained(residual(), rules=[("block/.*", tfprune.OneShot(share))])
    kept = kept_of(pruned)
    assert (kept["stem"].sum(), kept["block"].sum()) == (8, 16 * (1 - share))
    assert (kept["stem"] & kept["block"]).sum() == min(8, 16 * (1 - share))


def test_layers_with_scorers_of_their_own_lose_the_same_channels():
    inputs = keras.Input((6,))
    options = {"structure": tfprune.Channel()}
    made = [
        tfprune.PrunedLayer(layers.Dense(8, name=name), HALF, scorer=scorer, **options)(inputs)
        for name, scorer in (("a", "magnitude"), ("b", "random"))
    ]
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.add(made)))
    updater = tfprune.PruningUpdater(model, keras.optimizers.SGD())
    updater.begin()
    kept = kept_of(model)
    assert np.array_equal(kept["a"], kept["b"]) and kept["a"].sum() == 4
    updater.refresh()
    assert np.array_equal(kept_of(model)["b"], kept["b"])


def test_masks_that_are_made_when_the_model_is_stripped_are_joined():
    rules = [("head/.*", None), ("block/.*", tfprune.OneShot(0.25))]
    pruned = tfprune.prune(residual(), HALF, structure=tfprune.Channel(), rules=rules)
    branches = tfprune.prune(concatenation(), HALF, structure=tfprune.Channel(), rules=rules[:1])
    assert shrunk(branches).get_layer("whole").filters == 8
    plain = tfprune.strip_pruning(pruned)
    zero = [~plain.get_layer(name).kernel.numpy().any(axis=(0, 1, 2)) for name in ("stem", "block")]
    assert (zero[0] & zero[1]).sum() == zero[1].sum() == 4
