"""models/data/imagenet.py: on TFDS's mock data, and on a prepared data set of a few images."""

import io

import numpy as np
import pytest

from models import imagenet_batches

tfds = pytest.importorskip("tensorflow_datasets")


def jpeg(pixels):
    import keras

    buffer = io.BytesIO()
    keras.utils.array_to_img(pixels, scale=False).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def bordered(index):
    """An image of one gray, index 0 to 7, with a white border where a test image is not cut."""
    height, width = (64, 96) if index % 2 else (96, 64)
    pixels = np.full((height, width, 3), 255.0)
    top, left = (height - 40) // 2, (width - 40) // 2
    pixels[top : top + 40, left : left + 40] = 20.0 * index
    return jpeg(pixels)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A TFDS folder with an ImageNet of eight training and five validation images."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("tfds")
    tfds.dataset_builders.store_as_tfds_dataset(
        name="imagenet2012",
        version="5.1.0",
        data_dir=str(folder),
        features=tfds.features.FeaturesDict(
            {
                "file_name": tfds.features.Text(),
                "image": tfds.features.Image(encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(num_classes=1000),
            }
        ),
        split_datasets={
            split: tf.data.Dataset.from_tensor_slices(
                {
                    "file_name": [f"{index}.JPEG" for index in range(count)],
                    "image": [bordered(index) for index in range(count)],
                    "label": np.arange(count) + 100,
                }
            ).map(lambda x: {**x, "image": tf.io.decode_jpeg(x["image"], channels=3)})
            for split, count in (("train", 8), ("validation", 5))
        },
    )
    return folder


def labels_of(batches):
    return [labels.tolist() for _, labels in batches.as_numpy_iterator()]


@pytest.fixture
def mock(tmp_path):
    """A folder that passes for a prepared one, as the examples of mock data are in no file."""
    folder = tmp_path / "imagenet2012" / "5.1.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    return tmp_path


@pytest.mark.filterwarnings("ignore")  # TFDS's own, of its generator of mock examples
@pytest.mark.parametrize(("training", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_mock_data_of_tfds_comes_in_batches(mock, training, sizes):
    with tfds.testing.mock_data(num_examples=10):
        batches = imagenet_batches("train", data_dir=mock, size=48, batch_size=4, training=training)
        found = list(batches.as_numpy_iterator())
    assert [len(labels) for _, labels in found] == sizes
    for images, labels in found:
        assert images.shape == (len(labels), 48, 48, 3) and images.dtype == np.float32
        assert labels.dtype == np.int64 and labels.min() >= 0 and labels.max() < 1000
        assert -1 <= images.min() < -0.5 and 0.5 < images.max() <= 1


def test_test_images_are_the_squares_in_the_middle_in_the_order_of_the_files(prepared):
    # 32 pixels of 64 a side: all of the gray square's inside, nothing of its border.
    batches = imagenet_batches("validation", data_dir=prepared, size=32, batch_size=2)
    found = list(batches.as_numpy_iterator())
    labels = np.concatenate([labels for _, labels in found])
    images = np.concatenate([images for images, _ in found])
    assert sorted(labels) == list(range(100, 105)) and images.shape == (5, 32, 32, 3)
    for image, label in zip(images, labels, strict=True):
        np.testing.assert_allclose(image, 20.0 * (label - 100) / 127.5 - 1, atol=0.05)
    assert labels_of(batches) == [batch.tolist() for _, batch in found]


def test_training_images_differ_in_each_pass_and_a_seed_repeats_them(prepared):
    def make(seed):
        return imagenet_batches(
            "train", data_dir=prepared, size=16, batch_size=4, training=True, seed=seed
        )

    def passes(batches):
        return [list(batches.as_numpy_iterator()) for _ in range(2)]

    first, again, other = passes(make(1)), passes(make(1)), passes(make(2))
    for one, two in zip(sum(first, []), sum(again, []), strict=True):
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])
    orders = [np.concatenate([labels for _, labels in each]) for each in (*first, *other)]
    assert all(sorted(order) == list(range(100, 108)) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert not np.array_equal(first[0][0][0], first[1][0][0])


def test_a_part_of_a_split_is_read(prepared):
    assert len(sum(labels_of(imagenet_batches("validation[:3]", data_dir=prepared)), [])) == 3


def test_a_missing_data_set_says_where_it_was_looked_for_and_how_to_get_it(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`data_dir` must hold .*'imagenet2012'") as error:
        imagenet_batches("train", data_dir=tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("models.data.prepared._SHARED", tmp_path / "shared")
    with pytest.raises(ValueError, match="is not prepared in .* or .*shared") as searched:
        imagenet_batches("train")
    for message in (str(error.value), str(searched.value)):
        assert str(tmp_path) in message and "\n" not in message
        assert "ILSVRC2012_img_train.tar" in message and "tfds build imagenet2012" in message


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [
        ("test", {}, "`split` must be 'train', 'validation' or a part of one. Received: split='t"),
        ("validation", {"size": 0}, "`size` must be an integer of at least 1. Received: size=0"),
        (None, {}, "`split` must be .*Received: split=None"),
        ("train", {"size": 2.5}, "`size` must be an integer of at least 1. Received: size=2.5"),
        ("train", {"batch_size": 0}, "`batch_size` must be an integer of at least 1"),
        ("train", {"seed": -1}, "`seed` must be an integer of at least 0"),
        ("train", {"shuffle_buffer": 0}, "`shuffle_buffer` must be an integer of at least 1"),
        ("train[:x]", {}, "'imagenet2012' in .* has no readable split 'train.:x.': "),
    ],
)
def test_impossible_arguments_are_refused_in_one_line(prepared, split, options, message):
    with pytest.raises(ValueError, match=message) as error:
        imagenet_batches(split, data_dir=prepared, **options)
    assert "\n" not in str(error.value)
