"""scripts/studies/gradual_comparison.py, run on small images."""

import json

import keras
import numpy as np
import pytest

from scripts.lab import tables
from scripts.studies import gradual_comparison


def records_in(path):
    return json.loads(path.read_text())["records"]


RECIPE = gradual_comparison.Recipe(
    width=2, dense_epochs=2, epochs=3, batch_size=16, learning_rate=0.01, updates=3, examples=16
)


def gradual_arguments(folder, *more):
    return [
        "--out",
        f"{folder / 'results.json'}",
        "--checkpoints",
        f"{folder / 'dense'}",
        "--sparsities",
        "0.75",
        *more,
    ]


@pytest.fixture(scope="module")
def gradual_run(digits, tmp_path_factory):
    """Folder of a small run with two scorers."""
    folder = tmp_path_factory.mktemp("gradual")
    arguments = gradual_arguments(folder, "--seeds", "0", "--methods", "magnitude", "taylor")
    assert gradual_comparison.main(arguments, RECIPE, lambda name, where: digits) == 0
    return folder


def test_all_methods_of_a_seed_start_from_one_checkpoint_and_reach_the_sparsity(gradual_run):
    records = records_in(gradual_run / "results.json")
    methods = ["checkpoint", "dense", "magnitude", "taylor"]
    assert [record["method"] for record in records] == methods
    model = keras.saving.load_model(gradual_run / "dense" / "dense-0.keras")
    assert {record["checkpoint"] for record in records} == {gradual_comparison.digest(model)}
    for record in records:
        assert record["zeros"] == pytest.approx(record["sparsity"], abs=0.01)


def test_another_checkpoint_of_a_seed_is_refused(gradual_run, digits, tmp_path, capsys):
    results = gradual_run / "results.json"
    (tmp_path / "results.json").write_bytes(results.read_bytes())
    keras.utils.set_random_seed(7)
    (tmp_path / "dense").mkdir()
    gradual_comparison.build(digits, RECIPE).save(tmp_path / "dense" / "dense-0.keras")
    arguments = gradual_arguments(tmp_path, "--seeds", "0", "--methods", "magnitude", "fisher")
    assert gradual_comparison.main(arguments, RECIPE, lambda name, where: digits) == 2
    assert "runs of seed 0 from another dense model" in capsys.readouterr().err
    assert records_in(tmp_path / "results.json") == records_in(results)


def test_batches_pass_over_the_data_in_orders_that_the_seed_fixes():
    x = np.arange(10)
    batches = {
        seed: gradual_comparison.Batches(x, -x, batch_size=4, epochs=2, seed=seed)
        for seed in (0, 1)
    }
    first = [batches[0][place] for place in range(len(batches[0]))]
    assert [len(inputs) for inputs, _ in first] == [4, 4, 2, 4, 4, 2]
    epochs = np.split(np.concatenate([inputs for inputs, _ in first]), 2)
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
    assert not np.array_equal(*epochs)
    assert all(np.array_equal(inputs, -targets) for inputs, targets in first)
    again = gradual_comparison.Batches(x, -x, batch_size=4, epochs=2, seed=0)
    assert all(np.array_equal(again[place][0], first[place][0]) for place in range(6))
    assert any(not np.array_equal(batches[1][place][0], first[place][0]) for place in range(6))


def test_training_takes_every_batch_once_in_order(digits, gradual_run, tmp_path):
    seen = []

    class Watched(gradual_comparison.Batches):
        def __getitem__(self, position):
            seen.append(position)
            return super().__getitem__(position)

    batches = Watched(digits.x_train, digits.y_train, batch_size=16, epochs=3, seed=0)
    model = gradual_comparison.build(digits, RECIPE)
    model.compile("sgd", gradual_comparison.loss())
    model.fit(batches, shuffle=False, verbose=0)
    assert list(dict.fromkeys(seen)) == list(range(12))
    assert (
        int(model.optimizer.iterations.numpy()) == 12 == gradual_comparison.steps_in(digits, RECIPE)
    )


def test_the_schedule_makes_the_updates_of_the_recipe_and_ends_in_time():
    recipe = gradual_comparison.Recipe()
    schedule = recipe.schedule(0.95, 1407)
    steps, step = [], schedule.next_update(-1)
    while step is not None:
        steps.append(step)
        step = schedule.next_update(step)
    assert 12 <= len(steps) - 1 <= 13 and steps[-1] == round(0.75 * 1407)
    assert schedule(steps[-1]) == 0.95


def test_a_table_of_the_run_can_be_made(gradual_run):
    run = json.loads((gradual_run / "results.json").read_text())
    headings, rows, about = tables.gradual(run)
    assert headings == ["method", "75 %"]
    assert [row[0] for row in rows] == ["magnitude, global", "Taylor, global"]
    assert f"`{run['command']}`" in about
