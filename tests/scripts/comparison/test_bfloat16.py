"""Language models in mixed precision: products are rounded, and nothing else changes."""

import pytest

from scripts.comparison.language import bfloat16
from tests.support.jax_session import run_on_jax


def test_products_and_their_gradients_are_those_of_rounded_factors():
    run_on_jax(
        """
        import jax, numpy as np
        from jax import numpy as jnp
        from scripts.comparison.language.bfloat16 import product
        random = np.random.default_rng(0)
        x, w, dy = (random.normal(size=s).astype("float32") for s in ((2, 3, 5), (5, 4), (2, 3, 4)))
        found, back = jax.vjp(product, x, w)
        x, w, rounded = (np.asarray(jnp.asarray(a, "bfloat16"), "float64") for a in (x, w, dy))
        assert found.dtype == "float32"
        np.testing.assert_allclose(found, x @ w, rtol=1e-5, atol=1e-5)
        to_x, to_w = back(jnp.asarray(dy))
        assert to_x.dtype == to_w.dtype == "float32"
        np.testing.assert_allclose(to_x, rounded @ w.T, rtol=1e-5, atol=1e-5)
        rows = x.reshape(-1, 5).T @ rounded.reshape(-1, 4)
        np.testing.assert_allclose(to_w, rows, rtol=1e-5, atol=1e-5)
        """
    )


def test_a_quick_copy_learns_what_the_model_does_but_for_rounding():
    run_on_jax(
        """
        import keras, numpy as np
        from models.language.lstm import StreamLSTM, lstm_language_model
        from models.language.training import WordCrossEntropy
        from scripts.comparison.language.bfloat16 import quick_copy, usual_copy
        keras.utils.set_random_seed(0)
        model = lstm_language_model(6, vocabulary=11, steps=4, batch_size=3, init_scale=0.5)
        copy = quick_copy(model)
        kinds = [type(layer) for layer in model.layers]
        assert not {StreamLSTM, keras.layers.Dense} & {type(layer) for layer in copy.layers}
        words = np.random.default_rng(0).integers(0, 11, (12, 5)).astype("int32")
        begun = model.get_weights()
        for one in (model, copy):
            one.compile(keras.optimizers.SGD(1.0), WordCrossEntropy())
            one.fit(words[:, :-1], words[:, 1:], batch_size=3, epochs=3, shuffle=False, verbose=0)
        again = usual_copy(copy)
        assert [type(layer) for layer in again.layers] == kinds
        pairs = [*zip(begun, model.get_weights(), again.get_weights(), strict=True)]
        assert max(abs(own - start).max() for start, own, _ in pairs) > 0.5
        for start, own, quick in pairs:
            np.testing.assert_allclose(quick, own, atol=0.05 * max(0.1, abs(own - start).max()))
        assert any((own != quick).any() for _, own, quick in pairs)
        """
    )


def test_other_backends_are_refused():
    with pytest.raises(ValueError, match="need JAX. Received: tensorflow"):
        bfloat16.require_jax()
