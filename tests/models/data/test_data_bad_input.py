"""models/data/prepared.py: damaged, half-prepared and missing data sets, each named in one line."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from models import imagenet_batches
from models.data import arrays, prepared
from models.data.translation import load, naming_damage, texts
from scripts.comparison.images.cnn_data import ImageNet
from scripts.comparison.images.cnn_presets import PRESETS

MNIST, WMT, IMAGENET = "mnist/3.0.1", "wmt16_translate/de-en/1.0.0", "imagenet2012/5.1.0"
PHOTO = np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)


def store(folder, path, features, **splits):
    name, *config, version = path.split("/")
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        config=config[0] if config else None,
        version=version,
        data_dir=str(folder),
        features=features,
        split_datasets={k: tf.data.Dataset.from_tensor_slices(v) for k, v in splits.items()},
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A TFDS folder with an MNIST, a WMT 2016 and an ImageNet of five examples a split."""
    folder = tmp_path_factory.mktemp("tfds")
    kinds = tfds.features
    digits = {"image": PHOTO[:, :28, :28, :1], "label": np.arange(5)}
    mnist = {"image": kinds.Image(shape=(28, 28, 1)), "label": kinds.ClassLabel(num_classes=10)}
    store(folder, MNIST, kinds.FeaturesDict(mnist), train=digits, test=digits)
    pairs = {"de": [f"ein {n}" for n in range(5)], "en": [f"one {n}" for n in range(5)]}
    store(folder, WMT, kinds.Translation(languages=("de", "en")), train=pairs)
    photos = {"file_name": list("abcde"), "image": PHOTO, "label": np.arange(5)}
    imagenet = {
        "file_name": kinds.Text(),
        "image": kinds.Image(encoding_format="jpeg"),
        "label": kinds.ClassLabel(num_classes=1000),
    }
    store(folder, IMAGENET, kinds.FeaturesDict(imagenet), train=photos, validation=photos)
    return folder


@pytest.fixture
def folder(whole, tmp_path, monkeypatch):
    """A copy that a test may damage; nothing else is searched."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "own"))
    monkeypatch.setattr(prepared, "_SHARED", tmp_path / "shared")
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def changed(record, file):
    """Write the records anew, the third one changed."""
    records = [raw.numpy() for raw in tf.data.TFRecordDataset(str(file))]
    with tf.io.TFRecordWriter(str(file)) as writer:
        for number, raw in enumerate(records, start=1):
            writer.write(record(raw) if number == 3 else raw)


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # within the third of five records of like length
    file.write_bytes(bytes(content))


def shorten(file):
    """Leave two records, and no trace that there were more."""
    records = [raw.numpy() for raw in tf.data.TFRecordDataset(str(file))]
    with tf.io.TFRecordWriter(str(file)) as writer:
        for raw in records[:2]:
            writer.write(raw)


DAMAGES = {
    "a bit": (flip, ", record 3"),
    "records cut off": (shorten, ", record 3 of 5 is missing"),
    "no file": (Path.unlink, " is missing"),
    "no example": (lambda file: changed(lambda raw: b"garbage", file), ", record 3"),
}


def require_one_line(error, *words):
    message = str(error.value)
    assert "\n" not in message and "{{" not in message and len(message) < 1000
    for word in words:
        assert word in message


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_of_images_is_named(folder, damage):
    change, words = DAMAGES[damage]
    file = folder / MNIST / "mnist-train.tfrecord-00000-of-00001"
    change(file)
    with pytest.raises(ValueError, match="'mnist' in .* is damaged: ") as error:
        arrays.load("mnist", folder)
    require_one_line(error, f"({file}{words})")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_of_text_is_named(folder, damage):
    change, words = DAMAGES[damage]
    file = folder / WMT / "wmt16_translate-train.tfrecord-00000-of-00001"
    change(file)
    with pytest.raises(ValueError, match="'wmt16_translate/de-en' is damaged: ") as error:
        with naming_damage("wmt16_translate", "de-en", folder):
            texts(load("wmt16_translate", "de-en", "train", folder))
    require_one_line(error, f"{file}{words}")


def test_text_in_a_record_that_is_not_utf_8_is_named(folder):
    file = folder / WMT / "wmt16_translate-train.tfrecord-00000-of-00001"
    changed(lambda raw: raw.replace(b"ein", b"\xff\xfen"), file)
    with pytest.raises(ValueError, match="is damaged: ") as error:
        with naming_damage("wmt16_translate", "de-en", folder):
            texts(load("wmt16_translate", "de-en", "train", folder))
    require_one_line(error, f"{file}, record 3")


@pytest.mark.parametrize("damage", [*DAMAGES, "no image"])
def test_a_record_of_imagenet_that_is_damaged_is_named_while_it_is_read(folder, damage):
    spoilt = (lambda file: changed(lambda raw: raw.replace(b"\xff\xd8\xff", b"\0\0\0"), file),)
    change, words = DAMAGES.get(damage, (*spoilt, ", record 3"))
    file = folder / IMAGENET / "imagenet2012-validation.tfrecord-00000-of-00001"
    batches = imagenet_batches("validation", data_dir=folder, size=8, batch_size=2)
    change(file)
    with pytest.raises(ValueError, match="'imagenet2012' is damaged: ") as error:
        with ImageNet(PRESETS["paper"], folder).naming_damage():
            list(batches)
    require_one_line(error, f"{file}{words}")


def test_an_error_that_no_record_explains_stays_as_it_is(folder):
    with pytest.raises(tf.errors.InvalidArgumentError, match="not the data"):
        with prepared.naming_damage("mnist", folder):
            raise tf.errors.InvalidArgumentError(None, None, "not the data")


@pytest.mark.parametrize("content", ["", "{}", '{"name": "mnist", "spl'])
def test_a_damaged_description_is_one_line(folder, content):
    (folder / MNIST / "dataset_info.json").write_text(content)
    with pytest.raises(ValueError, match="'mnist' in .* is damaged: ") as error:
        arrays.load("mnist", folder)
    require_one_line(error, str(folder / "mnist"))


def test_another_version_is_named(folder):
    shutil.move(folder / MNIST, folder / "mnist/1.0.0")
    with pytest.raises(ValueError, match="'mnist' in .* is damaged: ") as error:
        arrays.load("mnist", folder)
    require_one_line(error, "version 1.0.0")


def break_off(folder, path):
    """What a preparation that was killed leaves: all files, in a folder of another name."""
    left = (folder / path).with_name(f"incomplete.ABC123_{Path(path).name}")
    shutil.move(folder / path, left)
    return str(left)


@pytest.mark.parametrize(
    ("path", "read"),
    [
        (MNIST, lambda folder: arrays.load("mnist", folder)),
        (WMT, lambda folder: load("wmt16_translate", "de-en", "train", folder)),
        (IMAGENET, lambda folder: imagenet_batches("train", data_dir=folder)),
    ],
)
def test_what_a_killed_preparation_leaves_does_not_count(folder, path, read):
    left = break_off(folder, path)
    name = str(Path(path).parent)
    with pytest.raises(ValueError, match=f"must hold the prepared data set '{name}'") as error:
        read(folder)
    require_one_line(error, left, "a preparation that broke off has left", "tfds build")


def test_what_a_killed_preparation_leaves_does_not_hide_a_whole_data_set(folder, monkeypatch):
    shutil.copytree(folder, folder.parent / "own")
    break_off(folder.parent / "own", MNIST)
    monkeypatch.setattr(prepared, "_SHARED", folder)
    assert prepared.prepared_folder("mnist", None) == folder
    assert len(arrays.load("mnist").x_train) == 5


@pytest.fixture
def breaking(folder, monkeypatch):
    """Lets every download break off; returns how, and the errors that were raised."""
    raised = []

    def set_error(error):
        def download(self, *args, **kwargs):
            raised.append(error)
            raise error

        for name in ("download", "download_and_extract"):
            monkeypatch.setattr(tfds.download.DownloadManager, name, download)
        return raised

    return set_error


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("mnist", lambda: arrays.load("mnist")),
        ("wmt16_translate/de-en", lambda: load("wmt16_translate", "de-en", "train")),
        ("ted_hrlr_translate/ru_to_en", lambda: load("ted_hrlr_translate", "ru-en", "train")),
    ],
)
def test_a_download_that_breaks_off_is_one_line_and_begun_anew(folder, breaking, name, read):
    raised = breaking(ConnectionError("connection\nbroken"))
    own = folder.parent / "own"
    for attempt in (1, 2):
        with pytest.raises(ValueError, match="could not be downloaded: Conn.*: conn") as error:
            read()
        require_one_line(error, repr(name), f"{own} or ", f"tfds build {name} --data_dir={own}")
        assert len(raised) == attempt and own.is_dir()  # it was tried there, where it is said
        assert not list(own.rglob("dataset_info.json")) and not list(own.rglob("incomplete.*"))


def test_ctrl_c_in_a_download_leaves_nothing_that_counts_as_prepared(folder, breaking):
    breaking(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        arrays.load("mnist")
    own = folder.parent / "own"
    assert not list(own.rglob("dataset_info.json")) and not list(own.rglob("incomplete.*"))
    assert prepared.prepared_folder("mnist", None) is None


def test_the_folder_of_all_data_is_taken_for_images_and_text_alike(folder):
    shutil.move(folder, folder.parent / "tfds")
    everything = folder.parent
    assert len(arrays.load("mnist", everything).x_test) == 5
    assert len(texts(load("wmt16_translate", "de-en", "train", everything))[0]) == 5
    assert len(list(imagenet_batches("validation", data_dir=everything, size=8, batch_size=2))) == 3


def test_the_own_folder_of_tfds_is_searched(folder, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(folder.parent))
    shutil.move(folder, folder.parent / "tensorflow_datasets")
    assert prepared.prepared_folder("imagenet2012", None) == folder.parent / "tensorflow_datasets"
    assert len(arrays.load("mnist").x_train) == 5


def small_file(folder, **changes):
    images, labels = PHOTO, np.arange(5)
    found = {"x_train": images, "y_train": labels, "x_test": images[:2], "y_test": labels[:2]}
    np.savez(folder / "mnist.npz", **{**found, **changes})


def test_images_in_one_file_need_no_tfds(tmp_path, monkeypatch):
    small_file(tmp_path)
    monkeypatch.setattr(arrays, "_load_tfds", None)
    found = arrays.load("mnist", tmp_path)
    np.testing.assert_array_equal(found.x_train, PHOTO / np.float32(255))
    assert found.x_test.shape == (2, 40, 40, 3) and found.y_test.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": PHOTO / 255}, "must hold images of bytes.* Received: float64"),
        ({"y_test": np.arange(3)}, r"Received: uint8 \(2, 40, 40, 3\) and labels \(3,\)"),
        ({"x_test": PHOTO[0]}, r"Received: uint8 \(40, 40, 3\)"),
    ],
)
def test_a_file_of_other_arrays_is_refused(changes, message, tmp_path):
    small_file(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        arrays.load("mnist", tmp_path)


@pytest.mark.parametrize("content", [b"PK", None])
def test_a_damaged_file_of_images_is_named(content, tmp_path):
    if content is None:  # bytes in the middle of a compressed array
        small_file(tmp_path)
        with np.load(tmp_path / "mnist.npz") as whole:
            np.savez_compressed(tmp_path / "mnist.npz", **whole)
        content = bytearray((tmp_path / "mnist.npz").read_bytes())
        content[200:400] = bytes(200)
    (tmp_path / "mnist.npz").write_bytes(content)
    with pytest.raises(ValueError, match="mnist.npz must hold x_train, y_train, x_test and y_test"):
        arrays.load("mnist", tmp_path)
