"""Models, a schedule and a policy that the tests of tfprune.compat share."""

import keras
import numpy as np

import tfprune
from tfprune.compat import tfmot


@keras.saving.register_keras_serializable("test_compat")
class Staircase(tfmot.PruningSchedule):
    """Every tenth step from 20 on: a tenth more."""

    def __init__(self, top):
        self._validate_sparsity(top, "top")
        self.top = top

    def __call__(self, step):
        sparsity = min(self.top, step / 100)
        return step >= 20 and step % 10 == 0, sparsity

    def get_config(self):
        return {"class_name": "Staircase", "config": {"top": self.top}}


class DenseOnly(tfmot.PruningPolicy):
    def allow_pruning(self, layer):
        return isinstance(layer, keras.layers.Dense)

    def ensure_model_supports_pruning(self, model):
        if len(model.outputs) != 1:
            raise ValueError("one output, please")


def small_model():
    return keras.Sequential(
        [
            keras.Input((8, 3)),
            keras.layers.Conv1D(4, 2, name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(8, name="dense"),
            keras.layers.ReLU(),
            keras.layers.Dense(2, name="head"),
        ]
    )


def wrapped_names(layers):
    return [layer.name for layer in layers if isinstance(layer, tfprune.PrunedLayer)]


def fit(model, steps=4):
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(steps, *model.input_shape[1:])).astype(np.float32)
    y = rng.normal(size=(steps, *model.output_shape[1:])).astype(np.float32)
    model.fit(x, y, batch_size=1, verbose=0, callbacks=[tfmot.UpdatePruningStep()])
    return model


def sparsities(model):
    stripped = tfmot.strip_pruning(model)
    return [float((w == 0).mean()) for w in stripped.get_weights() if w.ndim > 1]
