"""The private paths of tfprune.compat.tfmot, and what it refuses to do unsaid."""

import importlib

import keras
import pytest

from tests.support.compat.cases import DenseOnly
from tfprune.compat import tfmot

PRIVATE = "tfprune.compat.tfmot.python.core.sparsity.keras"


class Unknown(keras.layers.Layer):
    """A layer with weights, of which nobody says whether they can be pruned."""

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], 2), name="w")

    def call(self, inputs):
        return inputs @ self.w


def test_the_version_is_that_of_the_names():
    assert tfmot.__version__ == "0.8.1"


def test_private_paths_that_scripts_import_hold_the_public_objects():
    keras_names = tfmot.sparsity.keras
    for module in ("prune", "pruning_callbacks", "pruning_schedule"):
        found = importlib.import_module(f"{PRIVATE}.{module}")
        assert found.__all__
        assert all(getattr(found, name) is getattr(keras_names, name) for name in found.__all__)
    wrapper = importlib.import_module(f"{PRIVATE}.pruning_wrapper").PruneLowMagnitude
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    assert isinstance(tfmot.prune_low_magnitude(model).layers[0], wrapper)


def test_a_built_layer_of_an_unknown_class_is_refused_alone_and_named_in_a_list():
    layer = Unknown(name="mine")
    layer.build((None, 3))
    with pytest.raises(ValueError, match="'mine'; Unknown is unknown: implement tfprune.Prunable"):
        tfmot.prune_low_magnitude(layer)
    with pytest.warns(UserWarning, match="'mine' stays dense: Unknown is unknown"):
        (kept,) = tfmot.prune_low_magnitude([layer])
    assert kept is layer


def test_a_policy_that_excludes_every_layer_is_named():
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(2, 3, name="conv")])
    with pytest.raises(ValueError, match="`pruning_policy` must allow .*DenseOnly.*conv/kernel"):
        tfmot.prune_low_magnitude(model, pruning_policy=DenseOnly())


def test_an_attribute_that_neither_has_is_missed_at_the_wrapper():
    wrapped = tfmot.prune_low_magnitude(keras.layers.Dense(4, name="inner"))
    with pytest.raises(AttributeError, match="'PrunedLayer' object .*'kernels', nor .*'inner'"):
        wrapped.kernels


def test_the_scope_for_loading_keeps_the_one_around_it():
    with keras.saving.custom_object_scope({"Unknown": Unknown}), tfmot.prune_scope():
        assert keras.saving.get_registered_object("Unknown") is Unknown
        assert keras.saving.get_registered_object("PrunedLayer") is not None
