"""Copies hold what the originals hold."""

import keras
import numpy as np

from tfprune.keras_graph.rebuilding import rebuild


def test_a_copy_keeps_paths_that_keras_counts_and_so_does_its_training():
    class Two(keras.Model):
        def __init__(self, **options):
            super().__init__(**options)
            self.one, self.two = keras.layers.Dense(4), keras.layers.Dense(2)

        def call(self, x):
            return self.two(self.one(x))

    model = Two()
    model(np.ones((1, 3)))
    paths = [weight.path for weight in model.weights]
    copy = rebuild(model, lambda layer, twin: twin)
    assert [layer.name for layer in copy.layers] != [layer.name for layer in model.layers]
    copy.compile("adam", "mse")
    copy.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
    assert [weight.path for weight in copy.weights] == paths
