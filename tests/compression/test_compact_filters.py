"""Compact filters: what they amount to, exact cases, geometry, reasons, files."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune

RANDOM = np.random.default_rng(0)
KINDS = ["separable", "crelu", "fire"]


def _model(bias=True, **options):
    start = keras.initializers.RandomNormal(seed=1) if bias else None
    conv = layers.Conv2D(
        16, 3, padding="same", use_bias=bias, bias_initializer=start, name="conv", **options
    )
    return keras.Sequential([keras.Input((9, 9, 6)), conv, layers.ReLU(), layers.Flatten()])


def _impulse_kernel(model, size=3):
    """The kernel of the convolution that a model is, up to its activation, read off its outputs."""
    bias = model(np.zeros((1, 9, 9, 6), "float32")).numpy()
    found = []
    for channel in range(6):
        x = np.zeros((1, 9, 9, 6), "float32")
        x[0, 4, 4, channel] = 1.0
        found.append((model(x).numpy() - bias)[0, 3:6, 3:6][::-1, ::-1])
    return np.stack(found, axis=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
def test_the_report_says_how_far_the_layers_are_from_the_kernel(kind, bias, tmp_path):
    conv = layers.Conv2D(16, 3, padding="same", use_bias=bias, name="conv")
    model = keras.Sequential([keras.Input((9, 9, 6)), conv])
    small, told = tfprune.compact_filters(model, kind)
    kernel = conv.kernel.numpy()
    found = _impulse_kernel(small)
    error = np.linalg.norm(found - kernel) / np.linalg.norm(kernel)
    assert told.layers[0].error == pytest.approx(error, rel=1e-3) and 0 < error < 1
    kernels = [w for w in small.weights if "kernel" in w.name and len(w.shape) > 1]
    assert told.layers[0].after == sum(int(np.prod(w.shape)) for w in kernels) < kernel.size
    small.save(tmp_path / "small.keras")
    x = RANDOM.normal(size=(2, 9, 9, 6)).astype("float32")
    again = keras.saving.load_model(tmp_path / "small.keras")
    np.testing.assert_allclose(again(x), small(x), rtol=1e-5, atol=1e-6)


def test_separable_convolutions_keep_the_geometry_and_are_exact_for_kernels_of_their_kind():
    for options in ({"strides": 2}, {"dilation_rate": 2}, {"activation": "tanh"}):
        inputs = keras.Input((9, 9, 2))
        outputs = layers.Conv2D(64, 3, name="conv", **options)(inputs)
        model = keras.Model(inputs, outputs)
        small, told = tfprune.compact_filters(model, multiplier=5)
        near = told.layers[0].error
        x = RANDOM.normal(size=(2, 9, 9, 2)).astype("float32")
        assert small(x).shape == model(x).shape and near < 0.7
    kernel = model.get_layer("conv").kernel
    kernel.assign(np.repeat(kernel.numpy()[..., :1], 64, axis=-1))  # of rank 1 in each channel
    exact, told = tfprune.compact_filters(model)
    np.testing.assert_allclose(exact(x), model(x), rtol=1e-4, atol=1e-5)


def test_opposite_filters_are_paired_and_exact():
    model = _model()
    half = RANDOM.normal(size=(3, 3, 6, 8)).astype("float32")
    mixed = RANDOM.permutation(16)
    kernel = np.concatenate([half, -half], axis=-1)[..., mixed]
    model.get_layer("conv").kernel.assign(kernel)
    small, told = tfprune.compact_filters(model, "crelu")
    x = RANDOM.normal(size=(2, 9, 9, 6)).astype("float32")
    np.testing.assert_allclose(small(x), model(x), rtol=1e-4, atol=1e-5)
    assert told.layers[0].error < 1e-6 and told.layers[0].after == half.size


def test_a_fire_module_is_exact_for_a_kernel_of_its_kind():
    model = _model()
    inner = RANDOM.normal(size=(3, 3, 4, 16))
    inner[:, :, :, ::2] *= np.eye(3)[1][:, None, None, None] * np.eye(3)[1][None, :, None, None]
    kernel = np.einsum("cs,hwsm->hwcm", np.linalg.qr(RANDOM.normal(size=(6, 4)))[0], inner)
    model.get_layer("conv").kernel.assign(kernel)
    small, told = tfprune.compact_filters(model, "fire")
    x = RANDOM.normal(size=(2, 9, 9, 6)).astype("float32")
    np.testing.assert_allclose(small(x), model(x), rtol=1e-3, atol=1e-4)


def test_layers_that_stay_say_why_and_nothing_to_replace_is_an_error():
    inputs = keras.Input((8, 8, 4))
    x = layers.Conv2D(8, 1, name="point")(inputs)
    x = layers.Conv2D(8, 3, groups=2, name="grouped")(x)
    x = layers.Conv2D(9, 3, name="odd")(x)
    x = layers.Conv2D(8, 3, name="valid")(x)
    model = keras.Model(inputs, layers.Dense(3, name="dense")(layers.Flatten()(x)))
    _, told = tfprune.compact_filters(model, "crelu")
    assert {row.layer: row.remark for row in told.layers} == {
        "point": "its filters have one position",
        "grouped": "its filters see some of the channels only",
        "odd": "its 9 filters cannot be paired",
        "valid": "",
        "dense": "only 2-D convolutions are replaced",
    }
    with pytest.raises(ValueError, match="'odd': 1x1 filters|must get compact filters"):
        tfprune.compact_filters(model, "fire")


def test_a_compact_model_trains_and_its_file_predicts_the_same(tmp_path):
    model = _model()
    for kind in KINDS:
        small, _ = tfprune.compact_filters(model, kind)
        x = RANDOM.normal(size=(16, 9, 9, 6)).astype("float32")
        small.compile("adam", "mse")
        y = np.zeros((16, *small.output_shape[1:]), "float32")
        small.fit(x, y, verbose=0)
        told = tfprune.export.to_tflite(small, tmp_path / f"{kind}.tflite")
        assert told.largest_difference < 1e-3
