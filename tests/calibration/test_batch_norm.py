"""Refreshed batch-normalization statistics are those of the data."""

import keras
import numpy as np
import pytest

import tfprune


def normalized(momentum=0.99):
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(4, name="hidden"),
            keras.layers.BatchNormalization(momentum=momentum, name="norm"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3),
        ]
    )


@pytest.mark.parametrize("batch_size", [64, 20, 7])
def test_statistics_are_the_mean_and_the_pooled_variance_of_all_examples(data, batch_size):
    model = normalized()
    used = tfprune.refresh_batch_norm(model, data, batch_size=batch_size)
    hidden = np.array(model.get_layer("hidden")(data[0]), "float64")
    norm = model.get_layer("norm")
    assert used == 64 and norm.momentum == 0.99
    assert np.allclose(norm.moving_mean, hidden.mean(axis=0), atol=1e-5)
    assert np.allclose(norm.moving_variance, hidden.var(axis=0), atol=1e-5)


def test_nothing_but_the_statistics_changes(data):
    pruned = tfprune.prune(normalized(), tfprune.OneShot(0.5))
    before = {v.path: np.array(v) for v in pruned.variables}
    tfprune.refresh_batch_norm(pruned, data[0])
    differ = [v for v in pruned.variables if not np.array_equal(before[v.path], v)]
    changed = {v.path.split("/")[-1] for v in differ}
    assert changed == {"moving_mean", "moving_variance"}


def test_a_model_without_batch_normalization_uses_no_examples(mlp, data):
    assert tfprune.refresh_batch_norm(mlp, data) == 0


def test_statistics_that_are_not_finite_leave_the_model_as_it_was(data):
    model = normalized()
    broken = data[0].copy()
    broken[3, 2] = np.inf
    with pytest.raises(ValueError, match="must be finite. Received: NaN or inf in 'norm'"):
        tfprune.refresh_batch_norm(model, broken)
    assert np.array_equal(model.get_layer("norm").moving_mean, np.zeros(4))
    assert model.get_layer("norm").momentum == 0.99


def test_one_example_is_too_few(data):
    with pytest.raises(ValueError, match="at least 2 examples. Received: 1"):
        tfprune.refresh_batch_norm(normalized(), data[0][:1])


def several(kind, count):
    """A model with `count` inputs, and data for them as a list, a tuple or a dictionary."""
    inputs = [keras.Input((3,), name=f"i{number}") for number in range(count)]
    joined = keras.layers.Concatenate()(inputs)
    outputs = keras.layers.BatchNormalization(name="norm")(joined)
    arrays = [np.full((8, 3), 5.0 + number, "float32") for number in range(count)]
    named = {tensor.name: array for tensor, array in zip(inputs, arrays)}
    data = {"list": arrays, "tuple": tuple(arrays), "dict": named}[kind]
    model = keras.Model(named_inputs(inputs) if kind == "dict" else inputs, outputs)
    return model, data


def named_inputs(inputs):
    return {tensor.name: tensor for tensor in inputs}


@pytest.mark.parametrize("kind", ["list", "tuple", "dict"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_several_inputs_are_all_inputs_whatever_holds_them(kind, count):
    model, data = several(kind, count)
    assert tfprune.refresh_batch_norm(model, data) == 8
    means = model.get_layer("norm").moving_mean.numpy()
    assert np.allclose(means, np.repeat(5.0 + np.arange(count), 3))


def shifted(*means):
    """A batch of 200 rows of 4 channels around each of these means."""
    random = np.random.default_rng(0)
    return [(mean + random.normal(size=(200, 4))).astype("float32") for mean in means]


@pytest.mark.parametrize("batch_size", [256, 30])
def test_a_shared_layer_has_the_statistics_of_all_its_calls(batch_size):
    inputs, norm = [keras.Input((4,)), keras.Input((4,))], keras.layers.BatchNormalization()
    model = keras.Model(inputs, keras.layers.add([norm(tensor) for tensor in inputs]))
    arrays = shifted(0.0, 10.0)
    assert tfprune.refresh_batch_norm(model, arrays, batch_size=batch_size) == 200
    seen = np.concatenate(arrays).astype(float)  # mean 5, variance 25 + 1
    assert np.allclose(norm.moving_mean, seen.mean(axis=0), atol=1e-4)
    assert np.allclose(norm.moving_variance, seen.var(axis=0), rtol=1e-4)


def test_calls_count_by_the_entries_that_they_see():
    row, rows = keras.Input((1, 4)), keras.Input((3, 4))
    norm = keras.layers.BatchNormalization()
    model = keras.Model([row, rows], [norm(row), norm(rows)])
    one, *others = shifted(0.0, 8.0, 8.0, 8.0)
    tfprune.refresh_batch_norm(model, [one[:, np.newaxis], np.stack(others, axis=1)])
    assert np.allclose(norm.moving_mean, 6.0, atol=0.2)


def test_a_layer_in_time_distributed_has_the_statistics_of_all_steps():
    norm = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.TimeDistributed(norm)])
    x = np.stack(shifted(0.0, 5.0, 10.0), axis=1)
    tfprune.refresh_batch_norm(model, x, batch_size=64)
    assert np.allclose(norm.moving_mean, x.mean(axis=(0, 1), dtype=float), atol=1e-4)
    assert np.allclose(norm.moving_variance, x.var(axis=(0, 1), dtype=float), rtol=1e-4)


def test_calls_in_inference_mode_do_not_count():
    norm, kept = keras.layers.BatchNormalization(), keras.layers.BatchNormalization(name="kept")

    class Both(keras.layers.Layer):
        def call(self, inputs):
            return norm(inputs) + norm(inputs + 9.0, training=False) + kept(inputs, training=False)

    layer = Both()
    layer.norm, layer.kept = norm, kept
    (x,) = shifted(3.0)
    tfprune.refresh_batch_norm(keras.Sequential([keras.Input((4,)), layer]), x)
    assert np.allclose(norm.moving_mean, x.mean(axis=0), atol=1e-4)
    assert np.array_equal(kept.moving_mean, np.zeros(4))


@pytest.mark.parametrize("batch_size", [256, 30])
def test_what_a_mask_hides_does_not_count(batch_size):
    norm = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.Masking(), norm])
    x = np.stack(shifted(1.0, 5.0, 9.0), axis=1)
    x[:150, 2] = 0.0  # of some batches more than of others
    tfprune.refresh_batch_norm(model, x, batch_size=batch_size)
    seen = x[(x != 0).any(axis=-1)].astype(float)
    assert np.allclose(norm.moving_mean, seen.mean(axis=0), atol=1e-4)
    assert np.allclose(norm.moving_variance, seen.var(axis=0), rtol=1e-4)


def test_batch_renormalization_goes_on_from_the_refreshed_statistics(data):
    norm = keras.layers.BatchNormalization(renorm=True)
    model = keras.Sequential([keras.Input(data[0].shape[1:]), norm])
    x = 3.0 + 2.0 * data[0]
    tfprune.refresh_batch_norm(model, x)
    assert np.allclose(norm.moving_variance, x.var(axis=0, dtype=float), rtol=1e-4)
    assert np.allclose(norm.moving_stddev**2, norm.moving_variance + norm.epsilon, rtol=1e-5)
