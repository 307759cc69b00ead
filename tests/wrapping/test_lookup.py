"""A pruned Embedding reads masked rows and keeps the gradient of its table sparse."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfprune
from tests.support.helpers import fit, same_values
from tfprune.wrapping.pruned_layer import pruned_layers

STEADY = tfprune.ConstantSparsity(0.75, 0)
IDS = np.array([[1, 5, 5], [0, 19, 2]])


def tagger(**options):
    return keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            layers.Embedding(20, 6, name="table", **options),
            layers.LSTM(4),
        ]
    )


def pruned_now(model):
    pruned = tfprune.prune(model, STEADY)
    pruned.compile("sgd", "mse")
    pruned.fit(IDS, np.ones((2, 4)), verbose=0, callbacks=[tfprune.UpdatePruningStep()])
    return pruned


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_masked_rows_are_rows_of_the_masked_table(dtype):
    pruned = pruned_now(tagger(dtype=dtype))
    (own,) = pruned_layers(pruned)[0].pruned
    table = own.weight.numpy() * own.mask.numpy()
    rows = pruned.layers[0](IDS)
    assert np.array_equal(rows, table.astype(rows.dtype.as_numpy_dtype)[IDS])
    plain = tfprune.strip_pruning(pruned)
    assert np.allclose(plain.predict(IDS, verbose=0), pruned.predict(IDS, verbose=0))


def test_the_gradient_of_a_pruned_table_is_sparse_and_zero_where_masked():
    pruned = pruned_now(tagger())
    (own,) = pruned_layers(pruned)[0].pruned
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(pruned(IDS))
    gradient = tape.gradient(loss, own.weight.value)
    assert isinstance(gradient, tf.IndexedSlices)
    assert set(np.asarray(gradient.indices)) == set(IDS.ravel())
    dense = tf.convert_to_tensor(gradient).numpy()
    assert np.all(dense[~own.mask.numpy()] == 0) and np.any(dense != 0)


def test_timesteps_stay_masked_behind_a_pruned_table():
    model = tagger(mask_zero=True)
    padded = np.array([[4, 7, 0], [4, 7, 0]])
    pruned = pruned_now(model)
    plain = tfprune.strip_pruning(pruned)
    assert np.allclose(plain.predict(padded, verbose=0), pruned.predict(padded, verbose=0))


def test_an_own_call_sees_the_whole_masked_table():
    class Doubled(layers.Embedding):
        def call(self, inputs):
            return 2 * keras.ops.take(self.embeddings, inputs, axis=0)

    model = keras.Sequential([keras.Input((3,), dtype="int32"), Doubled(20, 6), layers.LSTM(4)])
    pruned = pruned_now(model)
    (own,) = pruned_layers(pruned)[0].pruned
    expected = 2 * (own.weight.numpy() * own.mask.numpy())[IDS]
    assert np.array_equal(pruned.layers[0](IDS), expected)


def test_training_with_an_all_ones_mask_is_that_of_the_plain_model():
    plain = tagger()
    wrapped = tfprune.prune(plain, tfprune.ConstantSparsity(0.75, 100))
    data = IDS, np.ones((2, 4), "float32")
    fit(plain, data, epochs=2, callbacks=[])
    with pytest.warns(UserWarning, match="No mask update"):
        fit(wrapped, data, epochs=2)
    assert same_values(tfprune.strip_pruning(wrapped), plain)
