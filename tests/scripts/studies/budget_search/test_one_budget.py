"""The study of one budget: what its runs measure, and its table."""

import keras
import numpy as np
import pytest

from scripts.lab.results_file import Job
from scripts.studies.budget_search import __main__ as study
from scripts.studies.budget_search.methods_table import METHODS, NETWORKS, together


class Small:
    """A network that tells the sign of a sum, in the form of the study's tasks."""

    batch_size = 50

    def network(self):
        return keras.Sequential(
            [keras.Input((16,)), keras.layers.Dense(128, "relu"), keras.layers.Dense(2)]
        )

    def loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def batches(self, seed, first):
        x = np.random.default_rng(seed).normal(size=(200, 16)).astype("float32")
        while True:
            yield x, (x.sum(axis=1) > 0).astype(int)

    def score_of_file(self, path):
        return 0.5 if path.stat().st_size else 0.0


@pytest.mark.filterwarnings("ignore:.*below its budget")  # so small a file has large steps
def test_a_run_meets_the_budget_says_so_or_says_that_it_is_out_of_reach(monkeypatch):
    monkeypatch.setattr(study.Experiment, "task", lambda self, name: Small())
    monkeypatch.setitem(study.LEFT, "resnet20", 0.3)
    experiment = study.Experiment(None, None, study.WEIGHTS, None)
    jobs = {job.options["by"]: job for job in study.plan(["resnet20"], [0])}
    assert list(jobs) == ["dense", *METHODS]
    dense, few = (experiment.run(jobs[by]) for by in ("dense", "levels"))
    assert few["gzip_bytes"] <= 0.3 * dense["gzip_bytes"] and few["score"] == 0.5
    monkeypatch.setitem(study.LEFT, "resnet20", 0.01)
    assert "within reach" in experiment.run(jobs["levels"])["out_of_reach"]
    far = Job("rank, lstm", 0.0, 0, {"network": "lstm", "by": "rank"})
    records = [
        {**vars(jobs["dense"]), **dense},
        {**vars(jobs["levels"]), **few},
        {**vars(jobs["levels"]), **few, "seed": 1, "score": 0.6},
        {**vars(far), "out_of_reach": "far"},
    ]
    heading, rows, about = together(study.summarize(records))
    assert [row[:2] for row in rows] == [
        [NETWORKS["resnet20"], "dense"],
        [NETWORKS["resnet20"], "few values and bits"],
        [NETWORKS["lstm"], "ranks and bits"],
    ]
    assert rows[0][-1] == "50.00%" and rows[2][2] == "out of reach"
    assert rows[1][-1] == "55.00 ± 7.07%"
