"""Hints and attention: the one call of a layer that is watched, and what cannot be."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune

X = np.random.default_rng(0).normal(size=(16, 5)).astype("float32")
Y = np.arange(16) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
PAIRS = ("hints", "attention")


def parts():
    """Layers that show how often they run: statistics and a regularizer of what they make."""
    found = [
        layers.Dense(4, name="first", activity_regularizer="l2"),
        layers.BatchNormalization(name="bn"),
        layers.Dense(3, name="last"),
    ]
    return [keras.Input((5,)), *found]


def by_add():
    model = keras.Sequential()
    for part in parts():
        model.add(part)
    return model


def functional():
    inputs, *rest = parts()
    x = inputs
    for part in rest:
        x = part(x)
    return keras.Model(inputs, x)


def filled(model):
    draws = np.random.default_rng(1)
    model.set_weights([draws.uniform(0.1, 1, each.shape) for each in model.get_weights()])
    return model


def fitted(student, **options):
    distilled = tfprune.distill(student, filled(functional()), **options)
    distilled.compile("sgd", LOSS)
    return distilled.fit(X, Y, shuffle=False, verbose=0).history["loss"][0]


def test_a_layer_of_a_sequential_model_made_by_add_runs_once_a_step():
    made = [filled(model) for model in (keras.Sequential(parts()), by_add(), functional())]
    first, *others = [fitted(model, hints=[("bn", "bn")]) for model in made]
    assert others == pytest.approx([first, first], rel=1e-6)
    mean, *means = [model.get_layer("bn").moving_mean.numpy() for model in made]
    for other in means:
        np.testing.assert_allclose(other, mean, rtol=1e-6)


def test_a_layer_that_another_model_called_before_is_watched_in_the_students_call():
    shared = layers.Dense(4, name="first")
    keras.Model(elsewhere := keras.Input((5,)), shared(elsewhere))
    inputs = keras.Input((5,))
    made = shared(inputs)
    student = keras.Model(inputs, layers.Dense(3)(made))
    assert np.isfinite(fitted(student, hints=[("first", "first")]))


@pytest.mark.parametrize("sequential", [True, False])
def test_a_nested_model_is_watched_by_its_name(sequential):
    given = keras.Input((5,))
    dense = layers.Dense(4)
    inner = keras.Model(given, dense(given), name="inner")
    if sequential:
        inner = keras.Sequential([given, dense], name="inner")
    inputs = keras.Input((5,))
    student = keras.Model(inputs, layers.Dense(3)(inner(inputs)))
    teacher = keras.Sequential([keras.Input((5,)), layers.Dense(4, name="d"), layers.Dense(3)])
    distilled = tfprune.distill(student, teacher, alpha=1.0, hints=[("inner", "d")])
    distilled.compile("sgd", LOSS)
    found = distilled.compute_loss(X, Y, distilled(X, training=True), None, training=True)
    without = tfprune.distill(student, teacher, alpha=1.0)
    without.compile("sgd", LOSS)
    plain = without.compute_loss(X, Y, without(X, training=True), None, training=True)
    apart = np.square(np.asarray(inner(X)) - np.asarray(teacher.get_layer("d")(X))).mean()
    assert float(found - plain) == pytest.approx(apart, rel=1e-3)


@pytest.mark.parametrize("name", PAIRS)
def test_a_layer_that_is_called_twice_is_refused(name):
    inputs, twice = keras.Input((5,)), layers.Dense(5, name="twice")
    student = keras.Model(inputs, layers.Dense(3)(twice(twice(inputs))))
    pairs = {name: [("twice", "first")]}
    with pytest.raises(ValueError, match=f"`{name}` must name .* called once.*'twice'.*2 times"):
        tfprune.distill(student, functional(), **pairs)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_attention_of_one_place_is_refused_as_its_map_is_always_one(shape):
    def model():
        return keras.Sequential([keras.Input((*shape, 5)), layers.Dense(4, name="d")])

    with pytest.raises(ValueError, match="`attention` must name layers with places.*use `hints`"):
        tfprune.distill(model(), model(), attention=[("d", "d")])
    assert tfprune.distill(model(), model(), hints=[("d", "d")])


def test_attention_of_places_whose_number_is_not_known_is_taken():
    def model():
        return keras.Sequential([keras.Input((None, 5)), layers.Dense(4, name="d")])

    assert tfprune.distill(model(), model(), attention=[("d", "d")])


def part_inside(student, teacher, x, y, loss=LOSS, weights=None, **pairs):
    """What hints or attention add to the loss of the outputs."""
    found = []
    for options in (pairs, {}):
        distilled = tfprune.distill(student, teacher, alpha=1.0, **options)
        distilled.compile("sgd", loss)
        predictions = distilled(x, training=True)
        found.append(float(distilled.compute_loss(x, y, predictions, weights, training=True)))
    return found[0] - found[1]


def tagger():
    drawn = keras.initializers.RandomNormal(stddev=2.0)
    words = layers.Embedding(9, 4, drawn, mask_zero=True, name="e")
    return keras.Sequential([keras.Input((6,)), words, layers.Dense(3)])


def words_and_made(models):
    words = np.random.default_rng(2).integers(1, 9, (5, 6))
    words[:, 2:] = 0
    return words, [np.asarray(model.get_layer("e")(words)) for model in models]


def test_masked_places_do_not_count_in_hints():
    models = tagger(), tagger()
    words, (mine, own) = words_and_made(models)
    found = part_inside(*models, words, np.zeros((5, 6)), hints=[("e", "e")])
    assert found == pytest.approx(np.square(mine - own)[:, :2].mean(), rel=1e-4)


def test_masked_places_are_none_of_attention():
    models = tagger(), tagger()
    words, made = words_and_made(models)
    maps = [np.square(each[:, :2]).sum(axis=-1) for each in made]
    maps = [each / np.linalg.norm(each, axis=-1, keepdims=True) for each in maps]
    found = part_inside(*models, words, np.zeros((5, 6)), attention=[("e", "e")])
    assert found == pytest.approx(np.square(maps[0] - maps[1]).mean(), rel=1e-3)


def test_attention_of_nothing_but_zeros_leaves_gradients_finite():
    def model():
        inside = [layers.Dense(4, use_bias=False, name="d"), layers.Flatten(), layers.Dense(3)]
        return keras.Sequential([keras.Input((2, 5)), *inside])

    distilled = tfprune.distill(model(), model(), attention=[("d", "d")])
    distilled.compile(keras.optimizers.SGD(0.1), LOSS)
    distilled.fit(np.zeros((4, 2, 5)), np.zeros(4), verbose=0)
    assert all(np.isfinite(weight).all() for weight in distilled.get_weights())


def test_hints_and_attention_are_summed_up_where_the_loss_is():
    models = [keras.Sequential([keras.Input((3, 5)), layers.Dense(4, name="d")]) for _ in range(2)]
    x, y = np.random.default_rng(3).normal(size=(6, 3, 5)), np.zeros((6, 3, 4))
    losses = [keras.losses.MeanSquaredError(how) for how in ("sum_over_batch_size", "sum")]
    means, sums = (
        [part_inside(*models, x, y, loss, **{name: [("d", "d")]}) for name in PAIRS]
        for loss in losses
    )
    assert sums == pytest.approx([18 * mean for mean in means], rel=1e-3)


def test_channels_are_found_where_the_layers_have_them():
    def model(first, *before):
        axis = 1 if first else -1
        scaled = layers.BatchNormalization(axis=axis, name="b")
        inside = [*before, scaled, layers.ReLU(name="r"), layers.Flatten(), layers.Dense(3)]
        return keras.Sequential([keras.Input((2, 4, 3)), *inside])

    x = np.random.default_rng(4).normal(size=(6, 2, 4, 3)).astype("float32")
    models = model(True), model(True), model(False, layers.Permute((2, 3, 1)))
    for seed, each in enumerate(models):
        norm = each.get_layer("b")
        norm.gamma.assign(np.random.default_rng(seed % 2).normal(size=2))
        norm.trainable = False  # a batch's own statistics would undo the scale
    maps = []
    for each in models[:2]:
        gamma = each.get_layer("b").gamma.numpy() / np.sqrt(1.001)
        made = np.maximum(x * gamma[:, None, None], 0)
        flat = np.square(made).sum(axis=1).reshape(6, -1)
        maps.append(flat / np.linalg.norm(flat, axis=-1, keepdims=True))
    wanted = np.square(maps[0] - maps[1]).mean()
    pairs, y = [("r", "r")], Y[:6]
    assert part_inside(*models[:2], x, y, attention=pairs) == pytest.approx(wanted, rel=1e-3)
    other = part_inside(models[2], models[1], x, y, attention=pairs)
    assert other == pytest.approx(wanted, rel=1e-3)  # one of each format


def test_a_hint_of_channels_in_front_gets_a_regressor_of_their_number():
    def model(width):
        conv = layers.Conv2D(width, 1, data_format="channels_first", name="c")
        pooled = layers.GlobalAveragePooling2D(data_format="channels_first")
        return keras.Sequential([keras.Input((2, 4, 4)), conv, pooled, layers.Dense(3)])

    distilled = tfprune.distill(model(3), model(5), hints=[("c", "c")], attention=[("c", "c")])
    assert tuple(distilled.regressors[0].kernel.shape) == (3, 5)


def test_predictions_that_this_model_has_not_just_made_are_refused_where_there_are_hints():
    student, teacher = by_add(), functional()
    distilled = tfprune.distill(student, teacher, hints=[("first", "first")])
    distilled.compile("sgd", LOSS)
    mine = distilled(X, training=True)
    assert np.isfinite(float(distilled.compute_loss(X, Y, mine, None)))
    for seen in (True, False):
        distilled = tfprune.distill(student, teacher, hints=[("first", "first")])
        distilled.compile("sgd", LOSS)
        if seen:
            distilled(X, training=True)
        with pytest.raises(ValueError, match="`y_pred` must be what this model itself has just"):
            distilled.compute_loss(X, Y, student(X, training=True), None)
