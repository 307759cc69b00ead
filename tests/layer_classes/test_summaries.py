"""`model.summary()` of a pruned model."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune

DATA = np.ones((8, 4), "float32"), np.ones((8, 3), "float32")


class Mine(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, inputs):
        return self.dense(inputs)


def lines(model, **options):
    found = []
    model.summary(print_fn=lambda line, **_: found.append(line), **options)
    return "\n".join(found)


def subclassed():
    model = Mine()
    model(DATA[0])
    return model


@pytest.mark.parametrize(
    "make", [lambda: keras.Sequential([keras.Input((4,)), layers.Dense(3)]), subclassed]
)
def test_masks_are_not_counted_but_kept_with_the_weights(make):
    pruned = tfprune.prune(make(), 0.5)
    shown = lines(pruned)
    assert "Total params: 15 (60.00 B)" in shown and "Non-trainable params: 0" in shown
    assert len(pruned.get_weights()) > 2 and pruned.count_params() > 15


def test_a_pruned_model_from_a_file_is_counted_so_once_it_is_trained(tmp_path):
    pruned = tfprune.prune(keras.Sequential([keras.Input((4,)), layers.Dense(3)]), 0.5)
    pruned.save(tmp_path / "pruned.keras")
    loaded = keras.saving.load_model(tmp_path / "pruned.keras")
    loaded.compile("sgd", "mse")
    loaded.fit(*DATA, batch_size=1, epochs=2, verbose=0, callbacks=[tfprune.UpdatePruningStep()])
    assert "Trainable params: 15" in lines(loaded) and "Non-trainable params: 0" in lines(loaded)


def test_a_summary_that_fails_leaves_the_weights_as_they_are():
    pruned = tfprune.prune(keras.Sequential([keras.Input((4,)), layers.Dense(3)]), 0.5)
    before = len(pruned.layers[0].weights)
    with pytest.raises(ValueError):
        pruned.summary(layer_range=["none", "such"])
    assert len(pruned.layers[0].weights) == before
