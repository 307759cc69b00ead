"""The study of integer files: what its runs train, write and measure."""

import dataclasses
import json
import re

import keras
import numpy as np
import pytest

from scripts.lab.folders import ROOT
from scripts.lab.results_file import Job
from scripts.studies.quantization import agreement, command
from scripts.studies.quantization.accuracy_table import quantized
from scripts.studies.quantization.runs import METHODS, Experiment
from scripts.studies.quantization.tasks import run


@dataclasses.dataclass(frozen=True)
class Small:
    """A network of two layers that tells the sign of a sum."""

    batch_size: int = 16
    measure: str = "accuracy"

    @property
    def optimizer(self):
        return {"learning_rate": 0.05}

    def network(self):
        keras.utils.set_random_seed(0)
        hidden = keras.layers.Dense(16, "relu", name="hidden")
        return keras.Sequential([keras.Input((8,)), hidden, keras.layers.Dense(2, name="out")])

    def loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def examples(self, seed):
        return np.random.default_rng(seed).normal(size=(64, 8)).astype("float32")

    def batches(self, seed, first):
        for step in range(first, 10**6):
            x = np.random.default_rng([seed, step]).normal(size=(16, 8)).astype("float32")
            yield x, (x.sum(1) > 0).astype(int)

    def score(self, model):
        return self._right(model.predict(self.examples(9), verbose=0))

    def score_of_file(self, path):
        return self._right(run(path, self.examples(9)))

    def _right(self, outputs):
        return float(np.mean(outputs.argmax(-1) == (self.examples(9).sum(1) > 0)))


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
def test_a_sparse_network_trains_rounded_and_its_file_is_as_good(tmp_path):
    experiment = Experiment(Small(), 20, 20, tmp_path)
    found = {name: experiment.run(Job(name, 0.5, 0)) for name in ("float", "aware-int4")}
    for record in found.values():
        assert 0.49 < record["zeros"] < 0.7  # 4 bits round some more to zero
        assert abs(record["file"] - record["keras"]) < 0.05
    assert found["aware-int4"]["bytes"] < found["float"]["bytes"] + 3000
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"pruned-0.5-0.npz", "float-0.5-0.npz", "aware4-0.5-0.npz", "files"}


def test_the_most_telling_runs_come_first_and_the_table_has_a_row_for_each():
    jobs = command.jobs_of("resnet20", (0, 1), (0.0, 0.8))
    assert [str(job) for job in jobs[:2]] == ["float at 0, seed 0", "int8 at 0, seed 0"]
    assert jobs[len(METHODS)].sparsity == 0.8 and jobs[-1].seed == 1
    values = {"keras": 0.9, "file": 0.89, "zeros": 0.0, "bytes": 1000, "gzip_bytes": 900}
    records = [{**job.key, "options": job.options, **values} for job in jobs]
    settings = {"network": "resnet20", "measure": "accuracy"}
    head = command.summarize(settings, records)
    machine = {"cores": 2, "processor": "x86_64"}
    run = {**head, "settings": settings, "records": records, "machine": machine}
    headings, rows, about = quantized(run)
    assert len(rows) == 2 * len(METHODS) and len(rows[0]) == len(headings)
    assert rows[0] == ["0 %", "float32", "90.00 ± 0.00", "89.00 ± 0.00", "1,000", "900"]
    assert "100 steps" in about and "150 more" in about and "2 seeds" in about


def test_the_guide_has_the_figures_of_agreement():
    files = json.loads(agreement.OUT.read_text())["files"]
    guide = (ROOT / "tfprune" / "compression" / "README.md").read_text()
    (line,) = re.findall(r"- The file with XNNPACK gives.*?\n(?!  )", guide, re.S)
    pairs = [
        ("int8", "Keras / XNNPACK"),
        ("int8", "Keras, biases rounded / XNNPACK"),
        ("int8", "XNNPACK / plain"),
        ("int4", "Keras, biases rounded / XNNPACK"),
    ]
    told = [f"{100 * files[quantize][pair]['within_one_step']:.1f}" for quantize, pair in pairs]
    assert re.findall(r"([\d.]+) %", line) == told
