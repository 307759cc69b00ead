"""scripts/studies/survey, run on a small network and the digits."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest

from models.data import arrays
from scripts.studies.survey import command, published, recipes, runs, survey_plot, survey_table
from scripts.studies.survey.networks import LONG, NETWORKS, Network, Strength
from scripts.studies.survey.tasks import Classifier
from tfprune.export.run import micro

METHODS = {
    "pruning": Strength({"sparsity": 0.9}),
    "clustering": Strength({"levels": 4}),
    "int8": Strength(),
}


def _network():
    layers = keras.layers
    parts = [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(32, "relu")]
    return keras.Sequential([*parts, layers.Dense(10)])


def _digits(folder, weights):
    return Classifier(arrays.load("digits"), _network, batch_size=32)


TINY = Network("tiny", _digits, "adam", 3e-3, 176, METHODS, dense_steps=132)


def _benchmark(files, *, runs, runtime):
    """As long as there are bytes: processes that time files take seconds."""
    sizes = [Path(file).stat().st_size for file in files.values()]
    return [SimpleNamespace(median_ms=size, ratio=sizes[0] / size) for size in sizes]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("survey")
    arguments = ["--out", str(folder / "survey.json"), "--checkpoints", str(folder)]
    arguments += ["--networks", "tiny", "--runs", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "NETWORKS", {"tiny": TINY})
        patch.setattr(command, "ORDER", (("tiny", 0, None),))
        patch.setattr(runs.wasm, "is_installed", lambda: False)
        patch.setattr(runs.tfprune.export, "benchmark", _benchmark, raising=False)
        for _ in range(2):  # the second time nothing is left to do
            assert command.main(arguments) == 0
    assert (folder / "survey.png").stat().st_size > 1000
    return json.loads((folder / "survey.json").read_text())


def _records(run):
    return {record["method"].split()[1]: record for record in run["records"]}


def test_every_method_is_run_once_and_its_file_says_what_its_model_says(run):
    assert list(_records(run)) == ["dense", *METHODS]
    assert len(run["records"]) == 1 + len(METHODS)
    assert all(record["agreement"] >= 0.97 for record in run["records"])
    dense = _records(run)["dense"]
    for record in run["records"]:  # each file in turns with the dense one
        assert record["native_ratio"] == dense["bytes"] / record["bytes"]


def test_sizes_are_those_of_the_methods_and_training_brings_accuracy_back(run):
    found = _records(run)
    kernels = 64 * 32 + 32 * 10
    assert found["pruning"]["nonzeros"] <= 0.1 * kernels + 42 + 1
    assert found["pruning"]["after"] > found["pruning"]["before"] + 0.05
    assert found["int8"]["bytes"] < 0.6 * found["dense"]["bytes"]
    assert found["dense"]["before"] is None and found["dense"]["trained_steps"] == 0
    if micro.is_installed():
        assert found["clustering"]["micro_bytes"] < found["clustering"]["bytes"]
        assert found["clustering"]["micro_agreement"] >= 0.9


def test_the_table_has_a_row_a_method_and_says_what_is_missing(run):
    networks = {**run["networks"], "resnet20": "ResNet-20", "lenet_300_100": "LeNet-300-100"}
    headings, rows, about = survey_table.survey({**run, "networks": networks})
    assert [row[1] for row in rows][:2] == ["dense", "pruning"]
    assert all(len(row) == len(headings) for row in rows)
    assert "Not measured: ResNet-20, LeNet-300-100." in about
    assert about.count("**not measured**") == 3 and "(a − a*) / a*" in about
    assert survey_table.space_saving(4, 1) == 0.75


def test_a_goal_that_is_missed_is_said_to_be():
    def row(name, after, stored):
        values = {"after": after, "bytes": stored, "parameters": 100}
        return {"method": name, **{k: {"mean": v, "sd": None} for k, v in values.items()}}

    rows = [row("resnet20 dense", 0.92, 1200), row("resnet20 ternary", 0.91, 100)]
    labels = {name: label for name, (label, _) in recipes.RECIPES.items()}
    networks = {name: network.label for name, network in NETWORKS.items()}
    run = {"networks": networks, "labels": labels}
    ternary, binary, _ = survey_table.goals({**run, "rows": rows})
    assert "1.00 points, file 12.0 times smaller" in ternary and "missed" not in ternary
    assert binary.endswith("**not measured**")
    rows.append(row("resnet20 binary", 0.88, 60))
    assert survey_table.goals({**run, "rows": rows})[1].endswith("**missed**")


def test_a_published_figure_names_its_family_and_its_source():
    for figure in published.PUBLISHED:
        assert figure.family in recipes.RECIPES and "arXiv" in figure.source
    _, rows, about = survey_table.published()
    assert len(rows) == len(published.PUBLISHED) and about.startswith("Published")


def test_lines_of_code_are_counted_from_the_recipe_itself():
    def recipe(model):
        """Two lines."""

        # a comment
        first = model
        return first

    assert recipes.lines_of(recipe) == 2
    assert all(recipes.lines_of(each) <= 8 for _, each in recipes.RECIPES.values())


def test_recipes_use_the_public_interface_alone():
    with open(recipes.__file__, encoding="utf-8") as file:
        imported = re.findall(r"^(?:from|import) (tfprune\S*)", file.read(), re.MULTILINE)
    assert sorted(set(imported)) == ["tfprune", "tfprune.export"]


def test_jobs_come_in_the_order_of_their_value_and_each_once():
    jobs = command.jobs_of(list(NETWORKS), list(recipes.RECIPES))
    assert len({(job.method, job.seed) for job in jobs}) == len(jobs)
    names = [job.method for job in jobs]
    assert names[0] == "lenet_5 dense"
    assert names.index("resnet20 ternary") < names.index("resnet20 pruning")
    long = next(job for job in jobs if job.method == "resnet20 binary")
    assert long.options["steps"] == LONG["resnet20"]["binary"].steps
    assert all(network in NETWORKS for network, _, _ in command.ORDER)


def test_a_wrong_network_is_one_line(capsys):
    with pytest.raises(SystemExit):
        command.main(["--networks", "alexnet"])
    assert capsys.readouterr().err.count("\n") == 1


def test_the_picture_leaves_out_networks_of_two_rows(tmp_path, run):
    survey_plot.write({**run, "rows": run["rows"][:2]}, tmp_path / "none.png")
    assert (tmp_path / "none.png").exists()
