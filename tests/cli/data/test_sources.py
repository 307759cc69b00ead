"""`tfprune prune --data`: examples from files, from functions of the user, and by name."""

import dataclasses
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.support.cli_runner import error_of, json_of
from tfprune.cli.data import sources
from tfprune.cli.data.task import task_for
from tfprune.cli.data_arguments import data_source

FUNCTIONS = """
import types
import numpy as np
import tensorflow as tf

random = np.random.default_rng(0)
X = random.normal(size=(40, 6)).astype("float32")
Y = X.argmax(axis=1)

def pair():
    return X, Y

def parts():
    return (X[:32], Y[:32]), (X[32:], Y[32:])

def stream():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)

def streams():
    return stream(), tf.data.Dataset.from_tensor_slices((X[:8], Y[:8])).batch(4)

def dataset():
    return types.SimpleNamespace(x_train=X, y_train=Y, x_test=X[:8], y_test=Y[:8])

def inputs_by_name():
    return {"first": X, "second": X}, Y

def failing():
    raise KeyError("no such column")

def alone():
    return X
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a classifier of six classes and a module of functions."""
    parts = [keras.Input((6,)), layers.Dense(16, activation="relu"), layers.Dense(6)]
    keras.Sequential(parts).save(tmp_path / "m.keras")
    (tmp_path / "own_data.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield tmp_path
    sys.modules.pop("own_data", None)


def prepared_in(folder):
    return sources.Reading(folder=str(folder))


def examples(count):
    x = np.random.default_rng(0).normal(size=(count, 6)).astype("float32")
    return x, x.argmax(axis=1)


@pytest.mark.parametrize("how", ["gradually", "in stages"])
def test_prune_trains_on_the_examples_of_a_file(folder, capsys, how):
    x, y = examples(400)
    np.savez(
        folder / "examples.npz", x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=y[300:]
    )
    options = ["--epochs", "20", "--learning-rate", "0.02", "--sparsity", "0.5"]
    options += ["--stages", "2"] if how == "in stages" else []
    found = json_of(capsys, "prune", "m.keras", "--data", "examples.npz", *options)
    training = found["training"]
    assert training["data"] == "examples.npz"
    assert training["steps"] == 20 * 5
    assert training["accuracy_after"] > 0.8
    assert found["report"]["prunable"]["sparsity"] == 0.5


def test_a_fifth_is_held_out_where_no_examples_are_for_tests(folder):
    x, y = examples(50)
    np.savez(folder / "examples.npz", x=x, y=y)
    first, again = (sources.load(("file", "examples.npz")) for _ in range(2))
    assert (first.train.count, first.test.count) == (40, 10)
    assert np.array_equal(first.test.x, again.test.x)
    together = np.concatenate([first.train.x, first.test.x])
    assert {row.tobytes() for row in together} == {row.tobytes() for row in x}
    assert np.array_equal(first.train.x.argmax(axis=1), first.train.y)


@pytest.mark.parametrize(
    "name, train, test",
    [
        ("pair", 32, 8),
        ("parts", 32, 8),
        ("stream", 32, 8),
        ("streams", 40, 8),
        ("dataset", 40, 8),
        ("inputs_by_name", 32, 8),
    ],
)
def test_functions_of_the_current_folder_give_examples_in_any_form(folder, name, train, test):
    found = sources.load(data_source(f"own_data:{name}"))
    assert (found.train.count, found.test.count) == (train, test)
    few = found.test.x["second"] if name == "inputs_by_name" else found.test.x
    assert np.array_equal(few.argmax(axis=1), found.test.y)


def test_prune_takes_a_function_with_inputs_by_name(folder, capsys):
    inputs = {name: keras.Input((6,), name=name) for name in ("first", "second")}
    joined = layers.Concatenate()(list(inputs.values()))
    keras.Model(inputs, layers.Dense(6, activation="softmax")(joined)).save("two.keras")
    given = ["two.keras", "--data", "own_data:inputs_by_name", "--sparsity", "0.5"]
    found = json_of(capsys, "prune", *given, "--epochs", "2")
    assert found["training"]["loss"] == "cross-entropy on probabilities"
    found = json_of(capsys, "prune", *given, "--stages", "1", "--scorer", "taylor")
    assert found["report"]["prunable"]["sparsity"] == 0.5


@pytest.mark.parametrize(
    "source, message",
    [
        ("no.npz", "no such file: 'no.npz'"),
        ("text.npz", "no .npz file, or a truncated one"),
        ("names.npz", "the arrays must be x and y, or x_train"),
        ("objects.npz", "Object arrays cannot be loaded"),
        ("uneven.npz", "as many targets"),
        ("words.npz", "must be class numbers of shape (n,), or one-hot of shape (n, 6)"),
        ("parts.npz", "must be class numbers"),
        ("wide.npz", "of shape (7,). Received: a model for inputs of shape (None, 6)"),
        ("many.npz", "one output for each of the 9 classes"),
        ("own_data:none", "'own_data' must have a function 'none'"),
        ("own_data:failing", "it fails: KeyError"),
        ("own_data:alone", "must have targets"),
        ("no_module:load", "module 'no_module' cannot be imported"),
        ("fashion_mnits", "no such data set is known to TensorFlow Datasets (did you mean"),
    ],
)
def test_wrong_data_is_one_line_and_nothing_is_written(folder, capsys, source, message):
    x, y = examples(10)
    (folder / "text.npz").write_text("hello")
    np.savez(folder / "names.npz", images=x, labels=y)
    np.savez(folder / "objects.npz", x=np.array([{}] * 10, object), y=y)
    np.savez(folder / "uneven.npz", x=x, y=y[:9])
    np.savez(folder / "words.npz", x=x, y=np.array(["cat"] * 10))
    np.savez(folder / "parts.npz", x=x, y=y / 10)
    np.savez(folder / "wide.npz", x=np.ones((10, 7), "float32"), y=y)
    np.savez(folder / "many.npz", x=x, y=np.where(y == 0, 8, 8))
    line = error_of(capsys, "prune", "m.keras", "--sparsity", "0.5", "--data", source)
    assert message in line
    assert not (folder / "m-pruned.keras").exists()


def test_a_bomb_of_arrays_is_refused_unread(folder, capsys, monkeypatch):
    np.savez_compressed(folder / "bomb.npz", x=np.zeros((300, 2**20), "uint8"), y=np.zeros(300))
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was read"))
    given = ["prune", "m.keras", "--sparsity", "0.5", "--data", "bomb.npz"]
    assert "is not read" in error_of(capsys, *given)


def test_labels_may_be_one_hot_or_columns_or_one_for_each_position():
    x, y = examples(20)
    parts = [keras.Input((6,)), layers.Dense(6)]
    model = keras.Sequential(parts)

    def labels(targets, model=model):
        part = sources.Examples(x, targets)
        return task_for(model, sources.Data("d", part, part)).data.train.y

    for targets in (y, y[:, None], np.eye(6)[y], y.astype("float32")):
        assert np.array_equal(labels(targets), y)
    steps = keras.Sequential([keras.Input((6,)), layers.Reshape((3, 2)), layers.Dense(4)])
    each = np.random.default_rng(0).integers(4, size=(20, 3))
    assert np.array_equal(labels(each, steps), each)


def test_models_with_several_outputs_are_told_that_one_is_needed():
    x, y = examples(20)
    inputs = keras.Input((6,))
    model = keras.Model(inputs, [layers.Dense(6)(inputs), layers.Dense(6)(inputs)])
    part = sources.Examples(x, y)
    with pytest.raises(ValueError, match="the model must give one output, of shape"):
        task_for(model, sources.Data("d", part, part))


def test_weights_of_examples_reach_training():
    x, y = examples(20)
    batches = tf.data.Dataset.from_tensor_slices((x, y, np.arange(20.0))).batch(5)
    part = sources.ExampleSource(batches).take(None)
    assert len(sources.Data("d", part, part).training) == 3
    assert len(sources.Data("d", dataclasses.replace(part, sample_weight=None), part).training) == 2


def test_names_need_the_package_that_knows_them(folder, capsys, monkeypatch):
    given = ["prune", "m.keras", "--sparsity", "0.5", "--data"]
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    line = error_of(capsys, *given, "mnist")
    assert "must be FILE.npz, FILE.csv, a folder that is there, or MODULE:FUNCTION" in line
    assert "pip install tensorflow-datasets" in line
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert "pip install scikit-learn" in error_of(capsys, *given, "digits")


def test_digits_need_no_checkout(monkeypatch):
    monkeypatch.setitem(sys.modules, "models", None)
    digits = sources.load(("set", "digits"))
    assert digits.train.x.shape == (1437, 8, 8, 1) and digits.train.x.max() == 1.0


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with two sets of TensorFlow Datasets, of which one has no training examples."""
    import tensorflow_datasets as tfds

    folder = tmp_path_factory.mktemp("data")
    images = np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1), dtype=np.uint8)
    for name, splits in (("fashion_mnist", ("train", "test")), ("mnist", ("test",))):
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="3.0.1",
            data_dir=str(folder / "tfds"),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            split_datasets={
                split: tf.data.Dataset.from_tensor_slices(
                    {"image": images, "label": np.arange(8) % 4}
                )
                for split in splits
            },
        )
    return folder, images


@pytest.mark.parametrize("inside", [False, True])
def test_named_sets_come_from_the_given_folder_of_tensorflow_datasets(prepared, inside):
    folder, images = prepared
    how = prepared_in(folder / "tfds" if inside else folder)
    found = sources.load(("set", "fashion_mnist"), how)
    assert found.train.x.dtype == np.float32
    assert np.array_equal(np.unique(found.train.x * 255), np.unique(images))
    assert sorted(found.test.y) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_named_sets_without_what_is_needed_are_refused_by_name(prepared):
    folder, _ = prepared
    with pytest.raises(ValueError, match="--data mnist: it must have a split 'train'"):
        sources.load(("set", "mnist"), prepared_in(folder))
    record = next((folder / "tfds" / "fashion_mnist").rglob("*test*.tfrecord*"))
    whole = record.read_bytes()
    record.write_bytes(whole[:100])
    with pytest.raises(ValueError, match="TensorFlow Datasets cannot read it: "):
        sources.load(("set", "fashion_mnist"), prepared_in(folder))
    record.write_bytes(whole)


def test_a_folder_belongs_to_a_name(folder, capsys):
    given = ["prune", "m.keras", "--sparsity", "0.5", "--data", "own_data:pair"]
    line = error_of(capsys, *given, "--data-dir", ".")
    assert "`--data-dir` needs the name of a data set" in line
