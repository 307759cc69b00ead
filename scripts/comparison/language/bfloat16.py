"""Language models that learn faster on a CPU: products in bfloat16, sums and all else in float32.

XLA multiplies matrices of bfloat16 by the tiles of a core that has AMX, up to five times as fast
as those of float32, where neither factor has to be transposed and the sums are float32. Products
that make the gradients of weights have a transposed factor. It is computed first, with a row of
ones, without which XLA would put the transposition back into the product.

This needs JAX. Keras's own `mixed_bfloat16` leaves those products to XLA, where they are slower
than in float32, and rounds the states as well.
"""

from typing import Any

import keras
from keras import layers, ops

from models.language.lstm import StreamLSTM
from models.language.stepwise import Products


def _product(x: Any, w: Any, contracted: tuple[int, int]) -> Any:
    import jax

    dimensions = (((contracted[0],), (contracted[1],)), ((), ()))
    x, w = (ops.cast(factor, "bfloat16") for factor in (x, w))
    return jax.lax.dot_general(x, w, dimensions, preferred_element_type="float32")


def _to_weights(x: Any, dy: Any) -> Any:
    x = ops.cast(x, "bfloat16")
    rows = ops.concatenate([ops.transpose(x), ops.ones((1, x.shape[0]), "bfloat16")])
    return _product(rows, dy, (1, 0))[:-1]


BFLOAT16 = Products(
    forward=lambda x, w: _product(x, w, (1, 0)),
    to_inputs=lambda dy, w: _product(dy, w, (1, 1)),
    to_weights=_to_weights,
    factor=lambda w: ops.cast(w, "bfloat16"),
)


def product(x: Any, w: Any) -> Any:
    """Return (..., k) x times (k, m) w."""

    @ops.custom_gradient
    def rows(x, w):
        factor = BFLOAT16.factor(w)

        def gradient(*results, upstream=None):
            dy = results[-1] if upstream is None else upstream
            return BFLOAT16.to_inputs(dy, factor), BFLOAT16.to_weights(x, dy)

        return BFLOAT16.forward(x, factor), gradient

    found = rows(ops.reshape(x, (-1, x.shape[-1])), ops.convert_to_tensor(w))
    return ops.reshape(found, (*x.shape[:-1], w.shape[-1]))


@keras.saving.register_keras_serializable("scripts")
class Bfloat16LSTM(StreamLSTM):
    """A StreamLSTM with such products."""

    products = BFLOAT16

    def projected(self, sequences):
        return product(sequences, self.cell.kernel)


@keras.saving.register_keras_serializable("scripts")
class Bfloat16Dense(layers.Dense):
    """A Dense layer with such a product."""

    computes_as = layers.Dense

    def call(self, inputs, training=None):
        return self.activation(product(inputs, self.kernel) + self.bias)


_QUICK = {StreamLSTM: Bfloat16LSTM, layers.Dense: Bfloat16Dense}
_USUAL = {quick: usual for usual, quick in _QUICK.items()}


def require_jax() -> None:
    """Raise a ValueError if Keras computes with another backend than JAX."""
    backend = keras.backend.backend()
    if backend != "jax":
        raise ValueError(f"language models in mixed precision need JAX. Received: {backend}")


def quick_copy(model: keras.Model) -> keras.Model:
    """Return a copy of a language model that multiplies in bfloat16, with variables of its own."""
    return _copy(model, _QUICK)


def usual_copy(model: keras.Model) -> keras.Model:
    """Return a copy of `quick_copy`'s model that computes in float32."""
    return _copy(model, _USUAL)


def _copy(model: keras.Model, classes: dict[type, type]) -> keras.Model:
    copy = keras.models.clone_model(
        model,
        clone_function=lambda layer: classes.get(type(layer), type(layer)).from_config(
            layer.get_config()
        ),
    )
    copy.set_weights(model.get_weights())
    return copy
