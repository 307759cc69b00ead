"""scripts/studies/ablate_schedule.py: its schedules, and a run on small images."""

import json

import numpy as np
import pytest

from models import Dataset
from scripts.studies import ablate_schedule, gradual_comparison

RECIPE = gradual_comparison.Recipe(
    width=2, dense_epochs=1, epochs=3, batch_size=8, learning_rate=0.01, examples=16
)
STEPS = 1200


def updates(schedule):
    """Step -> sparsity of every update of a schedule."""
    found, step = {}, schedule.next_update(-1)
    while step is not None:
        found[step] = schedule(step)
        step = schedule.next_update(step)
    return found


@pytest.mark.parametrize("name", ablate_schedule.METHODS)
def test_every_schedule_begins_at_once_and_ends_at_the_final_sparsity(name):
    recipe = gradual_comparison.Recipe()
    schedule = ablate_schedule.METHODS[name].schedule(recipe, 0.9, STEPS)
    found = updates(schedule)
    end = 0 if name == "at_once" else ablate_schedule.end_step(recipe, STEPS)
    assert min(found) == 0 and max(found) == end
    assert found[end] == pytest.approx(0.9) == schedule(STEPS)
    assert all(0 <= sparsity <= 0.9 + 1e-12 for sparsity in found.values())


def test_the_cyclic_schedule_lets_weights_come_back_twice():
    schedule = ablate_schedule.cyclic(gradual_comparison.Recipe(), 0.9, STEPS)
    values = np.array(list(updates(schedule).values()))
    assert np.count_nonzero(np.diff(values) < 0) == ablate_schedule.CYCLES - 1


def test_a_small_run_measures_every_schedule(tmp_path):
    random = np.random.default_rng(0)
    y = (np.arange(64) % 4).astype("int32")
    x = random.random((64, 8, 8, 1)).astype("float32") * 0.2
    for image, label in zip(x, y):
        image[2 * label : 2 * label + 2] += 0.8
    images = Dataset("fashion_mnist", 4, x[:48], y[:48], x[48:], y[48:])
    out = tmp_path / "results.json"
    arguments = ["--out", f"{out}", "--checkpoints", f"{tmp_path}", "--sparsities", "0.75"]
    chosen = ["--methods", "linear", "cyclic", "at_once", "--seeds", "0"]
    assert ablate_schedule.main([*arguments, *chosen], RECIPE, lambda name, where: images) == 0
    written = json.loads(out.read_text())
    assert written["command"].startswith("python -m scripts.studies.ablate_schedule --methods l")
    zeros = {record["method"]: record["zeros"] for record in written["records"]}
    assert {zeros[name] for name in ("linear", "cyclic", "at_once")} == {zeros["linear"]}
    assert zeros["linear"] == pytest.approx(0.75, abs=0.01)
