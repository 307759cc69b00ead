import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tests.support.layer_watching import model_of, watch


class Squared(layers.Layer, tfprune.PrunableLayer):
    def build(self, input_shape):
        self.scale = self.add_weight(shape=input_shape[1:], name="scale")

    def call(self, inputs):
        return inputs * self.scale**2

    def get_prunable_weights(self):
        return [self.scale]


class OneOfTwo(keras.Model):
    def __init__(self):
        super().__init__()
        self.used, self.unused = (layers.Dense(3, name=name) for name in ("used", "unused"))
        self.used.build((None, 3))
        self.unused.build((None, 3))
        self.built = True

    def call(self, inputs):
        return self.used(inputs)


def test_what_cannot_be_handled_is_an_error_that_names_the_layer():
    x = np.ones((2, 3), "float32")
    with pytest.raises(ValueError, match=r"'squares' \(Squared\) cannot.*with a rule"):
        watch(model_of(Squared(name="squares"), shape=(3,)), x)
    with pytest.raises(ValueError, match=r"'wide' \(Dense\).*20,000 inputs.*3\.2 GB"):
        watch(model_of(layers.Dense(1, name="wide"), shape=(20_000,)), np.ones((2, 20_000)))
    with pytest.raises(ValueError, match="at least one batch"):
        watch(model_of(layers.Dense(2), shape=(3,)))
    embedding = layers.ReversibleEmbedding(5, 3, name="tied")
    tokens = keras.Input((4,), dtype="int32")
    tied = keras.Model(tokens, embedding(embedding(tokens), reverse=True))
    with pytest.raises(ValueError, match=r"^Layer 'tied' \(ReversibleEmbedding\).*as a projection"):
        watch(tied, np.ones((2, 4), int))
    with pytest.raises(ValueError, match="'unused' must be called"):
        watch(OneOfTwo(), x)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compiles by tf.function")
def test_a_compiled_part_is_named():
    compile_function = pytest.importorskip("tensorflow").function

    class Compiled(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(2, name="inner")
            self.compiled = compile_function(lambda x: self.inner(x))

        def build(self, input_shape):
            self.inner.build(input_shape)

        def call(self, inputs):
            return self.compiled(inputs)

        def compute_output_shape(self, input_shape):
            return (*input_shape[:-1], 2)

    model = model_of(Compiled(), shape=(3,))
    with pytest.raises(ValueError, match=r"^Layer 'inner' \(Dense\).*compiled function"):
        watch(model, np.ones((2, 3), "float32"))
