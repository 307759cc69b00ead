"""`tfprune prune --stages`: one-shot pruning from the command line, and gradual by gradients."""

import os
import shutil

import keras
import numpy as np
import pytest

from models.data import arrays
from tests.support.cli_runner import error_of, json_of
from tfprune import cli
from tfprune.cli.commands import models, one_shot
from tfprune.scorers import WoodFisher


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A file with a digits classifier of 832 prunable weights, trained to about 95 %."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.AveragePooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(32, name="hidden"),
        keras.layers.BatchNormalization(momentum=0.9, name="norm"),
        keras.layers.ReLU(),
        keras.layers.Dense(10, activation="softmax", name="out"),
    ]
    model = keras.Sequential(layers, name="net")
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    digits = arrays.load("digits")
    model.fit(digits.x_train, digits.y_train, batch_size=64, epochs=8, verbose=0)
    path = tmp_path_factory.mktemp("trained") / "model.keras"
    model.save(path)
    return path


@pytest.fixture
def model(trained, tmp_path):
    """A copy of it, alone in its folder."""
    return shutil.copy(trained, tmp_path / "model.keras")


def kernels(path):
    loaded = keras.saving.load_model(path, compile=False)
    return {name: loaded.get_layer(name).kernel.numpy() for name in ("hidden", "out")}


def sparsity(path):
    values = np.concatenate([kernel.reshape(-1) for kernel in kernels(path).values()])
    return np.mean(values == 0)


def test_the_documented_command_works_as_written(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = "prune model.keras --scorer woodfisher --data digits --sparsity 0.8 --stages 9"
    assert cli.main(command.split()) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "WoodFisher, 1,000 examples"
    assert [line.split()[0] for line in lines[2:11]] == [str(stage) for stage in range(1, 10)]
    assert "batch normalization refreshed on 1,000 examples" in lines[11]
    place = lines.index("Written: model-pruned.keras")
    assert lines[place + 1].startswith("Loss: cross-entropy on ")
    assert lines[place + 2].startswith("Test accuracy on digits: ")
    assert lines[place + 2].endswith(" pruned")
    assert sorted(os.listdir(tmp_path)) == ["model-pruned.keras", "model.keras"]
    assert sparsity("model-pruned.keras") == pytest.approx(0.8, abs=1e-3)


def test_json_holds_the_report_of_the_stages_and_the_accuracies(model, tmp_path, capsys):
    found = json_of(
        capsys,
        *("prune", model, "--scorer", "fisher", "--sparsity", "0.75", "-o", tmp_path / "o.keras"),
        *("--data", "digits", "--stages", "2", "--spacing", "linear", "--examples", "64"),
    )
    assert found["output"] == str(tmp_path / "o.keras") and found["training"] is None
    stages = found["one_shot"]
    assert (stages["scorer"], stages["examples"], stages["data"]) == ("Fisher", 64, "digits")
    assert [stage["sparsity"] for stage in stages["stages"]] == [0.375, 0.75]
    assert all(stage["predicted_change"] > 0 for stage in stages["stages"])
    assert stages["loss"] == "cross-entropy on probabilities"
    assert stages["batch_norm_examples"] == 64
    digits = arrays.load("digits")
    for key, path in (("accuracy_before", model), ("accuracy_after", tmp_path / "o.keras")):
        outputs = keras.saving.load_model(path).predict(digits.x_test, verbose=0)
        assert stages[key] == np.mean(outputs.argmax(axis=-1) == digits.y_test)
    assert 0.2 < stages["accuracy_after"] < stages["accuracy_before"] > 0.9
    assert found["report"]["prunable"]["sparsity"] == pytest.approx(0.75, abs=1e-3)


def test_weight_update_and_refresh_can_be_turned_off(model, tmp_path, capsys):
    before = kernels(model)

    def prune(*options):
        out = tmp_path / "o.keras"
        base = ["prune", model, "--scorer", "woodfisher", "--sparsity", "0.5", "-o", out]
        base += ["--data", "digits", "--stages", "1", "--examples", "100"]
        found = json_of(capsys, *base, *options)
        return kernels(out), found["one_shot"]["batch_norm_examples"]

    updated, refreshed = prune()
    assert refreshed == 100
    assert any((after != before[name])[after != 0].any() for name, after in updated.items())
    kept, refreshed = prune("--no-weight-update", "--no-batch-norm-refresh")
    assert refreshed == 0
    for name, after in kept.items():
        assert np.array_equal(after[after != 0], before[name][after != 0])


def test_epochs_after_stages_fine_tune_with_the_masks_kept(model, tmp_path, capsys, monkeypatch):
    masks = {}
    recover = one_shot.finetuning.recover

    def spy(pruned, *arguments):
        masks.update({n: pruned.get_layer(n).pruned[0].mask.numpy() for n in ("hidden", "out")})
        return recover(pruned, *arguments)

    monkeypatch.setattr(one_shot.finetuning, "recover", spy)
    options = ("--sparsity", "0.9", "--data", "digits", "--stages", "1", "--epochs", "3")
    found = json_of(capsys, "prune", model, *options, "--learning-rate", "0.01")
    training, stages = found["training"], found["one_shot"]
    assert (training["epochs"], training["end_step"]) == (3, 0)
    assert training["accuracy_before"] == stages["accuracy_after"]
    assert training["accuracy_after"] > stages["accuracy_after"] + 0.1
    for name, kernel in kernels(tmp_path / "model-pruned.keras").items():
        assert np.array_equal(kernel != 0, masks[name])
    assert cli.main(["prune", str(model), *options[:-1], "1"]) == 0
    assert " after 1 epoch\n" in capsys.readouterr().out


def test_data_without_stages_prunes_gradually_by_gradients(model, capsys, monkeypatch):
    seen = []
    score = WoodFisher.__call__

    def spy(self, weights, gradients):
        seen.append(gradients.examples)
        return score(self, weights, gradients)

    monkeypatch.setattr(WoodFisher, "__call__", spy)
    found = json_of(
        capsys,
        *("prune", model, "--scorer", "woodfisher", "--sparsity", "0.6", "--data", "digits"),
        *("--epochs", "1", "--examples", "50", "--learning-rate", "0.01"),
    )
    assert found["one_shot"] is None
    assert len(seen) > 5 and set(seen) == {50}
    assert found["training"]["accuracy_after"] > 0.8
    assert found["report"]["prunable"]["sparsity"] == pytest.approx(0.6, abs=1e-3)


def test_default_output_of_plain_pruning_stands_beside_the_model(model, tmp_path, capsys):
    assert cli.main(["prune", str(model), "--sparsity", "0.5"]) == 0
    out = tmp_path / "model-pruned.keras"
    assert f"Written: {out}" in capsys.readouterr().out
    assert sparsity(out) == 0.5


@pytest.mark.parametrize(
    "options, message",
    [
        (["--stages", "3"], "`--stages` needs a data set: give --data, such as --data digits"),
        (["--scorer", "fisher"], "`--scorer fisher` needs a data set to compute scores on"),
        (["--epochs", "3"], "`--epochs` needs a data set"),
        (["--no-weight-update"], "`--no-weight-update` needs a data set"),
        (["--data", "digits", "--spacing", "linear"], "`--spacing` needs --stages N"),
        (["--data", "digits", "--no-batch-norm-refresh"], "`--no-batch-norm-refresh` needs"),
        (
            ["--data", "digits", "--stages", "1", "--batch-size", "8"],
            "`--batch-size` needs --epochs N beside --stages",
        ),
        (["--data", "digits", "--stages", "0"], "--stages: must be an integer >= 1. Received: 0"),
        (["--data", "digits", "--examples", "1"], "--examples: must be an integer >= 2"),
        (["--data", "digits", "--stages", "1", "--spacing", "even"], "--spacing: invalid choice"),
        (
            ["--data", "digits", "--stages", "2", "--structure", "nofm:2:4", "--sparsity", "0.9"],
            "--sparsity must be <=",
        ),
        (["--data", "digits", "--stages", "1", "-o", "no/out.keras"], "must be writable"),
        (["--data", "digits", "--stages", "1", "-o", "out.h5"], "must end in .keras"),
    ],
)
def test_wrong_options_of_one_shot_are_one_line_and_write_nothing(
    model, tmp_path, monkeypatch, capsys, options, message
):
    def fail(*arguments, **options):
        raise AssertionError("examples were looked at")

    monkeypatch.setattr("tfprune.calibration.source.EvidenceSource.loss", fail)
    monkeypatch.chdir(tmp_path)
    base = [] if "--sparsity" in options else ["--sparsity", "0.5"]
    assert message in error_of(capsys, "prune", "model.keras", *base, *options)
    assert os.listdir(tmp_path) == ["model.keras"]


def test_the_default_output_is_checked_before_the_model_is_loaded(
    model, tmp_path, monkeypatch, capsys
):
    def fail(*arguments):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(models, "load", fail)
    (tmp_path / "model-pruned.keras").mkdir()
    options = ["--sparsity", "0.5", "--data", "digits", "--stages", "1"]
    assert "not a regular file" in error_of(capsys, "prune", model, *options)
    missing = tmp_path / "nowhere" / "model.keras"
    assert "no such file" in error_of(capsys, "prune", missing, *options)


def test_model_for_other_data_is_one_line(tmp_path, capsys):
    layers = [keras.Input((4,)), keras.layers.Dense(3)]
    keras.Sequential(layers).save(tmp_path / "m.keras")
    options = ["--sparsity", "0.5", "--data", "digits", "--stages", "2"]
    line = error_of(capsys, "prune", tmp_path / "m.keras", *options)
    assert "must take the inputs of 'digits'" in line
    assert os.listdir(tmp_path) == ["m.keras"]


def test_interrupt_while_scoring_writes_nothing(model, tmp_path, monkeypatch, capsys):
    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr("tfprune.calibration.source.EvidenceSource.loss", interrupt)
    options = ["--sparsity", "0.5", "--data", "digits", "--stages", "1"]
    assert cli.main(["prune", str(model), *options]) == 130
    assert capsys.readouterr().err == "tfprune prune: interrupted, nothing written\n"
    assert os.listdir(tmp_path) == ["model.keras"]


def test_help_shows_the_three_ways_and_which_scorers_need_no_data(capsys):
    with pytest.raises(SystemExit):
        cli.main(["prune", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "all but magnitude and random need --data" in text
    assert "--scorer woodfisher --data digits --sparsity 0.8 --stages 9" in text
    assert all(f" {way} " in text for way in ("at once", "in stages", "gradually"))
