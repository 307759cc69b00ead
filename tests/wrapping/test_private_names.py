"""Contracts of the private names of Keras by which PrunedLayer presents another layer's call."""

import inspect

import keras
import numpy as np
import pytest

import tfprune
from tfprune.wrapping import pruned_layer

HALF = tfprune.ConstantSparsity(0.5)


class Noted(keras.layers.Layer):
    """A layer with one weight, which notes what its call is given."""

    def get_prunable_weights(self):
        return [self.kernel]

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 2), name="kernel")

    def call(self, first, second=None, *, training=None, mask=None, scale=1.0):
        self.given = {"training": training, "mask": mask, "scale": scale, "second": second}
        return keras.ops.matmul(first, self.kernel) * scale


@pytest.fixture
def noted():
    layer = Noted()
    layer.build((None, 3))
    return tfprune.PrunedLayer(layer, HALF)


def ones(*shape):
    return np.ones(shape, "float32")


def test_keras_itself_sets_each_attribute_that_the_wrapper_sets_anew():
    """Otherwise setting it does nothing, and calls are routed by `call(*args, **kwargs)`."""
    layer = keras.layers.Flatten()
    signature = inspect.signature(layer.call)
    assert layer._call_signature == signature
    assert layer.call_signature_parameters == list(signature.parameters)
    assert layer._call_has_training_arg is False and layer._call_has_mask_arg is False
    assert layer._allow_non_tensor_positional_args is False
    assert keras.layers.Dropout(0.5)._call_has_training_arg is True
    assert keras.layers.LSTM(2)._call_has_mask_arg is True


def test_keras_lists_the_arguments_of_its_call_context():
    layer = keras.layers.Dropout(0.5)
    assert "training" in layer._call_context_args
    assert layer._call_has_context_arg["training"] is True
    assert keras.layers.Flatten()._call_has_context_arg["training"] is False


def test_the_call_context_tells_of_training_inside_the_call():
    class Asks(keras.layers.Layer):
        def call(self, inputs):
            self.training = self._get_call_context().get_value("training")
            return inputs

    layer = Asks()
    inner = keras.Sequential([keras.Input((3,)), layer])
    keras.Sequential([keras.Input((3,)), inner])(ones(1, 3), training=True)
    assert layer.training is True
    inner(ones(1, 3))
    assert not layer.training


def test_the_wrapper_presents_the_signature_of_the_call_of_its_layer(noted):
    assert list(noted._call_signature.parameters) == [
        "first", "second", "training", "mask", "scale",
    ]  # fmt: skip


def test_training_reaches_a_layer_whose_call_takes_it_and_no_other(noted):
    keras.Sequential([keras.Input((3,)), noted])(ones(1, 3), training=False)
    assert noted.layer.given["training"] is False
    other = tfprune.PrunedLayer(keras.layers.Dense(2), HALF)
    assert keras.Sequential([keras.Input((3,)), other])(ones(1, 3), training=False).shape == (1, 2)


def test_arguments_of_all_kinds_reach_the_layer_as_they_are(noted):
    noted(ones(1, 3), ones(2, 2), scale=3.0)
    assert noted.layer.given["scale"] == 3.0
    assert noted.layer.given["second"].shape == (2, 2)
    noted.layer._allow_non_tensor_positional_args = True  # the layer decides, not the wrapper
    noted(ones(1, 3), "a word")
    assert noted.layer.given["second"] == "a word"


def test_a_timestep_mask_reaches_a_layer_whose_call_takes_one():
    tokens = np.array([[1, 2, 0, 0]])
    embedding = keras.layers.Embedding(4, 3, mask_zero=True)
    recurrent = keras.layers.LSTM(2)
    expected = np.asarray(recurrent(embedding(tokens)))
    pruned = tfprune.PrunedLayer(recurrent, HALF)
    np.testing.assert_array_equal(np.asarray(pruned(embedding(tokens))), expected)
    unmasked = np.asarray(pruned(np.asarray(embedding(tokens))))
    assert not np.array_equal(unmasked, expected)


def test_the_wrapper_uses_no_private_name_of_keras_itself():
    """They stand in `private_keras`, with contracts there; see the tests above for what they do."""
    source = inspect.getsource(pruned_layer)
    names = {*vars(keras.layers.Dense(2)), *dir(keras.layers.Layer)}
    private = {name for name in names if name.startswith("_") and not name.startswith("__")}
    assert "_call_has_mask_arg" in private
    assert [name for name in sorted(private) if f".{name}" in source] == []
