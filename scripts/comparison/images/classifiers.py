"""The image family of the comparison: MobileNets or ResNets of several sizes, dense and pruned.

`train` returns, beside what every family does, `accuracy` of the model as stripped on all test
images. Its option `load` is a function name, data_dir -> data set.

All models see the same images in the same order, mirrored alike. Convolutions and the
classifier are pruned, by one threshold over all of them or all to the same sparsity; the first
convolution and depthwise kernels, 1 to 2 % of the weights, stay dense, as in Zhu & Gupta (arXiv
1710.01878). TensorFlow trains dense models as their quick copies, which learn the same.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras

import models
import tfprune
from scripts.comparison import protocol
from scripts.comparison.images.cnn_data import Small, images_of
from scripts.comparison.images.cnn_presets import PRESETS, VARIANTS, Preset, estimate, jobs
from scripts.lab import fingerprints, many_steps, quick_copies
from scripts.lab.folders import ROOT, SHARED
from scripts.lab.results_file import Job

__all__ = ["PRESETS", "VARIANTS", "Preset", "estimate", "jobs", "train"]


class _Training(protocol.Training):
    """A classifier on its images."""

    def __init__(
        self,
        job: Job,
        preset: Preset,
        data_dir: str | os.PathLike[str] | None,
        load: Callable[..., models.Dataset] = models.load,
    ):
        self._images = images_of(preset, data_dir, load)
        self._job = job
        self._preset = preset.planned(job.options["model"], job.sparsity)
        self.total = self._images.steps * self._preset.epochs
        self.data = self._images.fingerprint()
        self._given = self._copied = None
        if weights := job.options.get("weights"):
            self._given = models.load_resnet20(weights_file(weights, data_dir))
            self.data = fingerprints.of_data(self.data, *self._given.get_weights())
        self.pruning = {
            "structure": tfprune.structures_for("size"),
            "distribution": preset.distribution,
        }

    def compiled(self, prepare: Any) -> tuple[keras.Model, Any]:
        model, pruning = prepare(self._quick(self._built()))
        model.compile(self._preset.make_optimizer(self.total), _loss())
        return model, pruning

    def _built(self) -> keras.Model:
        if self._given:
            return self._given
        own = {name: self._job.options.get(name) for name in ("momentum", "width")}
        return models.build(
            self._job.options["model"],
            input_shape=self._images.input_shape,
            classes=self._images.classes,
            **{name: value for name, value in own.items() if value is not None},
        )

    def _quick(self, model: keras.Model) -> keras.Model:
        """Return what is trained for a model: its quick copy where there is one."""
        pruned = self._job.sparsity > 0
        if pruned or not self.total or keras.backend.backend() != "tensorflow":
            return model
        self._copied = model
        return quick_copies.quick_copy(model, mixed=False)

    def plain(self, stripped: keras.Model) -> keras.Model:
        if self._copied is None:
            return stripped
        quick_copies.bring_back(stripped, self._copied)
        return self._copied

    def fit(self, model: keras.Model, done: int, callbacks: list[keras.callbacks.Callback]) -> None:
        images = self._images
        fit = partial(many_steps.fit, model)
        if self._job.sparsity or not isinstance(images, Small):  # masks change between two steps
            fit = partial(model.fit, shuffle=False, verbose=0)
        with images.naming_damage():
            for epoch in range(done // images.steps, self._preset.epochs):
                fit(
                    images.epoch(self._job.seed, epoch),
                    epochs=epoch + 1,
                    initial_epoch=epoch,
                    steps_per_epoch=images.steps,
                    callbacks=callbacks,
                )

    def measure(self, plain: keras.Model) -> dict[str, Any]:
        with self._images.naming_damage():
            plain.compile(loss=_loss(), metrics=["accuracy"])
            found = self._images.evaluate(plain)
        return {"accuracy": float(found["accuracy"])}


def weights_file(name: str, data_dir: str | os.PathLike[str] | None) -> Path:
    """Return the file of given weights.

    Args:
        name: of the file, with its folder.
        data_dir: where that is, or a folder beside it; None: `../shared/data` beside the checkout.

    Raises:
        ValueError: if there is no such file.
    """
    root = SHARED if data_dir is None else Path(data_dir).expanduser()
    searched = [place / name for place in (root, root.parent)]
    for file in searched:
        if file.is_file():
            return file
    raise ValueError(f"the weights {name} must be at {' or '.join(map(str, searched))}")


def _loss() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


PROTOCOL = protocol.Protocol(
    "cnn",
    PRESETS,
    _Training,
    [
        Path(__file__).parent,
        Path(many_steps.__file__),
        Path(quick_copies.__file__),
        ROOT / "models" / "images",
        ROOT / "models" / "data" / "imagenet.py",
    ],
)
train = PROTOCOL.train
