"""Files that an older version wrote: they load and train on as they did there."""

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.golden import make_golden as golden

FOLDER = Path(golden.__file__).parent
EXPECTED = np.load(FOLDER / "expected.npz")


def from_model_file():
    return keras.saving.load_model(FOLDER / "pruned.keras")


def from_weights_file():
    model = golden.pruned()
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.optimizer.build(model.trainable_variables)
    model.load_weights(FOLDER / "pruned.weights.h5")
    return model


@pytest.mark.filterwarnings("ignore:On target:UserWarning")
@pytest.mark.parametrize(
    "load",
    [
        # An older Keras does not read the model files of the one that wrote these.
        pytest.param(from_model_file, marks=pytest.mark.newest_keras),
        from_weights_file,
    ],
)
def test_a_pruned_model_of_an_older_version_predicts_and_trains_on_as_it_did_there(load):
    model = load()
    x, y = golden.examples()
    assert np.allclose(model.predict(x, verbose=0), EXPECTED["before"], atol=1e-5)
    fit = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    model.fit(x, y, **fit, callbacks=[golden.callback()])
    assert golden.zeros(model) == EXPECTED["zeros"].tolist()
    assert np.allclose(model.predict(x, verbose=0), EXPECTED["after"], atol=1e-3)


@pytest.mark.newest_keras
def test_a_rounded_model_of_an_older_version_predicts_as_it_did_there():
    model = keras.saving.load_model(FOLDER / "quantized.keras")
    x, _ = golden.examples()
    assert np.allclose(model.predict(x, verbose=0), EXPECTED["rounded"], atol=1e-5)
