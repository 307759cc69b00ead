"""What most tests need: quiet TensorFlow, fixed seeds, small models and data."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import Dataset

# Two logical processors, for the tests with two replicas; must be set before the first operation.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


def pytest_collection_finish():
    set_aside()


def set_aside():
    """What is alive now is searched for garbage no more, which would take longer with every test.

    Hundreds of thousands of objects are of the imported packages, and TensorFlow never lets go of
    the graphs that it traced.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def set_aside_after_each_file():
    yield
    set_aside()


@pytest.fixture(scope="session", autouse=True)
def no_autotuning_of_data():
    """The end of `fit` need not wait for TensorFlow's thread that tunes pipelines.

    Now and then that thread misses that it is to stop, and sleeps on: as long as it has lived.
    """
    iterate, options = tf.data.Dataset.__iter__, tf.data.Options()
    options.autotune.enabled = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.data.Dataset, "__iter__", lambda own: iterate(own.with_options(options)))
        yield


@pytest.fixture(autouse=True)
def fixed_seeds():
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def two_replicas():
    """One strategy a process: TensorFlow numbers the collective operations of each from 100 on."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture
def data():
    """64 examples of 6 features and their 3 targets."""
    random = np.random.default_rng(0)
    return random.normal(size=(64, 6)).astype("float32"), random.normal(size=(64, 3)).astype(
        "float32"
    )


@pytest.fixture
def mlp():
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(20, activation="relu", name="hidden"),
            keras.layers.Dense(3, name="out"),
        ],
        name="mlp",
    )


@pytest.fixture(scope="module")
def digits():
    """60 training and 20 test images of 8 x 8 pixels, whose label is where the bright part is."""
    random = np.random.default_rng(0)
    y = (np.arange(80) % 4).astype("int32")
    x = random.random((80, 8, 8, 1)).astype("float32") * 0.2
    for image, label in zip(x, y):
        image[2 * label : 2 * label + 2] += 0.8
    return Dataset("fashion_mnist", 4, x[:60], y[:60], x[60:], y[60:])
