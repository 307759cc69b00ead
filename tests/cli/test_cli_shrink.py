"""tfprune shrink: a smaller model, its plan, and what was measured of it."""

import keras
import numpy as np
import pytest

from tests.support.cli_runner import json_of
from tfprune import channels, cli
from tfprune.channels import planning
from tfprune.cli.commands import finetuning, one_shot, shrink
from tfprune.cli.data.sources import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shrink")
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(8, 3, name="conv"),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.Flatten(),
        keras.layers.Dense(16, "relu", name="hidden"),
        keras.layers.Dense(10, name="logits"),
    ]
    keras.Sequential(layers, name="digits").save(folder / "model.keras")
    return folder


def test_a_smaller_model_is_written_and_measured(folder, capsys):
    model, small, page = (str(folder / n) for n in ("model.keras", "a.keras", "plan.html"))
    found = json_of(capsys, "shrink", model, "--macs", "0.5", "-o", small, "--html", page)
    assert found["after"]["multiply_adds"] / found["before"]["multiply_adds"] == pytest.approx(
        0.5, rel=0.03
    )
    assert found["exact"] and found["difference"] < 1e-5
    assert found["bytes"]["after"] < found["bytes"]["before"]
    assert set(found["median_ms"]) == {"before", "after"} and found["speed_up"]
    loaded = keras.saving.load_model(small)
    assert loaded.count_params() == found["after"]["parameters"]
    assert "hidden" in (folder / "plan.html").read_text(encoding="utf-8")


def test_the_plan_and_the_accuracy_are_shown(folder, capsys):
    options = ["--sparsity", "0.5", "--scorer", "fisher", "--data", "digits", "--no-latency"]
    assert (
        cli.main(["shrink", str(folder / "model.keras"), *options, "--rule", "conv/.*=dense"]) == 0
    )
    text = capsys.readouterr().out
    assert "a rule keeps 'conv/.*'" in text and "accuracy on digits" in text
    assert keras.saving.load_model(folder / "model-small.keras").get_layer("hidden").units == 8


def test_the_smaller_model_learns_from_labels_and_from_a_teacher(folder, capsys):
    options = ["--macs", "0.5", "--data", "digits", "--epochs", "2", "--no-latency"]
    options += ["--learning-rate", "0.01", "-o", str(folder / "tuned.keras")]
    model = str(folder / "model.keras")
    found = json_of(capsys, "shrink", model, *options)["accuracy"]
    assert found["training"]["epochs"] == 2 and found["training"]["teacher"] is None
    assert found["after"] > found["cut"] + 0.2
    loaded = keras.saving.load_model(folder / "tuned.keras")
    assert not loaded.compiled  # the file holds the model alone
    test = load(("set", "digits")).test
    predicted = loaded.predict(test.x, verbose=0).argmax(-1)
    assert (predicted == test.y).mean() == pytest.approx(found["after"])
    # The model that was just tuned teaches another one.
    options[-1] = str(folder / "taught.keras")
    assert cli.main(["shrink", model, *options, "--teacher", str(folder / "tuned.keras")]) == 0
    shown = capsys.readouterr().out
    assert "the same after 2 epochs, with a teacher" in shown


@pytest.mark.parametrize("command", ["prune", "shrink"])
def test_the_original_teaches_by_default(folder, capsys, monkeypatch, command):
    taught = []
    real = finetuning.distill
    monkeypatch.setattr(finetuning, "distill", lambda *pair: taught.append(pair) or real(*pair))
    how = {"prune": ["--sparsity", "0.5"], "shrink": ["--macs", "0.5", "--no-latency"]}[command]
    model, output = str(folder / "model.keras"), str(folder / "out.keras")
    options = [*how, "--data", "digits", "--epochs", "1", "--distill", "-o", output]
    found = json_of(capsys, command, model, *options)
    ((student, teacher),) = taught
    assert teacher.get_layer("hidden").units == 16 and student is not teacher
    assert (found.get("training") or found["accuracy"]["training"])["teacher"] == model


@pytest.mark.parametrize("command", ["prune", "stages", "shrink"])
def test_a_teacher_of_other_outputs_is_refused_before_anything_is_made(
    folder, capsys, monkeypatch, command
):
    for module, name in ((shrink, "plan"), (one_shot, "one_shot"), (finetuning, "_fit")):
        monkeypatch.setattr(module, name, None)
    other = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    other.save(folder / "other.keras")
    how = {
        "prune": ["prune", "--sparsity", "0.5"],
        "stages": ["prune", "--sparsity", "0.5", "--scorer", "fisher", "--stages", "2"],
        "shrink": ["shrink", "--macs", "0.5", "--no-latency"],
    }[command]
    options = ["--data", "digits", "--epochs", "1", "--teacher", str(folder / "other.keras")]
    model, output = str(folder / "model.keras"), str(folder / "never.keras")
    assert cli.main([how[0], model, *how[1:], *options, "-o", output]) == 2
    assert "teacher must have the outputs of the student" in capsys.readouterr().err


def test_a_budget_of_latency_goes_to_the_plan(folder, capsys, monkeypatch):
    def meet(choice, budget, timed):
        assert budget == 0.25
        measured = channels.Latency(0.5, 0.25, 2.0, 1.9, 2.1, "by hand")
        return choice.widths(choice.most // 2), measured

    monkeypatch.setattr(planning, "meet_latency", meet)
    options = ["--latency-ms", "0.25", "--no-latency", "-o", str(folder / "fast.keras")]
    found = json_of(capsys, "shrink", str(folder / "model.keras"), *options)
    assert found["latency"]["after_ms"] == 0.25 and found["latency"]["how"] == "by hand"


def test_a_training_that_ends_in_nan_writes_nothing(folder, tmp_path, capsys):
    data, new = tmp_path / "nan.npz", tmp_path / "new.keras"
    np.savez(data, x=np.full((40, 8, 8, 1), np.nan, "float32"), y=np.arange(40) % 10)
    command = ["shrink", str(folder / "model.keras"), "--macs", "0.5", "--data", str(data)]
    assert cli.main([*command, "--epochs", "1", "--no-latency", "-o", str(new)]) == 2
    error = capsys.readouterr().err
    assert "training must end with finite weights" in error and "nothing was written" in error
    assert not new.exists()


@pytest.mark.parametrize("difference", [0.5, float("inf"), float("nan")])
@pytest.mark.parametrize("options", [[], ["--json"]], ids=str)
def test_a_model_that_disagrees_is_not_written(folder, capsys, monkeypatch, options, difference):
    monkeypatch.setattr(shrink, "verify", lambda *models: difference)
    output = folder / "wrong.keras"
    options = ["--macs", "0.5", "--no-latency", "-o", str(output), *options]
    assert cli.main(["shrink", str(folder / "model.keras"), *options]) == 2
    shown = capsys.readouterr()
    assert f"a difference of {difference:.2g} of the largest output" in shown.out + shown.err
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "one of the arguments --sparsity --macs --parameters --latency-ms is required"),
        (["--latency-ms", "0"], "milliseconds > 0"),
        (["--latency-ms", "1", "--macs", "0.5"], "not allowed with argument"),
        (["--macs", "2"], "2"),
        (["--sparsity", "0.5", "--macs", "0.5"], "not allowed with argument"),
        (["--macs", "0.5", "--scorer", "taylor"], "needs a data set"),
        (["--macs", "0.5", "--epochs", "3"], "`--epochs` needs a data set"),
        (["--macs", "0.5", "--data", "digits", "--distill"], "`--distill` needs --epochs N"),
        (
            ["--macs", "0.5", "--data", "digits", "--epochs", "3", "--teacher", "no.keras"],
            "no.keras",
        ),
        (["--macs", "0.0001"], "at most"),
        (["--macs", "0.5", "-o", "small.tflite"], "must end in .keras"),
    ],
    ids=str,
)
def test_wrong_options_are_refused_in_one_line(folder, capsys, options, message):
    try:
        status = cli.main(["shrink", str(folder / "model.keras"), *options])
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err.strip()
    assert status == 2 and message in error and "\n" not in error
