"""The recurrence and WordCrossEntropy: the values and gradients of Keras's own layers."""

import keras
import numpy as np
import pytest
from keras import layers

from models.language.lstm import StreamLSTM
from models.language.training import WordCrossEntropy
from tests.support.jax_session import run_on_jax


class Loop(StreamLSTM):
    """Keras's loop over the steps."""

    inner_loop = layers.LSTM.inner_loop


def trained(lstm, loss, jit):
    """Weights, states and outputs of two stacked LSTMs after some steps."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    x, y = random.normal(size=(12, 5, 4)).astype("float32"), random.integers(0, 7, (12, 5))
    stack = [lstm(6, return_sequences=True, stateful=True) for _ in range(2)]
    model = keras.Sequential([keras.Input(batch_shape=(3, 5, 4)), *stack, layers.Dense(7)])
    model.compile(keras.optimizers.SGD(1.0), loss, jit_compile=jit)
    weights = random.random((12, 5)).astype("float32")
    model.fit(x, y, sample_weight=weights, batch_size=3, epochs=2, shuffle=False, verbose=0)
    return [*model.get_weights(), model.predict(x[:3], verbose=0)]


@pytest.mark.parametrize("jit", [False, True])
def test_a_training_is_that_of_keras_with_its_loop_and_its_loss(jit):
    theirs = trained(Loop, keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit)
    ours = trained(StreamLSTM, WordCrossEntropy(), jit)
    assert max(np.abs(weight).max() for weight in theirs) > 0.5
    for one, other in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


def test_a_training_on_jax_is_that_of_keras_too():
    run_on_jax(
        """
        from tests.models.language.test_recurrence import (
            test_a_training_is_that_of_keras_with_its_loop_and_its_loss as test)
        import keras
        assert keras.config.backend() == "jax"
        test(True)
        """
    )


@pytest.mark.parametrize(
    "options", [{"activation": "relu"}, {"dropout": 0.5}, {"use_bias": False}, {"unroll": True}]
)
def test_layers_with_other_options_are_run_by_keras(options):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")
    ours, theirs = (kind(6, return_sequences=True, **options) for kind in (StreamLSTM, Loop))
    ours.build(x.shape)
    theirs.build(x.shape)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-6)


def test_logits_far_from_zero_have_finite_losses_and_gradients():
    logits = np.array([[1e4, -1e4, 0.0]], "float32")
    assert float(WordCrossEntropy()(np.array([0]), logits)) == 0.0
    assert float(WordCrossEntropy()(np.array([2]), logits)) == 1e4
