"""scripts/studies/fashion_export.py, run on small images, and its table."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

from scripts.lab.results_file import Job
from scripts.readme import fashion_table
from scripts.studies import fashion_export
from scripts.studies.fashion_cases import DENSE, FILES, MODELS, RECIPE, START, TIMED, File, Recipe
from tfprune.export.run import wasm

METHODS = ["blocks_16/int8/size", "aware_4/int8/size"]
SMALL = Recipe(width=4, epochs=2, batch_size=16, frequency=4, learning_rate=0.01, tuning_epochs=1)
SPENT = ("seconds", "cpu_seconds")


def records_in(folder):
    return json.loads((folder / "results.json").read_text())["records"]


def without_times(records):
    return [{k: v for k, v in record.items() if k not in SPENT} for record in records]


@pytest.fixture(scope="module")
def start(digits):
    """Return a function that runs the script in a folder, with no timing."""

    def run(folder, *more, methods=METHODS, runtimes=()):
        arguments = ["--out", f"{folder / 'results.json'}", "--models", f"{folder}", "--seeds"]
        arguments += ["0", "--methods", *methods, "--runtimes", *runtimes, *more]
        return fashion_export.main(arguments, SMALL, lambda name, where: digits)

    return run


@pytest.fixture(scope="module")
def pruned(start, tmp_path_factory):
    """Folder of a small run, which trained a model and pruned it."""
    folder = tmp_path_factory.mktemp("fashion")
    assert start(folder, methods=METHODS[:1]) == 0
    return folder


@pytest.fixture(scope="module")
def finished(pruned, start, tmp_path_factory):
    """Folder of the same run after it went on with fine-tuning in 4 bits."""
    folder = tmp_path_factory.mktemp("fashion")
    shutil.copytree(pruned, folder, dirs_exist_ok=True)
    assert start(folder) == 0
    return folder


@pytest.fixture
def copied(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def experiment(digits, copied):
    """The experiment of the small run, to make more models of it."""
    return fashion_export.Experiment(digits, SMALL, copied, None, None)


JOB = Job("any", 0.9, 0)


def kernels(model):
    return {la.name: la.kernel.numpy() for la in model.layers if hasattr(la, "kernel")}


def test_a_file_is_that_of_the_pruned_model(pruned):
    (record,) = records_in(pruned)
    assert record["method"] == METHODS[0]
    # Kept: the first convolution, a tenth of 288 weights and of 128 blocks of 16, the output layer.
    assert record["zeros"] == pytest.approx(1 - (36 + 29 + 13 * 16 + 64) / (36 + 288 + 2048 + 64))
    assert 0 < record["gzip_bytes"] < record["bytes"] < 20_000
    assert abs(record["accuracy"] - record["keras_accuracy"]) <= 0.1
    assert record["sparse_multiply_adds"] > 0


def test_models_are_trained_once_and_kept(finished, pruned):
    models = {file.stem for file in finished.glob("*.keras")}
    assert models == {"start-0-0", "blocks_16-0.9-0", "aware_4-0.9-0"}
    first, second = records_in(finished)
    assert [first] == records_in(pruned)
    assert second["model"] == "aware_4" and second["zeros"] >= first["zeros"]


def test_a_run_that_was_stopped_goes_on_to_the_same_figures(copied, start, monkeypatch):
    wanted, made = records_in(copied), []
    results = json.loads((copied / "results.json").read_text())
    results["records"].pop()
    (copied / "results.json").write_text(json.dumps(results))
    (copied / "aware_4-0.9-0.keras").unlink()
    make = fashion_export.Experiment._make
    monkeypatch.setattr(
        fashion_export.Experiment,
        "_make",
        lambda self, plan, job: made.append(plan.label) or make(self, plan, job),
    )
    assert start(copied) == 0
    assert made == [MODELS["aware_4"].label]
    assert without_times(records_in(copied)) == without_times(wanted)


def test_fine_tuning_in_4_bits_keeps_the_zeros_and_has_15_levels_a_channel(experiment):
    before = kernels(experiment.plain("blocks_16", JOB))
    after = kernels(experiment.plain("aware_4", JOB))
    assert any(not np.array_equal(before[name], after[name]) for name in before)
    for name, kernel in after.items():
        assert np.all(kernel[before[name] == 0] == 0)
        channels = kernel.reshape(-1, kernel.shape[-1]).T
        scales = np.abs(channels).max(axis=1, keepdims=True)
        levels = channels / np.where(scales > 0, scales, 1) * 7
        assert np.abs(levels - levels.round()).max() < 1e-4


def test_the_output_layer_is_pruned_where_no_rule_says_otherwise(experiment, copied):
    kept = {
        name: np.count_nonzero(kernels(experiment.plain(name, JOB))["logits"])
        for name in ("blocks_16", "blocks_16_all")
    }
    assert kept == {"blocks_16": 16 * 4, "blocks_16_all": 16}


def test_the_rounded_control_is_not_trained_after_the_rounding(experiment, copied):
    shutil.copy(copied / "blocks_16-0.9-0.keras", copied / "tuned-0.9-0.keras")
    control, rounded = (kernels(experiment.plain(n, JOB)) for n in ("tuned", "rounded_4"))
    for name, kernel in control.items():
        half_step = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1))) / 14
        assert np.all(np.abs(kernel - rounded[name]) <= half_step + 1e-6)
        assert len(np.unique(rounded[name][..., 0])) <= 15
    assert any(not np.array_equal(control[name], rounded[name]) for name in control)


def test_another_model_of_a_seed_is_refused(copied, start, capsys):
    file = copied / "blocks_16-0.9-0.keras"
    other = keras.saving.load_model(file, compile=False)
    other.set_weights([weight * 2 for weight in other.get_weights()])
    other.save(file)
    wanted = records_in(copied)
    assert start(copied, methods=["blocks_16/dynamic/size"]) == 2
    error = capsys.readouterr().err
    assert "from another 'blocks_16' model" in error and error.count("\n") == 1
    assert records_in(copied) == wanted


def test_files_are_timed_against_the_first(copied, start, monkeypatch):
    files = [File("blocks_16", None, None), FILES["blocks_16/int8/size"]]
    monkeypatch.setattr(fashion_export, "TIMED", files)
    assert start(copied, "--runs", "3", methods=METHODS[:1], runtimes=["native"]) == 0
    run = json.loads((copied / "results.json").read_text())
    found = [(timing["runtime"], timing["name"]) for timing in run["latencies"]]
    assert found == [("native", "blocks_16/float32"), ("native", "blocks_16/int8/size")]
    assert run["latencies"][0]["ratio"] == 1.0
    assert all(timing["median_ms"] > 0 for timing in run["latencies"])


def test_webassembly_is_asked_for_before_anything_is_trained(tmp_path, start, monkeypatch, capsys):
    def missing():
        raise ValueError("Node is not installed.")

    monkeypatch.setattr(wasm, "require", missing)
    assert start(tmp_path, runtimes=["wasm"]) == 2
    assert capsys.readouterr().err == "fashion_export: error: Node is not installed.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["--methods", "blocks_5/int8/x86"], ["--runs", "0"], ["--runtimes", "browser"]]
)
def test_a_wrong_argument_is_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        fashion_export.main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_every_file_is_made_once_a_seed_and_the_first_seed_is_timed():
    jobs = fashion_export.plan(list(FILES), [0.9, 0.95], [4, 5], ["native", "wasm"], 7)
    keys = [tuple(job.key.values()) for job in jobs]
    assert len(set(keys)) == len(keys)
    files = [key for key in keys if key[0] in FILES]
    dense = [name for name in FILES if FILES[name].model == DENSE]
    assert len(files) == 2 * (2 * len(FILES) - len(dense))
    assert {key[1] for key in files if key[0] in dense} == {0.0}
    timed = [key for key in keys if key not in files]
    assert timed == [
        (f"latency/{place}", sparsity, 4)
        for sparsity in (0.9, 0.95)
        for place in ("native", "wasm")
    ]


def test_models_are_compared_after_the_same_training():
    assert {MODELS[name].parent for name in (DENSE, "blocks_4", "blocks_16")} == {START}
    tuned, aware = MODELS["tuned"], MODELS["aware"]
    assert dataclasses.replace(aware, label=tuned.label, bits=None) == tuned
    assert dataclasses.replace(aware, label="", bits=4) == dataclasses.replace(
        MODELS["aware_4"], label=""
    )
    assert TIMED[0] == File(DENSE, None, None)
    assert [RECIPE.phase(phase)[0] for phase in range(3)] == [3, 6, 2]
    schedule = RECIPE.schedule(0.9, 60_000)
    assert schedule.end_step == round(0.75 * 6 * 469) and schedule(schedule.end_step) == 0.9


def row(method, sparsity, accuracy):
    values = {"keras_accuracy": 0.9, "accuracy": accuracy, "bytes": 1234.4, "gzip_bytes": 1000.0}
    measures = {**values, "sparse_multiply_adds": 0.098}
    found = {name: {"mean": value, "sd": 0.001} for name, value in measures.items()}
    return {"method": method, "sparsity": sparsity, "seeds": [0, 1], **found}


RUN = {
    "command": "python x",
    "versions": {"tfprune": "1"},
    "machine": {"cores": 2, "processor": "cpu"},
    "settings": {**dataclasses.asdict(RECIPE), "weights": 1000, "images": 20, "calibration": 5},
    "files": {
        name: {"quantize": None, "target": target, "label": label}
        for name, target, label in (
            ("dense", None, "dense"),
            ("a/x86", "x86", "blocks of 4"),
            ("missing", "x86", "blocks of 8"),
            ("a/size", "size", "blocks of 4"),
        )
    },
    "latencies": [
        {"name": name, "sparsity": 0.9, "runtime": runtime, "ratio": ratio}
        for name, runtime, ratio in (("dense", "native", 1.0), ("a/x86", "native", 1.256))
    ],
    "rows": [row("a/size", 0.9, 0.85), row("a/x86", 0.9, 0.86), row("dense", 0.0, 0.91)],
}


def test_the_table_has_one_row_a_file_under_the_name_of_its_model():
    headings, rows, about = fashion_table.fashion_export(RUN)
    in_keras, size = "90.00 ± 0.10", ["1,234", "1,000", "10 %"]
    assert rows == [
        ["dense", "None", "", in_keras, "91.00 ± 0.10", *size, "1.00", ""],
        ["90 %, blocks of 4", "None", "x86", in_keras, "86.00 ± 0.10", *size, "1.26", ""],
        ["", "None", "size", "", "85.00 ± 0.10", *size, "", ""],
    ]
    assert {len(cells) for cells in rows} == {len(headings)}
    assert "1,000 weights" in about and "3 epochs, then for 6 more" in about
    assert "`python x`" in about and "2 seeds" in about
