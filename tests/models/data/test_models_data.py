"""models/: the data sets and the small CNN."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from models import digits_cnn
from models.data import arrays
from models.data import prepared as prepared_sets

SHAPES = {"fashion_mnist": (28, 28, 1), "cifar10": (32, 32, 3), "mnist": (28, 28, 1)}
IMAGES = {
    name: np.random.default_rng(0).integers(0, 256, (8, *shape), dtype=np.uint8)
    for name, shape in SHAPES.items()
}
VERSIONS = {"fashion_mnist": "3.0.1", "cifar10": "3.0.2", "mnist": "3.0.1"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TFDS folder with data sets of five training and three test images."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    splits = {"train": slice(0, 5), "test": slice(5, 8)}
    folder = tmp_path_factory.mktemp("tfds")
    for name, images in IMAGES.items():
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version=VERSIONS[name],
            data_dir=str(folder),
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),  # CIFAR-10 has it; Fashion-MNIST's reader skips it
                    "image": tfds.features.Image(shape=SHAPES[name]),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            split_datasets={
                split: tf.data.Dataset.from_tensor_slices(
                    {
                        "id": np.arange(8).astype("S")[part],
                        "image": images[part],
                        "label": np.arange(8)[part],
                    }
                )
                for split, part in splits.items()
            },
        )
    return folder


def test_digits_are_scaled_and_split_without_overlap() -> None:
    digits = arrays.load("digits")
    assert digits.x_train.shape == (1437, 8, 8, 1) and digits.x_test.shape == (360, 8, 8, 1)
    assert digits.x_train.dtype == np.float32 and digits.y_train.dtype == np.int32
    assert digits.x_train.min() == 0.0 and digits.x_train.max() == 1.0
    assert np.bincount(digits.y_test).min() >= 34
    train = {image.tobytes() for image in digits.x_train}
    assert sum(image.tobytes() in train for image in digits.x_test) == 0


def test_digits_are_the_same_at_every_load() -> None:
    first, second = arrays.load("digits"), arrays.load("digits")
    np.testing.assert_array_equal(first.x_test, second.x_test)
    np.testing.assert_array_equal(first.y_train, second.y_train)


def test_unknown_data_set_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="one of cifar10, digits, fashion_mnist, mnist. .*'mnits'"):
        arrays.load("mnits")
    with pytest.raises(ValueError, match="one of cifar10, .* Received: name=.'mnist'."):
        arrays.load(["mnist"])


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_read_from_a_prepared_folder(name: str, prepared: Path) -> None:
    images = arrays.load(name, prepared)
    assert images.name == name and images.classes == 10
    for x, y, labels in [
        (images.x_train, images.y_train, range(5)),
        (images.x_test, images.y_test, range(5, 8)),
    ]:
        assert x.dtype == np.float32 and y.dtype == np.int32
        assert sorted(y) == list(labels)
        np.testing.assert_array_equal(x, IMAGES[name][y].astype("float32") / np.float32(255))


def test_fashion_mnist_is_found_by_the_environment(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert len(arrays.load("fashion_mnist").x_train) == 5


def test_missing_data_set_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no dataset_info.json in .*fashion_mnist/<version>") as e:
        arrays.load("fashion_mnist", tmp_path)
    assert str(tmp_path) in str(e.value) and "\n" not in str(e.value)


def copy_of(source: Path, target: Path) -> Path:
    """A data set copied to a folder of its own; returns its TFRecord file of training images."""
    target.mkdir(parents=True)
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return next(target.glob("*-train.tfrecord*"))


def test_damaged_data_set_is_named(prepared: Path, tmp_path: Path) -> None:
    source = next(prepared.glob("fashion_mnist/*"))
    file = copy_of(source, tmp_path / "fashion_mnist" / source.name)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="'fashion_mnist' in .* is damaged: DataLossError") as e:
        arrays.load("fashion_mnist", tmp_path)
    assert "\n" not in str(e.value) and str(e.value).endswith(f"({file}, record 1)")


def test_damaged_record_is_numbered(prepared: Path, tmp_path: Path) -> None:
    source = next(prepared.glob("mnist/*"))
    file = copy_of(source, tmp_path / "mnist" / source.name)
    assert prepared_sets.damaged_record(tmp_path / "mnist") is None
    content = bytearray(file.read_bytes())
    content[-10] ^= 1  # within the last of five records
    file.write_bytes(bytes(content))
    assert prepared_sets.damaged_record(tmp_path / "mnist") == f"{file}, record 5"


@pytest.mark.parametrize(
    ("shape", "width", "parameters"),
    [((8, 8, 1), 32, 151_434), ((28, 28, 1), 32, 421_770), ((28, 28, 1), 8, 26_730)],
)
def test_cnn_has_the_documented_parameter_count(
    shape: tuple[int, int, int], width: int, parameters: int
) -> None:
    model = digits_cnn(shape, 10, width=width)
    left = model.get_layer("flatten").output.shape[1] // (2 * width)
    formula = (
        (9 * shape[2] + 5) * width
        + (9 * width + 1) * 2 * width
        + (2 * left * width + 1) * 4 * width
        + (4 * width + 1) * 10
    )
    assert model.count_params() == parameters == formula


def test_cnn_learns_one_batch() -> None:
    keras.utils.set_random_seed(0)
    digits = arrays.load("digits")
    model = digits_cnn(width=4)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    x, y = digits.x_train[:32], digits.y_train[:32]
    losses = model.fit(x, y, epochs=30, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (8, 8)}, "`input_shape` must be"),
        ({"input_shape": (3, 8, 1)}, "Received: input_shape=\\(3, 8, 1\\)"),
        ({"classes": 1}, "`classes` must be at least 2. Received: classes=1"),
        ({"width": 0}, "`width` must be at least 1. Received: width=0"),
    ],
)
def test_cnn_refuses_impossible_sizes(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        digits_cnn(**arguments)


def test_models_do_not_import_tfprune() -> None:
    code = "import sys, models; print('tfprune' in sys.modules)"
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
