"""Distillation of models with several outputs, places and ends of all kinds."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfprune
from tfprune.compression.distillation.ends import ends_of

DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(16, 5)).astype("float32")
CLASSES, VALUES = DRAWS.integers(0, 3, 16), np.zeros((16, 3), "float32")
LABELS = DRAWS.integers(0, 2, (16, 3)).astype("float32")
CROSSENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def heads(ends=(None, None), **options):
    """A model with two outputs of width three."""
    inputs = keras.Input((5,))
    outputs = [layers.Dense(3, end, name=f"head{at}")(inputs) for at, end in enumerate(ends)]
    return keras.Model(inputs, outputs, **options)


def network(end=None, behind=()):
    return keras.Sequential([keras.Input((5,)), layers.Dense(3, end, name="out"), *behind])


def copied(model, source):
    model.set_weights(source.get_weights())
    return model


def loss_of(distilled, loss, y, x=X, weights=None, **options):
    distilled.compile("sgd", loss, **options)
    predictions = distilled(x, training=True)
    return float(distilled.compute_loss(x, y, predictions, weights, training=True))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def classes_apart(mine, own, temperature=2.0):
    p, q = softmax(np.asarray(own) / temperature), softmax(np.asarray(mine) / temperature)
    return temperature**2 * (p * np.log(p / q)).sum(axis=-1)


def labels_apart(mine, own, temperature=2.0):
    p, q = sigmoid(np.asarray(own) / temperature), sigmoid(np.asarray(mine) / temperature)
    each = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    return temperature**2 * each.mean(axis=-1)


def squares(mine, own):
    return np.square(np.asarray(mine) - np.asarray(own)).mean(axis=-1)


@pytest.mark.parametrize(
    "losses", [[CROSSENTROPY, "mse"], {"head0": CROSSENTROPY, "head1": keras.losses.Huber()}]
)
@pytest.mark.parametrize("weights", [None, [0.5, 3.0]])
def test_every_output_is_compared_as_its_loss_takes_it_and_weighs_it(losses, weights):
    student, teacher = heads(), heads()
    (a, b), (c, d) = student(X), teacher(X)
    first, second = weights or (1.0, 1.0)
    wanted = first * classes_apart(a, c).mean() + second * squares(b, d).mean()
    distilled = tfprune.distill(student, teacher, alpha=1.0)
    named = weights
    if weights and isinstance(losses, dict):
        named = dict(zip(("head0", "head1"), weights))
    found = loss_of(distilled, losses, [CLASSES, VALUES], loss_weights=named)
    assert found == pytest.approx(wanted, rel=1e-4)
    history = distilled.fit(X, [CLASSES, VALUES], verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize(
    "loss",
    [
        "mse",
        "mean_absolute_error",
        keras.losses.MeanSquaredError(name="box"),
        keras.losses.mean_squared_error,
        keras.losses.Huber(),
    ],
)
def test_values_are_known_by_the_loss_and_not_by_its_name(loss):
    student, teacher = network(), network()
    distilled = tfprune.distill(student, teacher, alpha=1.0)
    wanted = squares(student(X), teacher(X)).mean()
    assert loss_of(distilled, loss, VALUES) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("end, loss", [(None, True), ("sigmoid", False)])
def test_labels_that_hold_or_not_are_each_two_classes(end, loss):
    logits, taught = network(), network()
    student, teacher = copied(network(end), logits), copied(network(end), taught)
    distilled = tfprune.distill(student, teacher, alpha=1.0)
    wanted = labels_apart(logits(X), taught(X)).mean()
    loss = keras.losses.BinaryCrossentropy(from_logits=loss)
    assert loss_of(distilled, loss, LABELS) == pytest.approx(wanted, rel=1e-3)


def own_loss(y, mine):
    return ops.mean(ops.square(y - mine), axis=-1)


def test_an_own_loss_needs_a_word_unless_the_end_says_it():
    student, teacher = network(), network()
    distilled = tfprune.distill(student, teacher, alpha=1.0)
    distilled.compile("sgd", own_loss)
    before = student.get_weights()
    with pytest.raises(ValueError, match='`compare` of `distill` say .*: "classes".*own_loss'):
        distilled.fit(X, VALUES, verbose=0)
    np.testing.assert_array_equal(before[0], student.get_weights()[0])
    told = tfprune.distill(student, teacher, alpha=1.0, compare="values")
    wanted = squares(student(X), teacher(X)).mean()
    assert loss_of(told, own_loss, VALUES) == pytest.approx(wanted, rel=1e-4)
    ended = tfprune.distill(network("softmax"), network("softmax"), alpha=1.0)
    assert np.isfinite(loss_of(ended, own_loss, VALUES))


@pytest.mark.parametrize("compare", ["logits", ["classes"], ["classes", "mse"], 3])
def test_what_outputs_are_must_be_one_of_three_for_each(compare):
    with pytest.raises(ValueError, match="`compare` must .*Received"):
        tfprune.distill(heads(), heads(), compare=compare)


@pytest.mark.parametrize(
    "behind",
    [
        (layers.Reshape((3,)),),
        (layers.Identity(),),
        (layers.Activation("linear", dtype="float32"), layers.Dropout(0.5)),
        (layers.Reshape((1, 3)), layers.Flatten()),
    ],
)
def test_a_softmax_before_what_passes_values_on_is_found(behind):
    assert ends_of(network("softmax", behind)) == ["softmax"] and ends_of(network()) == [""]


def test_each_output_of_a_nested_model_has_its_own_end():
    inner = heads(("softmax", "sigmoid"))
    inputs = keras.Input((5,))
    first, second = inner(inputs)
    assert ends_of(keras.Model(inputs, [second, first])) == ["sigmoid", "softmax"]
    per_step = keras.Sequential(
        [keras.Input((4, 5)), layers.TimeDistributed(layers.Dense(3, "softmax"))]
    )
    assert ends_of(per_step) == ["softmax"]
    schedule = tfprune.OneShot(0.5)
    assert ends_of(tfprune.prune(network("softmax"), schedule)) == ["softmax"]


@keras.saving.register_keras_serializable("tests_distillation")
class Ending(keras.Model):
    """A model without a graph that ends in probabilities."""

    def __init__(self, count=1):
        super().__init__()
        self.heads = [layers.Dense(3, "softmax") for _ in range(count)]

    def call(self, inputs):
        found = [head(inputs) for head in self.heads]
        return found if len(found) > 1 else found[0]


@pytest.mark.parametrize("count", [1, 2])
def test_models_without_graphs_give_probabilities_where_the_loss_takes_them(count):
    student, teacher = Ending(count), Ending(count)
    mine, own = (
        [np.log(np.asarray(part)) for part in keras.tree.flatten(model(X))]
        for model in (student, teacher)
    )
    wanted = sum(classes_apart(a, b).mean() for a, b in zip(mine, own, strict=True))
    distilled = tfprune.distill(student, teacher, alpha=1.0)
    loss, y = "sparse_categorical_crossentropy", [CLASSES] * count
    found = loss_of(distilled, loss, y if count > 1 else CLASSES)
    assert found == pytest.approx(wanted, rel=1e-3)


def places(scale):
    dense = layers.Dense(3, use_bias=False)
    model = keras.Sequential([keras.Input((6, 3)), dense])
    dense.set_weights([scale * np.eye(3, dtype="float32")])
    return model


def test_places_are_weighed_one_by_one():
    student, teacher = places(1.0), places(-1.0)
    x = DRAWS.normal(size=(5, 6, 3)).astype("float32")
    y, weights = np.zeros((5, 6), int), DRAWS.uniform(0, 2, (5, 6)).astype("float32")
    weights[:, :3] = 0
    distilled = tfprune.distill(student, teacher, alpha=1.0)
    wanted = (weights * classes_apart(student(x), teacher(x))).mean()
    found = loss_of(distilled, CROSSENTROPY, y, x, weights)
    assert found == pytest.approx(wanted, rel=1e-4)


def test_layers_inside_weigh_examples_by_the_mean_of_their_places():
    def model():
        hidden = layers.Conv1D(4, 3, name="hidden")
        return keras.Sequential([keras.Input((6, 3)), hidden, layers.UpSampling1D(2)])

    student, teacher = model(), model()
    x, y = DRAWS.normal(size=(5, 6, 3)).astype("float32"), np.zeros((5, 8, 4), "float32")
    weights = DRAWS.uniform(0, 2, (5, 8)).astype("float32")
    made = [each.get_layer("hidden")(x) for each in (student, teacher)]
    hinted = tfprune.distill(student, teacher, alpha=1.0, hints=[("hidden", "hidden")])
    outputs = (weights * squares(student(x), teacher(x))).mean()
    inside = (weights.mean(axis=1, keepdims=True) * squares(*made)).mean()
    found = loss_of(hinted, "mse", y, x, weights)
    assert found == pytest.approx(outputs + inside, rel=1e-4)


def test_masked_places_do_not_count():
    def tagger():
        words = layers.Embedding(9, 4, keras.initializers.RandomNormal(stddev=2.0), mask_zero=True)
        return keras.Sequential([keras.Input((6,)), words, layers.Dense(3)])

    student, teacher = tagger(), tagger()
    words = DRAWS.integers(1, 9, (5, 6))
    words[:, 4:] = 0
    wanted = classes_apart(student(words), teacher(words))[:, :4].mean()
    distilled = tfprune.distill(student, teacher, alpha=1.0)
    found = loss_of(distilled, CROSSENTROPY, np.zeros((5, 6), int), words)
    assert found == pytest.approx(wanted, rel=1e-4)


def test_a_loss_that_a_layer_adds_for_each_example_is_summed_as_keras_does():
    class Adding(layers.Layer):
        def call(self, inputs):
            self.add_loss(ops.sum(ops.square(inputs), axis=-1))
            return inputs

    student = network(behind=[Adding()])
    teacher = copied(network(), student)
    student.compile("sgd", CROSSENTROPY)
    wanted = float(student.compute_loss(X, CLASSES, student(X, training=True), None))
    distilled = tfprune.distill(student, teacher, alpha=0.0)
    assert loss_of(distilled, CROSSENTROPY, CLASSES) == pytest.approx(wanted, rel=1e-5)
