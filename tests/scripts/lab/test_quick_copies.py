"""scripts/lab/quick_copies.py: copies that train faster learn what the network would."""

import keras
import numpy as np
import pytest
from keras import layers

from models.images.resnet import small_image_resnet
from scripts.lab.quick_copies import FusedBatchNormalization, bring_back, quick_copy
from tests.support.jax_session import run_on_jax
from tfprune import channels


def batch(seed=0):
    random = np.random.default_rng(seed)
    return random.normal(2.0, 3.0, (6, 8, 8, 3)).astype("float32"), random.integers(0, 4, 6)


def train(model, steps=4):
    optimizer = keras.optimizers.SGD(0.02, momentum=0.9)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for seed in range(steps):
        model.train_on_batch(*batch(seed))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": False},
        {"center": False, "epsilon": 0.1, "momentum": 0.5},
        {"trainable": False},
        {"axis": 1},
    ],
    ids=str,
)
def test_batches_are_normalized_as_keras_does(options):
    inputs = keras.Input((8, 8, 3))
    found = []
    for kind in (layers.BatchNormalization, FusedBatchNormalization):
        keras.utils.set_random_seed(1)
        x = kind(moving_mean_initializer="ones", **options)(layers.Conv2D(4, 3)(inputs))
        model = keras.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))
        train(model)
        found.append([*model.get_weights(), model.predict(batch(9)[0], verbose=0)])
    for own, keras_own in zip(*found, strict=True):
        np.testing.assert_allclose(own, keras_own, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("mixed, most", [(True, 0.25), (False, 1e-3)])
@pytest.mark.parametrize("width", [16, 5])
def test_a_copy_learns_what_the_network_would(width, mixed, most):
    keras.utils.set_random_seed(0)
    model = small_image_resnet(8, (8, 8, 3), 4, width=width)
    model = channels.prune(model, channels.plan(model, sparsity=0.4))
    before, copy = model.get_weights(), quick_copy(model, mixed=mixed)
    train(copy, steps=2)
    assert all(np.array_equal(own, old) for own, old in zip(model.get_weights(), before))
    other = keras.models.clone_model(model)
    other.set_weights(before)
    bring_back(copy, other)
    train(model, steps=2)
    own, old, learnt = (
        np.concatenate([array.ravel() for array in arrays])
        for arrays in (model.get_weights(), before, other.get_weights())
    )
    assert np.linalg.norm(learnt - own) < most * np.linalg.norm(own - old)


def test_zeros_behind_the_channels_stay_zeros():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(5, 3, name="first")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(7, 3, name="second")(x))
    model = keras.Model(inputs, layers.Dense(4, name="out")(x))
    copy = quick_copy(model)
    train(copy)
    variables = {variable.path: variable.numpy() for variable in copy.variables}
    assert variables["first/kernel"].shape == (3, 3, 3, 16)
    assert np.abs(variables["first/kernel"][..., :5]).min() > 0
    assert not variables["first/kernel"][..., 5:].any()
    assert not variables["second/kernel"][:, :, 5:].any()
    assert not variables["norm/beta"][5:].any() and not variables["out/kernel"][7:].any()


def test_what_filters_of_zeros_have_learnt_is_not_dropped_without_a_word():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(5, 3, activation="sigmoid")(inputs)
    model = keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    before, copy = model.get_weights(), quick_copy(model)
    train(copy)
    with pytest.raises(ValueError, match="must have zeros behind the weights of the model"):
        bring_back(copy, model)
    for own, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, old)


def test_channels_side_by_side_get_no_zeros_between_them():
    inputs = keras.Input((8, 8, 3))
    both = layers.Concatenate()([layers.Conv2D(5, 3)(inputs), layers.Conv2D(5, 3)(inputs)])
    model = keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(both)))
    copy = quick_copy(model)
    assert [variable.shape for variable in copy.variables] == [own.shape for own in model.variables]
    x = batch()[0]
    np.testing.assert_allclose(copy(x), model(x), atol=0.1)


def test_a_copy_that_is_not_mixed_has_the_same_layers_but_for_normalization():
    model = small_image_resnet(8, (8, 8, 3), 4, width=5)
    copy = quick_copy(model, mixed=False)
    for own, new in zip(model.layers, copy.layers, strict=True):
        usual = type(own) is layers.BatchNormalization
        assert type(new) is (FusedBatchNormalization if usual else type(own))
        assert new.get_config() == own.get_config()


def test_a_copy_computes_in_bfloat16_but_for_its_outputs_and_variables():
    model = small_image_resnet(8, (8, 8, 3), 4, width=8)
    copy = quick_copy(model)
    dtypes = {layer.name: layer.compute_dtype for layer in copy.layers}
    assert dtypes.pop("linear") == dtypes.pop("image") == "float32"
    assert {dtype for name, dtype in dtypes.items() if "bn" in name or "conv" in name} == {
        "bfloat16"
    }
    assert {variable.dtype for variable in copy.variables} == {"float32"}
    assert copy.predict(batch()[0], verbose=0).dtype == np.float32
    assert sum(isinstance(layer, FusedBatchNormalization) for layer in copy.layers) == 7


def test_another_backend_is_refused():
    run_on_jax(
        """
import keras
from scripts.lab.quick_copies import quick_copy
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="quick")
try:
    quick_copy(model)
except ValueError as error:
    assert "jax" in str(error)
else:
    raise AssertionError
"""
    )
