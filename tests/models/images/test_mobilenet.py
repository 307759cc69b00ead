"""models/images/mobilenet.py: MobileNetV1 from a file of weights, and images from a zip."""

import io
import zipfile

import keras
import numpy as np
import pytest

from models import load_imagenet_sample, load_mobilenet


def stored_name(layer, variable):
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    return f"{layer.name}/{'depthwise_kernel' if depthwise else variable.name}"


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return keras.applications.MobileNet(alpha=0.25, weights=None, input_shape=(32, 32, 3))


@pytest.fixture(scope="module")
def arrays(network):
    return {stored_name(la, v): v.numpy() for la in network.layers for v in la.weights}


def jpeg(color, size=(16, 16), kind="JPEG"):
    """The bytes of an image of one color."""
    buffer = io.BytesIO()
    keras.utils.array_to_img(np.full((*size, 3), color, "float32"), scale=False).save(buffer, kind)
    return buffer.getvalue()


def archive(folder, members, compression=zipfile.ZIP_STORED):
    path = folder / "sample.zip"
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def refusal(load, path):
    """The message with which a file is refused, which names it and has one line."""
    with pytest.raises(ValueError) as error:
        load(path)
    message = str(error.value)
    assert message.startswith("`path` must ") and str(path) in message and "\n" not in message
    return message


def test_the_network_computes_with_the_weights_of_the_file(network, arrays, tmp_path):
    np.savez(tmp_path / "weights.npz", **arrays)
    model = load_mobilenet(tmp_path / "weights.npz", size=32)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    found, wanted = (keras.ops.convert_to_numpy(each(x)) for each in (model, network))
    assert found.shape == (2, 1000)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda arrays: arrays.pop("conv1/kernel"), "it lacks 'conv1/kernel'"),
        (lambda arrays: arrays.pop("conv_pw_3_bn/gamma"), "it lacks 'conv_pw_3_bn/gamma'"),
        (lambda arrays: arrays.update(other=np.ones(2)), "it has other besides"),
        (lambda arrays: arrays.update({"conv_preds/bias": np.ones(7)}), "(7,)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(arrays, tmp_path, change, words):
    changed = dict(arrays)
    change(changed)
    path = tmp_path / "weights.npz"
    np.savez(path, **changed)
    assert words in refusal(load_mobilenet, path)


def test_a_file_that_holds_no_weights_is_refused(tmp_path):
    path = tmp_path / "weights.npz"
    assert "No such file" in refusal(load_mobilenet, path)
    for content in (b"", b"hello", b"PK\x03\x04 and no more"):
        path.write_bytes(content)
        refusal(load_mobilenet, path)


def test_images_come_in_the_order_of_their_names_scaled_to_minus_one_and_one(tmp_path):
    members = {"281_b.jpg": jpeg(255), "281_a.jpg": jpeg(0), "7_c.jpg": jpeg(128)}
    x, y = load_imagenet_sample(archive(tmp_path, members))
    assert x.shape == (3, 16, 16, 3) and x.dtype == np.float32 and y.dtype == np.int64
    assert y.tolist() == [281, 281, 7]
    np.testing.assert_allclose(x.mean((1, 2, 3)), [-1, 1, 128 / 127.5 - 1], atol=1e-6)


@pytest.mark.parametrize(
    "members, words",
    [
        ({"1_a.jpg": b"hello"}, "1_a.jpg: cannot identify image"),
        ({"1_a.jpg": jpeg(9)[:300]}, "1_a.jpg: "),
        ({"1_a.jpg": jpeg(9), "cat.jpg": jpeg(9)}, "cat.jpg: invalid literal for int()"),
        ({"1000_a.jpg": jpeg(9)}, "1000_a.jpg: the class 1000 is not in [0, 1000)"),
        ({"-3_a.jpg": jpeg(9)}, "the class -3 is not in"),
        ({"images/": b""}, "images/: invalid literal for int()"),
        ({"1_a.jpg": jpeg(9), "2_a.jpg": jpeg(9, (16, 8))}, "same shape"),
        ({}, "the archive: "),
    ],
)
def test_a_member_that_is_no_image_of_a_class_is_named(tmp_path, members, words):
    assert words in refusal(load_imagenet_sample, archive(tmp_path, members))


def test_a_damaged_or_foreign_zip_is_refused(tmp_path):
    path = tmp_path / "sample.zip"
    assert "No such file" in refusal(load_imagenet_sample, path)
    whole = archive(tmp_path, {"1_a.jpg": jpeg(9), "2_a.jpg": jpeg(99)}).read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert "the archive: " in refusal(load_imagenet_sample, path)
    flipped = bytearray(whole)
    flipped[60] ^= 255  # in the first image, which no longer has its checksum
    path.write_bytes(bytes(flipped))
    assert "1_a.jpg: Bad CRC-32" in refusal(load_imagenet_sample, path)
