import keras
import numpy as np
import pytest
from keras import layers

from tests.support.layer_watching import explicit, gram, gram_of_outputs, model_of, watch

RNG = np.random.default_rng(0)


def states_before(outputs):
    """Return h of the step before each step, zeros first."""
    return np.concatenate([np.zeros_like(outputs[:, :1]), outputs[:, :-1]], axis=1)


@pytest.mark.parametrize(
    "layer",
    [
        layers.LSTM(4, return_sequences=True),
        layers.GRU(4, return_sequences=True),
        layers.SimpleRNN(4, return_sequences=True, unroll=True),
        layers.RNN(layers.LSTMCell(4), return_sequences=True),
    ],
    ids=["lstm", "gru", "simple", "rnn of a cell"],
)
def test_recurrent_kernels_see_inputs_and_states(layer):
    model = model_of(layer, shape=(5, 3))
    x = RNG.normal(size=(2, 5, 3)).astype("float32")
    found = watch(model, x)
    kernel, recurrent = (found[w.path] for w in (layer.cell.kernel, layer.cell.recurrent_kernel))
    np.testing.assert_allclose(kernel.moments[0], explicit(x), rtol=1e-5, atol=1e-6)
    states = states_before(np.array(model(x)))
    np.testing.assert_allclose(recurrent.moments[0], explicit(states), rtol=1e-4, atol=1e-6)
    assert kernel.samples == recurrent.samples == 10


def test_the_candidate_of_a_gru_that_resets_before_sees_reset_states():
    layer = layers.GRU(4, return_sequences=True, reset_after=False)
    model = model_of(layer, shape=(5, 3))
    layer.cell.bias.assign(RNG.normal(size=12))
    x = RNG.normal(size=(2, 5, 3)).astype("float32")
    inputs = watch(model, x)[layer.cell.recurrent_kernel.path]
    h = states_before(np.array(model(x)))
    kernel, recurrent, bias = (np.array(w)[..., 4:8] for w in layer.weights)
    reset = 1.0 / (1.0 + np.exp(-(x @ kernel + h @ recurrent + bias)))
    wanted = [explicit(h), explicit(h), explicit(reset * h)]
    np.testing.assert_allclose(inputs.moments, wanted, rtol=1e-4, atol=1e-6)
    matrix = inputs.to_matrix(np.array(layer.cell.recurrent_kernel))
    assert np.array_equal(matrix[2], np.array(layer.cell.recurrent_kernel)[:, 8:])


def test_stacked_cells_each_see_every_step_once():
    cells = [layers.LSTMCell(4), layers.GRUCell(3)]
    model = model_of(layers.RNN(cells, return_sequences=True), shape=(5, 2))
    x = RNG.normal(size=(2, 5, 2)).astype("float32")
    found = watch(model, x)
    assert {inputs.samples for inputs in found.values()} == {10}
    np.testing.assert_allclose(
        found[cells[0].kernel.path].moments[0], explicit(x), rtol=1e-5, atol=1e-6
    )
    between = found[cells[1].kernel.path].moments[0]
    np.testing.assert_allclose(
        between,
        found[cells[0].recurrent_kernel.path].moments[0] + last_state(model, cells, x),
        rtol=1e-4,
        atol=1e-6,
    )


def last_state(model, cells, x):
    """Return what the first cell's last state, which it does not see itself, adds."""
    states = cells[0].get_initial_state(batch_size=len(x))
    for step in range(x.shape[1]):
        output, states = cells[0](x[:, step], states)
    return explicit(np.array(output))


def test_steps_hidden_by_a_mask_do_not_count():
    lstm, backwards = layers.LSTM(4, return_sequences=True), layers.LSTM(3, go_backwards=True)
    dense = layers.Dense(2)
    tokens = keras.Input((4,), dtype="int32")
    embedded = layers.Embedding(6, 3, mask_zero=True)(tokens)
    hidden = lstm(embedded)
    model = keras.Model(tokens, [dense(hidden), backwards(embedded)])
    ids = np.array([[1, 2, 0, 0], [3, 4, 5, 0]])
    found = watch(model, ids)
    table = np.array(model.layers[1].embeddings)
    seen = table[ids[ids != 0]]
    for layer in (lstm, backwards):
        moments = found[layer.cell.kernel.path].moments[0]
        np.testing.assert_allclose(moments, explicit(seen), rtol=1e-5, atol=1e-7)
    outputs = np.array(keras.Model(tokens, hidden)(ids))[ids != 0]
    moments = found[dense.kernel.path].moments[0]
    np.testing.assert_allclose(moments, explicit(outputs), rtol=1e-4, atol=1e-6)


def test_both_directions_of_a_bidirectional_layer_are_seen():
    layer = layers.Bidirectional(layers.GRU(4))
    model = model_of(layer, shape=(5, 3))
    x = RNG.normal(size=(2, 5, 3)).astype("float32")
    found = watch(model, x)
    assert len(found) == 4
    for part in (layer.forward_layer, layer.backward_layer):
        np.testing.assert_allclose(
            found[part.cell.kernel.path].moments[0], explicit(x), rtol=1e-5, atol=1e-6
        )


def test_convolutional_lstms_show_patches_of_inputs_and_states():
    layer = layers.ConvLSTM1D(2, 3, strides=2, padding="same", return_sequences=True)
    model = model_of(layer, shape=(3, 6, 2))
    x = RNG.normal(size=(2, 3, 6, 2)).astype("float32")
    found = watch(model, x)
    kernel = layer.cell.kernel
    outputs = keras.ops.conv(x.reshape(-1, 6, 2), kernel, strides=2, padding="same")
    np.testing.assert_allclose(
        gram(found[kernel.path], kernel),
        gram_of_outputs(np.array(outputs), 1),
        rtol=1e-4,
        atol=1e-5,
    )
    states = states_before(np.array(model(x))).reshape(-1, 3, 2)
    outputs = keras.ops.conv(states, layer.cell.recurrent_kernel, padding="same")
    np.testing.assert_allclose(
        gram(found[layer.cell.recurrent_kernel.path], layer.cell.recurrent_kernel),
        gram_of_outputs(np.array(outputs), 1),
        rtol=1e-4,
        atol=1e-6,
    )
