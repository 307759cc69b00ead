"""models/images/resnet.py: architecture, weights from a file, and copies made by tfprune."""

import io
from pathlib import Path

import keras
import numpy as np
import pytest

import tfprune
from models import load_resnet20, resnet20
from models.images.resnet import MEAN, STD, normalize

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
WEIGHTS = SHARED / "resnet20_cifar10" / "resnet20_cifar10_keras.npz"
IMAGES = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")


def sizes(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


def arrays_of(model):
    """Name -> array, as `load_resnet20` reads them."""
    return {
        f"{layer.name}/{variable.name}": variable.numpy()
        for layer in model.layers
        for variable in layer.weights
    }


@pytest.fixture
def small():
    """A ResNet-20 of width 2 whose variables all differ from their initial values."""
    model = resnet20(3, width=2)
    random = np.random.default_rng(1)
    model.set_weights([random.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize(
    ("classes", "width", "trainable"), [(10, 16, 269_722), (100, 16, 275_572), (3, 2, 4_429)]
)
def test_parameter_counts_are_those_documented(classes, width, trainable):
    model = resnet20(classes, width=width)
    formula = 9 * (116 * width**2 + 3 * width) + 86 * width + (4 * width + 1) * classes
    assert sizes(model.trainable_variables) == trainable == formula
    assert sizes(model.non_trainable_variables) == 86 * width
    assert model.output_shape == (None, classes)


def test_kernels_that_can_be_pruned_number_268336():
    model = resnet20()
    kernels = [w for layer in model.layers for w in tfprune.prunable.prunable_weights(layer)]
    assert len(kernels) == 20 and sizes(kernels) == 268_336


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 1}, "`classes` must be at least 2. Received: classes=1"),
        ({"width": 0}, "`width` must be at least 1. Received: width=0"),
    ],
)
def test_impossible_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        resnet20(**arguments)


def test_shortcut_subsamples_and_pads_channels_with_zeros_on_both_sides():
    model = resnet20(2, width=2)
    for name in ("layer2_0_bn2", "layer3_0_bn2"):  # what lies beside the shortcuts is silent
        model.get_layer(name).gamma.assign(np.zeros_like(model.get_layer(name).gamma))
    layers = [model.get_layer(name).output for name in ("layer1_2_relu2", "layer2_0_relu2")]
    inputs, outputs = (np.asarray(x) for x in keras.Model(model.input, layers)(IMAGES))
    assert inputs.any() and outputs.shape == (4, 16, 16, 4)
    np.testing.assert_array_equal(outputs[..., 1:3], inputs[:, ::2, ::2])
    assert not outputs[..., [0, 3]].any()


def test_channels_of_the_residual_streams_can_be_removed(small):
    plan = tfprune.channels.plan(small, macs=0.5)
    assert {name for part in plan.groups for name in part.group.frozen if name} == {
        "the model returns what 'linear' makes"
    }
    smaller = tfprune.channels.prune(small, plan)
    assert tfprune.channels.verify(small, plan, smaller) < 1e-5


def test_convolutions_with_stride_two_pad_one_pixel_all_round():
    # The first output sees the first row and column behind the border, as in the original, which
    # padding="same" would not.
    model = resnet20(2, width=1)
    pad, conv = (model.get_layer(f"layer2_0_conv1{end}") for end in ("_pad", ""))
    conv.kernel.assign(np.ones(conv.kernel.shape))
    image = np.zeros((1, 32, 32, 1), "float32")
    image[0, 0, 0] = 1.0
    out = keras.ops.convert_to_numpy(conv(pad(image)))
    assert out.shape[1:3] == (16, 16)
    assert out[0, 0, 0].tolist() == [1.0, 1.0] and out.sum() == 2.0
    image = np.roll(image, 2, axis=1)  # even rows are centres: only one output sees this one
    assert keras.ops.convert_to_numpy(conv(pad(image))).sum() == 2.0


def test_normalize_is_the_documented_shift_and_scale():
    images = np.full((2, 1, 1, 3), 0.5, "float32")
    result = normalize(images)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result * STD + MEAN, images, rtol=1e-6)
    np.testing.assert_allclose(result[0, 0, 0, 0], (0.5 - 0.485) / 0.229, rtol=1e-6)


def test_weights_of_a_file_are_loaded_with_their_width_and_classes(small, tmp_path):
    np.savez(tmp_path / "weights.npz", **arrays_of(small))
    loaded = load_resnet20(tmp_path / "weights.npz")
    assert loaded.output_shape == (None, 3)
    for name, array in arrays_of(loaded).items():
        np.testing.assert_array_equal(array, arrays_of(small)[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("layer2_1_bn1/gamma"), "it lacks 'layer2_1_bn1/gamma'"),
        (lambda arrays: arrays.pop("linear/bias"), "it lacks 'linear/bias'"),
        (lambda arrays: arrays.update(more=np.zeros(1)), "it has more besides"),
        (lambda arrays: arrays.update({"bn1/beta": np.zeros(3)}), r"shape=\(2,\).*\(3,\)"),
    ],
)
def test_a_file_of_another_model_is_refused_in_one_line(small, tmp_path, change, message):
    arrays = arrays_of(small)
    change(arrays)
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(ValueError, match=message) as error:
        load_resnet20(tmp_path / "other.npz")
    assert "other.npz" in str(error.value) and "\n" not in str(error.value)


def single_array():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize("content", [None, b"", b"no zip file", b"PK\x03\x04cut", single_array()])
def test_a_missing_or_damaged_file_is_one_line(tmp_path, content):
    file = tmp_path / "weights.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match="`path` must hold the weights of a ResNet-20") as error:
        load_resnet20(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_the_model_is_saved_and_loaded_with_its_shortcuts(small, tmp_path):
    small.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IMAGES), small(IMAGES))


def test_a_pruned_copy_keeps_predictions():
    model = resnet20(3, width=2)
    pruned = tfprune.prune(model, tfprune.ConstantSparsity(0.5, begin_step=10))
    assert len(tfprune.wrapping.pruned_layer.pruned_layers(pruned)) == 20
    np.testing.assert_array_equal(pruned(IMAGES), model(IMAGES))


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="the pretrained weights are not at hand")
def test_pretrained_weights_classify_cifar10():
    tfds = pytest.importorskip("tensorflow_datasets")
    if not (SHARED / "tfds" / "cifar10").is_dir():
        pytest.skip("CIFAR-10 is not at hand")
    images, labels = tfds.as_numpy(
        tfds.load(
            "cifar10",
            data_dir=SHARED / "tfds",
            split="test[:1000]",
            batch_size=-1,
            as_supervised=True,
            download=False,
        )
    )
    model = load_resnet20(WEIGHTS)
    logits = model.predict(normalize(images / np.float32(255)), batch_size=250, verbose=0)
    assert np.mean(logits.argmax(-1) == labels) > 0.9
