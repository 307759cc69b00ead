"""ResNet-20 with trained weights on CIFAR-10: what factors cost at once, by method and by data."""

import dataclasses
from typing import Any

import keras
import numpy as np

import tfprune
from models import Dataset
from models.images.batches import crop_and_flip
from models.images.resnet import normalize
from scripts.lab.results_file import Job

DENSE = "dense"
KINDS = ("spatial", "channel", "tucker")
MACS = 0.6
CALIBRATION = 1000  # images


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The network and its images.

    Attributes:
        model: trained; normalized images -> logits.
        images: that calibrate and that test.
    """

    model: keras.Model
    images: Dataset

    def run(self, job: Job) -> dict[str, Any]:
        """Return what a job measured."""
        if job.method == DENSE:
            parameters = self.model.count_params()
            return {"accuracy": self._accuracy(self.model), "parameters": parameters}
        x = normalize(crop_and_flip(self.images.x_train[:CALIBRATION], seed=job.seed))
        small, told = tfprune.factorize(
            self.model,
            macs=MACS,
            convolutions=job.options["convolutions"],
            data=x if job.options["data"] else None,
        )
        found = {"accuracy_at_once": self._accuracy(small)}
        tfprune.refresh_batch_norm(small, x)
        costs = {"parameters": told.parameters, "macs": told.macs}
        return found | {"accuracy_refreshed": self._accuracy(small)} | costs

    def _accuracy(self, model: keras.Model) -> float:
        x = normalize(self.images.x_test)
        logits = model.predict(x, batch_size=500, verbose=0)
        return float(np.mean(logits.argmax(-1) == self.images.y_test))


def plan() -> list[Job]:
    """Return all jobs: the network, then each method for its weights and for its outputs."""
    jobs = [Job(DENSE, 0.0, 0, {}, 60)]
    for kind in KINDS:
        for data in (False, True):
            options = {"convolutions": kind, "data": data, "macs": MACS}
            jobs.append(Job(f"{kind}-{'data' if data else 'weights'}", 0.0, 0, options, 120))
    return jobs
