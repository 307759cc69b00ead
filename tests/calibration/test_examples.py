"""Examples from every kind of data, and losses as `compile` takes them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfprune.calibration.example_source import ExampleSource
from tfprune.calibration.examples import Examples
from tfprune.calibration.losses import loss_function

X = np.arange(40.0).reshape(20, 2)
Y = np.arange(20)


def batches(size=4):
    return [(X[i : i + size], Y[i : i + size]) for i in range(0, 20, size)]


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return batches()[index]


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        (tf.constant(X), tf.constant(Y)),
        tf.data.Dataset.from_tensor_slices((X, Y)).batch(3),
        Batches(),
        iter(batches(6)),
        batches(),
    ],
)
def test_all_examples_of_every_kind_of_data_are_taken(data):
    taken = ExampleSource(data).take(None)
    assert taken.count == 20 and taken.sample_weight is None
    assert np.array_equal(taken.x, X.astype("float32")) and np.array_equal(taken.y, Y)


def test_arrays_give_a_random_choice_that_the_seed_fixes():
    source = ExampleSource((X, Y))
    first, again, other = source.take(6, seed=1), source.take(6, seed=1), source.take(6, seed=2)
    assert first.count == 6 and np.array_equal(first.x, again.x)
    assert not np.array_equal(first.x, other.x)
    assert np.array_equal(first.x[:, 0], 2 * first.y)


def test_streams_are_read_no_further_than_needed_and_a_generator_once():
    def endless():
        while True:
            seen.append(1)
            yield X, Y

    seen = []
    source = ExampleSource(endless())
    assert source.take(30).count == 30 and len(seen) == 2
    assert source.take(30).count == 30 and len(seen) == 2


def test_limited_data_gives_what_it_has():
    assert ExampleSource((X, Y)).take(1000).count == 20
    assert ExampleSource(iter(batches())).take(1000).count == 20


def test_halves_share_no_example_and_few_examples_are_both():
    data = Examples({"a": np.arange(11)}, np.arange(11))
    parts = data.halves(seed=1)
    assert [part.count for part in parts] == [5, 6]
    assert sorted(np.concatenate([part.x["a"] for part in parts])) == list(range(11))
    assert all(np.array_equal(part.x["a"], part.y) for part in parts)
    assert parts[0].y.tolist() == data.halves(seed=1)[0].y.tolist() != data.halves()[0].y.tolist()
    few = Examples(np.arange(3))
    assert few.halves() == (few, few)


def test_nests_and_sample_weights_keep_their_structure():
    taken = ExampleSource(({"a": X, "b": X + 1}, [Y, Y], Y * 0.5)).take(None)
    x, y, weight = taken.take(slice(3)).pack(taken.take(slice(3)).leaves())
    assert sorted(x) == ["a", "b"] and len(y) == 2 and weight.tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    "data, message",
    [
        (None, "must hold examples. Received: data=None"),
        (3, "must be a tuple .*data=3 "),
        ((X, Y[:7]), r"as many targets.*\(20, 2\), \(7,\)"),
        ((X[:1], Y[:1]), "at least 2 examples. Received: 1"),
        ((X[:0], Y[:0]), "at least 2 examples. Received: 0"),
        (X, "must have targets"),
        (iter([]), "no batch at all"),
        (iter([(X, Y), X]), "same structure"),
        (iter([(3.0, 4.0)]), "with the examples along axis 0"),
    ],
)
def test_bad_data_is_told_in_one_error(data, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ExampleSource(data).take(None)


def test_a_limit_below_two_is_refused():
    with pytest.raises(ValueError, match="`examples` must be >= 2. Received: examples=1"):
        ExampleSource((X, Y)).take(1)


def classifier(outputs=1):
    inputs = keras.Input((2,))
    heads = [keras.layers.Dense(3, name=f"head{i}")(inputs) for i in range(outputs)]
    return keras.Model(inputs, heads if outputs > 1 else heads[0])


@pytest.mark.parametrize(
    "loss",
    [
        "mse",
        keras.losses.MeanSquaredError(),
        keras.losses.MeanSquaredError(reduction="sum"),
        keras.losses.mean_absolute_error,
        lambda y, outputs: keras.ops.sum(keras.ops.square(outputs - y), axis=-1),
    ],
)
def test_a_loss_is_what_keras_computes(loss):
    model = classifier()
    targets, weight = np.ones((20, 3), "float32"), np.linspace(0.1, 2, 20, dtype="float32")
    model.compile(loss=loss)
    wanted = model.evaluate(X, targets, sample_weight=weight, batch_size=20, verbose=0)
    for own in (loss, None):
        got = float(loss_function(model, own)(targets, model(X), keras.ops.array(weight)))
        assert got == pytest.approx(wanted, rel=1e-5)


def test_losses_that_do_not_fit_the_outputs_are_refused():
    model = classifier(2)
    y = [np.ones((20, 3))] * 2
    with pytest.raises(ValueError, match="is not compiled"):
        loss_function(model)
    with pytest.raises(ValueError, match="must have one entry for each.*Received: 3 entries"):
        loss_function(model, ["mse"] * 3)(y, model(X))
    with pytest.raises(ValueError, match="keyed by outputs.*Received: .'other'."):
        loss_function(model, "mse")({"other": y[0]}, model(X))
    with pytest.raises(TypeError, match="`loss` must be a name.*loss=3"):
        loss_function(model, 3)
    with pytest.raises(ValueError, match="nonsense"):
        loss_function(model, "nonsense")


def test_all_examples_of_data_without_an_end_are_refused_at_once():
    endless = tf.data.Dataset.from_tensors((np.ones((2, 3)), np.ones(2))).repeat()
    with pytest.raises(ValueError, match="`examples` must be given where the data has no end"):
        ExampleSource(endless).take(None)
    assert ExampleSource(endless).take(5).count == 5
