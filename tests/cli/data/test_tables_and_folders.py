"""`--data FILE.csv` and `--data DIR`: what is read, what is said of it, and one line for errors."""

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tests.support.cli_runner import error_of, json_of
from tfprune import cli
from tfprune.cli.data import image_folders, tables

COLORS = {"cat": 0, "dog": 1, "owl": 2}  # the channel that is bright


def write_images(folder, classes, count=4, low=0):
    random = np.random.default_rng(low)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(low, 80, (10, 12, 3))
            pixels[..., COLORS[name]] += 120
            keras.utils.save_img(folder / name / f"{number}.png", pixels, scale=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with models of one, two and three outputs, tables and images."""
    monkeypatch.chdir(tmp_path)
    for outputs, activation in ((1, None), (2, "softmax")):
        dense = layers.Dense(outputs, activation=activation, name="out")
        keras.Sequential([keras.Input((3,)), layers.Dense(8, name="hidden"), dense]).save(
            f"{outputs}.keras"
        )
    stack = [layers.Flatten(), layers.Dense(3, activation="softmax", name="out")]
    keras.Sequential([keras.Input((8, 8, 3)), *stack]).save("images.keras")
    x = np.random.default_rng(0).normal(size=(40, 3))
    rows = [[f"{value:.4f}" for value in row] for row in x]
    price = [",".join([*row, f"{value:.4f}"]) for row, value in zip(rows, x @ [1, 2, 3])]
    (tmp_path / "price.csv").write_text("\n".join(["a,b,c,price", *price]))
    side = [";".join([*row, "left" if row[0][0] == "-" else "right"]) for row in rows]
    (tmp_path / "side.csv").write_text("\n".join(side))
    write_images(tmp_path / "photos", COLORS)
    return tmp_path


def read(text, shape=None, **options):
    with open("t.csv", "w", encoding="utf-8") as file:
        file.write(text)
    return tables.read("t.csv", shape, **options)


def test_labels_are_the_last_column_or_a_named_one_and_a_header_is_found(folder):
    (x, y), classes, remarks = read("a,b,y\n1,2,3\n4,5,6\n")
    assert x.tolist() == [[1, 2], [4, 5]] and y.tolist() == [3, 6] and classes == ()
    assert remarks == ("labels are column y",)
    for label in ("b", "2"):
        (x, y), _, _ = read("a,b,y\n1,2,3\n4,5,6\n", label=label)
        assert x.tolist() == [[1, 3], [4, 6]] and y.tolist() == [2, 5]
    (x, y), _, _ = read("1\t2\t3\n\n4\t5\t6\n")
    assert x.tolist() == [[1, 2], [4, 5]] and y.tolist() == [3, 6]


def test_words_are_classes_in_alphabetical_order_which_is_said(folder):
    (_, y), classes, (remark,) = read("1,2,owl\n3,4,cat\n5,6,owl\n")
    assert y.tolist() == [1, 0, 1] and classes == ("cat", "owl")
    assert remark == "labels are column 3: cat = 0, owl = 1"


def test_inputs_get_the_shape_of_the_model_and_may_come_alone(folder):
    (x, _), _, _ = read("1,2,3,4,0\n5,6,7,8,1\n", (None, 2, 2, 1))
    assert x.shape == (2, 2, 2, 1) and x[1].ravel().tolist() == [5, 6, 7, 8]
    (x,), _, remarks = read("1,2\n3,4\n", (None, 2), labels=False)
    assert x.tolist() == [[1, 2], [3, 4]] and remarks == ("all 2 columns are inputs",)


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("a,y\n1,2\nx,4\n", {}, "line 3, column a: it must be a number. Received: 'x'"),
        ("a,y\n1,2\n\n,4\n", {}, "line 4, column a: it must be a number. Received: ''"),
        ("a,y\n1,2\nnan,4\n", {}, "line 3, column a: it must be a number. Received: 'nan'"),
        ("a,y\n1,2\n3,\n", {}, "line 3, column y: the label is missing"),
        ("a,y\n1,2\n3,cat\n", {}, "line 3, column y: it must be a number. Received: 'cat'"),
        ("a,y\n1,2\n3,4,5\n", {}, "line 3 must have 2 cells. Received: 3"),
        ("1,2\n", {}, "at least two lines. Received: 1"),
        ("a,price\n1,2\n", {"label": "prize"}, "must be a column, did you mean 'price'? Received"),
        ("1,2\n3,4\n", {"shape": (None, 2)}, "a column must be left for the labels"),
    ],
)
def test_bad_tables_are_told_with_the_line(folder, text, options, message):
    with pytest.raises(ValueError, match="^.*") as error:
        read(text, **options)
    assert message in str(error.value)


def test_prune_learns_from_a_table_and_says_loss_and_labels(folder, capsys):
    given = ["prune", "1.keras", "--sparsity", "0.5", "--data", "price.csv", "--epochs", "20"]
    assert cli.main([*given, "--learning-rate", "0.05"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Data: labels are column price" in lines
    assert "Data: 8 of its 40 examples are held out for tests" in lines
    assert any(line.startswith("Loss: mean squared error, by the model's out") for line in lines)
    found = json_of(capsys, *given, "--loss", "huber", "--label", "price")["training"]
    assert found["loss"] == "huber" and found["loss_after"] < found["loss_before"]


def test_words_of_a_table_are_told_apart(folder, capsys):
    given = ["2.keras", "--sparsity", "0.5", "--data", "side.csv", "--val", "side.csv"]
    found = json_of(capsys, "prune", *given, "--epochs", "30", "--learning-rate", "0.05")
    assert found["training"]["accuracy_after"] > 0.9
    found = json_of(capsys, "prune", *given, "--stages", "1", "--scorer", "fisher")
    assert found["one_shot"]["loss"] == "cross-entropy on probabilities"
    (folder / "other.csv").write_text("1;2;3;left\n1;2;3;up\n")
    line = error_of(capsys, "prune", *given[:-1], "other.csv")
    assert "--val other.csv: its classes must be among those of --data, left, right" in line


def test_images_are_resized_to_the_models_input_and_keep_their_values(folder):
    (x, y), test, classes, (remark,) = image_folders.read("photos", (None, 8, 8, 3))
    assert x.shape == (12, 8, 8, 3) and test is None and classes == tuple(COLORS)
    assert (x.mean(axis=(1, 2)).argmax(axis=1) == y).all() and 100 < x.max() <= 255
    assert remark == (
        "images of 8 x 8 pixels with values from 0 to 255, classes cat = 0, dog = 1, owl = 2"
    )
    (scaled, _), _, _, (remark,) = image_folders.read("photos", (None, 8, 8, 3), scale=1 / 255)
    assert np.allclose(scaled * 255, x, atol=1e-3) and "from 0 to 1," in remark
    (gray, _), _, _, _ = image_folders.read("photos", (None, 4, 4, 1))
    assert gray.shape == (12, 4, 4, 1)


def test_prune_and_shrink_and_export_take_folders_of_images(folder, capsys):
    data = ["--data", "photos", "--scale", "1/255"]
    found = json_of(
        capsys, "prune", "images.keras", "--sparsity", "0.5", *data, "--epochs", "30",
        "--learning-rate", "0.02", "--val", "photos",
    )  # fmt: skip
    assert found["training"]["accuracy_after"] == 1.0
    assert cli.main(["export", "images.keras", "--quantize", "int8", *data]) == 0
    assert capsys.readouterr().out.endswith("Written: images.tflite\n")
    stack = [layers.Conv2D(8, 3, name="conv"), layers.Flatten(), layers.Dense(3, name="out")]
    keras.Sequential([keras.Input((8, 8, 3)), *stack]).save("conv.keras")
    options = ["--macs", "0.5", "--scorer", "taylor", "--no-latency", *data]
    assert json_of(capsys, "shrink", "conv.keras", *options)["accuracy"]["measure"] == "accuracy"


def test_train_and_val_folders_are_what_their_names_say(folder):
    write_images(folder / "split" / "train", COLORS, low=1)
    write_images(folder / "split" / "val", COLORS, count=2, low=2)
    train, test, _, _ = image_folders.read("split", (None, 8, 8, 3))
    assert (len(train[0]), len(test[0])) == (12, 6)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--data", "nothing/"], "no such folder: 'nothing/'"),
        (["--data", "no/photos"], "there is no such folder or .npz or .csv file: no/photos"),
        (["--data", "empty"], "'empty' must hold a folder of images for each class"),
        (["--data", "bare"], "Received: cat (0 images), dog (0 images)"),
        (["--data", "broken"], "an image cannot be read: "),
        (["--data", "photos", "--scale", "0"], "--scale: must be a number > 0, such as 1/255"),
        (["--data", "photos", "--label", "y"], "`--label` needs a .csv file as --data"),
        (["--data", "price.csv", "--scale", "2"], "`--scale` needs a folder of images"),
        (["--val", "photos"], "`--val` needs a data set: give --data"),
        (["--data", "photos", "--loss", "mean_square_error"], "did you mean 'mean_squared_error'?"),
        (["--data", "photos", "--loss", "huber"], "must be numbers of shape (n, 3)"),
    ],
)
def test_wrong_folders_and_options_are_one_line(folder, capsys, options, message):
    (folder / "empty").mkdir()
    for name in ("bare/cat", "bare/dog", "broken/cat", "broken/dog"):
        (folder / name).mkdir(parents=True)
    for name in ("cat", "dog"):
        (folder / "broken" / name / "1.png").write_text("hello")
    line = error_of(capsys, "prune", "images.keras", "--sparsity", "0.5", *options)
    assert message in line
    assert not (folder / "images-pruned.keras").exists()


def test_tables_of_the_wrong_width_are_one_line(folder, capsys):
    line = error_of(capsys, "prune", "images.keras", "--sparsity", "0.5", "--data", "price.csv")
    assert "of shape (3,). Received: a model for inputs of shape (None, 8, 8, 3)" in line


@pytest.mark.parametrize("scorer", ["reconstruction", "synflow"])
def test_scorers_that_look_at_no_loss_take_inputs_alone(folder, capsys, scorer):
    np.savez("x.npz", x=np.ones((10, 3), "float32") * np.arange(10)[:, None])
    given = ["prune", "2.keras", "--sparsity", "0.5", "--data", "x.npz", "--stages", "1"]
    found = json_of(capsys, *given, "--scorer", scorer)
    assert found["report"]["prunable"]["sparsity"] == 0.5
    assert "accuracy_before" not in found["one_shot"]
    assert "the arrays must be x and y" in error_of(capsys, *given, "--scorer", "fisher")
    assert "the arrays must be x and y" in error_of(capsys, *given[:-2])


@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x.csv"])
def test_export_calibrates_on_inputs_alone(folder, capsys, name):
    x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    np.savez("x.npz", x=x)
    np.save("x.npy", x)
    np.savetxt("x.csv", x, delimiter=",")
    found = json_of(capsys, "export", "2.keras", "--quantize", "int8", "--data", name)
    assert found["quantize"] == "int8"
    both = ["--data", name, "--representative-data", "x.npy"]
    assert "exclude" in error_of(capsys, "export", "2.keras", "--quantize", "int8", *both)


def test_own_data_need_the_package_and_what_it_requires_alone(folder):
    root = os.path.dirname(os.path.dirname(tfprune.__file__))
    (folder / "plain").mkdir()
    os.symlink(os.path.join(root, "tfprune"), folder / "plain" / "tfprune")
    code = """
        import sys
        sys.modules |= dict.fromkeys(["tensorflow_datasets", "sklearn", "models", "scripts"])
        from tfprune import cli
        given = ["--sparsity", "0.5", "--stages", "1"]
        status = cli.main(["prune", "2.keras", "--data", "side.csv", *given])
        status += cli.main(["prune", "images.keras", "--data", "photos", *given])
        status += cli.main(["export", "images-pruned.keras", "--quantize=int8", "--data", "photos"])
        sys.exit(status)
    """
    environment = {**os.environ, "PYTHONPATH": str(folder / "plain")}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (folder / "images-pruned.tflite").exists()


def test_accuracy_that_falls_comes_with_advice(folder, capsys):
    data = ["--data", "photos", "--val", "photos", "--scale", "1/255"]
    trained = ["--sparsity", "0", "--epochs", "30", "--learning-rate", "0.02", *data]
    assert cli.main(["prune", "images.keras", *trained, "-o", "good.keras"]) == 0
    assert "Accuracy fell" not in capsys.readouterr().out
    options = ["--sparsity", "0.98", "--scorer", "random", "--stages", "1"]
    assert cli.main(["prune", "good.keras", *options, *data]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("Accuracy fell by ") and "--epochs 5 --distill" in line
    assert "--sparsity 0.96 to remove less" in line and "another --scorer than random" in line
