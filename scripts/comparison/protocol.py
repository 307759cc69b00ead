"""How a run of any family goes: from its last checkpoint through the training to what is measured.

A family is a `Protocol`: its presets, and a function that begins a `Training` of one of its jobs.
"""

import abc
import dataclasses
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfprune
from scripts.comparison import training
from scripts.comparison.best_epoch import BestEpoch
from scripts.comparison.presets import Presets
from scripts.lab import fingerprints
from scripts.lab.checkpoints import Checkpoint
from scripts.lab.results_file import Job
from tfprune.wrapping.pruned_layer import pruned_layers

_OURS = Path(tfprune.__file__).parent
_PRUNING = [_OURS / folder for folder in ("sparsity", "scorers", "wrapping", "pruning")]
_TEACHING = [_OURS / "compression" / "distillation"]
_HERE = Path(__file__).parent
_EVERY_FAMILY = [_HERE / name for name in ("protocol.py", "presets.py", "training.py")]


class Training(abc.ABC):
    """One training of one model, with the data that it needs.

    Attributes:
        total: optimizer steps of it.
        data: fingerprint of all that it reads.
        settings: what else than job and preset decides the outcome; plain values.
        pruning: options of `tfprune.prune`.
    """

    total: int
    data: str
    settings: dict[str, Any] = {}
    pruning: dict[str, Any] = {}

    @abc.abstractmethod
    def compiled(
        self, prepare: Callable[[keras.Model], tuple[keras.Model, Any]]
    ) -> tuple[keras.Model, Any]:
        """Build the model, prepare it (for pruning), and compile it.

        Args:
            prepare: model -> model to train, and callbacks.

        Returns:
            What `prepare` returned.
        """

    @abc.abstractmethod
    def fit(self, model: keras.Model, done: int, callbacks: list[keras.callbacks.Callback]) -> None:
        """Train from step `done` to the end, with an epoch of `fit` after each checkpoint."""

    def best(self, model: keras.Model) -> BestEpoch | None:
        """Return what keeps the best epoch of the training; None takes the last one."""
        return None

    def plain(self, stripped: keras.Model) -> keras.Model:
        """Return the trained model as it is measured and exported."""
        return stripped

    @abc.abstractmethod
    def measure(self, plain: keras.Model) -> dict[str, Any]:
        """Return what the trained model is worth; plain values."""

    def counted(self, plain: keras.Model) -> keras.Model:
        """Return the model whose parameters are counted."""
        return plain

    def exported(self, plain: keras.Model) -> keras.Model:
        """Return the model that becomes a file: of fixed sizes, without states, for one example."""
        return plain


@dataclasses.dataclass
class _Begun:
    """A training, with `done` of its steps behind it."""

    run: Training
    model: keras.Model
    pruning: list[keras.callbacks.Callback]
    best: BestEpoch | None
    checkpoint: Checkpoint
    done: int

    def plain(self) -> keras.Model:
        """Return the trained model as stripped, with the weights of its best epoch."""
        if self.best:
            self.best.restore(self.model)
        model = getattr(self.model, "student", self.model)  # without its teacher
        if pruned_layers(model):
            model = tfprune.strip_pruning(model, compile=False)
        return self.run.plain(model)


class Protocol:
    """The trainings of one family.

    Args:
        name: of the family.
        presets: of it.
        begin: (job, preset, data_dir, further options) -> its `Training`; raises ValueError for
            data that is missing or damaged.
        sources: files and folders of the code that decides what comes out, beside that of pruning
            and of all families.
        inference: what one inference of an exported model takes, for tables; "" where the models
            take one size only.
    """

    def __init__(
        self,
        name: str,
        presets: Presets,
        begin: Callable[..., Training],
        sources: Sequence[Path],
        *,
        inference: str = "",
    ):
        self.name = name
        self.presets = presets
        self.inference = inference
        self._begin = begin
        self._sources = [*sources]

    def code(self, job: Job) -> str:
        """Return a fingerprint of the code that decides what comes out of a job."""
        pruning = _PRUNING if job.sparsity else []
        taught = _TEACHING if job.options.get("alpha_of_teacher") else []
        return fingerprints.of_code([*_EVERY_FAMILY, *self._sources, *pruning, *taught])

    def train(
        self,
        job: Job,
        preset: str,
        seed: int,
        checkpoint_dir: str | os.PathLike[str] | None,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        changed: str = "refuse",
        **options: Any,
    ) -> dict[str, Any]:
        """Train one model, from its last checkpoint if there is one, and measure it.

        Args:
            job: of `presets.jobs(preset, seed)`.
            preset: its name.
            seed: as there.
            checkpoint_dir: folder for the run's checkpoint, `<family>-<preset>-<method>-<sparsity>-
                <seed>.npz`, which stays when the run is done; None writes none.
            data_dir: folder of the data; None searches it.
            callbacks: further ones, such as one that shows the progress.
            changed: what to do with a checkpoint that other code or data has made, as of
                `scripts.lab.checkpoints.Checkpoint`.
            **options: of the family.

        Returns:
            What the family measures of the model as stripped; `nonzeros`, `parameters`,
            `dense_bytes`, `bitmask_bytes`, `csr_bytes`, `compression_rate` and `space_saving` of
            all its parameters; `seconds` and `cpu_seconds` of training and measuring, those before
            a restart included.

        Raises:
            ValueError: for an unknown preset or job, data or a checkpoint that is missing, damaged
                or does not fit.
        """
        keras.utils.set_random_seed(seed)
        begun = self._begun(job, preset, seed, checkpoint_dir, data_dir, changed, options)
        run, model = begun.run, begun.model
        if begun.done < run.total:
            kept = [begun.best] if begun.best else []
            run.fit(model, begun.done, [*begun.pruning, *callbacks, *kept, begun.checkpoint])
        plain = begun.plain()
        return {
            **run.measure(plain),
            **training.footprint(run.counted(plain)),
            **begun.checkpoint.spent(),
        }

    def exported(
        self,
        job: Job,
        preset: str,
        checkpoint_dir: str | os.PathLike[str],
        *,
        data_dir: str | os.PathLike[str] | None = None,
        changed: str = "refuse",
        **options: Any,
    ) -> keras.Model:
        """Return the model of a finished run, stripped and as it is exported, from its checkpoint.

        Args:
            job, preset, checkpoint_dir, data_dir, changed, **options: as of `train`.

        Raises:
            ValueError: as `train` does, and if the run is not finished.
        """
        begun = self._begun(
            job, preset, job.seed, checkpoint_dir, data_dir, changed, options, only_read=True
        )
        if begun.done < begun.run.total:
            raise ValueError(
                f"{job} must be trained to the end. Received: its checkpoint in {checkpoint_dir} "
                f"is at step {begun.done} of {begun.run.total}"
            )
        return begun.run.exported(begun.plain())

    def _begun(
        self,
        job: Job,
        preset: str,
        seed: int,
        folder: str | os.PathLike[str] | None,
        data_dir: str | os.PathLike[str] | None,
        changed: str,
        options: dict[str, Any],
        *,
        only_read: bool = False,
    ) -> "_Begun":
        """Return a training as its checkpoint left it; one that is only read is not begun anew."""
        chosen = self.presets.find(preset)
        training.require_own(job, preset, self.presets.jobs(preset, seed))
        run = self._begin(job, chosen, data_dir, **options)
        goes_on = partial(self._trained, job, preset, folder, data_dir, changed, options)
        given: list[np.ndarray] = []

        def prepare(model: keras.Model) -> tuple[keras.Model, Any]:
            if job.options.get("goes_on_from"):
                given.extend(goes_on())
                model.set_weights(given)
            return training.pruned(model, chosen, job.sparsity, run.total, **run.pruning)

        model, pruning = run.compiled(prepare)
        best = run.best(model)
        if only_read and changed == "start-over":
            changed = "refuse"
        checkpoint = Checkpoint(
            training.checkpoint_path(self.name, preset, job, folder),
            {**job.key, **job.options, **run.settings, "steps": run.total},
            {
                "code": self.code(job),
                "data": fingerprints.of_data(run.data, *given) if given else run.data,
            },
            changed=changed,
            further=best.variables if best else (),
        )
        restore = _read_only if only_read and changed == "refuse" else Checkpoint.restore
        return _Begun(run, model, pruning, best, checkpoint, restore(checkpoint, model))

    def _trained(
        self,
        job: Job,
        preset: str,
        folder: str | os.PathLike[str] | None,
        data_dir: str | os.PathLike[str] | None,
        changed: str,
        options: dict[str, Any],
    ) -> list[np.ndarray]:
        """Return the weights of the dense run from which a pruned one goes on."""
        before = next(
            own
            for own in self.presets.jobs(preset, job.seed)
            if own.method == job.options["goes_on_from"]
        )
        begun = self._begun(
            before, preset, before.seed, folder, data_dir, changed, options, only_read=True
        )
        if begun.done < begun.run.total:
            raise ValueError(
                f"{before} must be trained first: {job} goes on from its checkpoint, which is at "
                f"step {begun.done} of {begun.run.total}; if the results have its record already, "
                "another `--out` trains it again"
            )
        return begun.plain().get_weights()


def _read_only(checkpoint: Checkpoint, model: keras.Model) -> int:
    """Restore a model from a checkpoint that is not trained on, which refuses others' work."""
    try:
        return checkpoint.restore(model)
    except ValueError as error:
        reason, _, _ = str(error).partition("; ")  # after it, advice to who trains
        raise ValueError(
            f"{reason}, and is only read here; `--changed go-on` takes what other code or data "
            "made, the comparison with `--changed start-over` and another `--out` trains all again"
        ) from error
